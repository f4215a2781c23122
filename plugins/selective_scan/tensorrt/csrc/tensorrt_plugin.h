// The selective scan as a TensorRT plugin: IPluginV3 of TensorRT 10.0 to 11 and TensorRT-RTX. Contract: ../schema.py.
//
// There is no arithmetic here: rules are contract.h, the computation is scan_cuda.h. The library exports what
// IPluginRegistry::loadLibrary() looks for, links nothing of TensorRT, and can travel inside an engine.
//
// The plugin has one field, `lanes`: over how many threads the states of a channel are split. While building, TensorRT
// times every split that the state allows (its tactics); the one that was chosen is serialised with the engine.
#ifndef MAMBAPRO_TENSORRT_PLUGIN_H
#define MAMBAPRO_TENSORRT_PLUGIN_H

#include <NvInferRuntime.h>

#include <cstdint>
#include <exception>
#include <string>

#include "../../contract/contract.h"

namespace mambapro::tensorrt {

using namespace contract;

constexpr const char *kPluginName = "SelectiveScan";
constexpr const char *kPluginNamespace = "mambapro";
constexpr const char *kPluginVersion = "1";

// To the logger of the engine or builder that is calling, or to standard error where there is none.
void log_error(const std::string &message) noexcept;

// What `body` returns, or `otherwise` if it throws: nothing may leave a method that TensorRT calls.
template <typename T, typename Body> T guarded(T otherwise, Body body) noexcept {
    try {
        return body();
    } catch (const std::exception &error) {
        log_error(std::string("selective scan: ") + error.what());
    } catch (...) {
        log_error("selective scan: an unknown exception.");
    }
    return otherwise;
}

class Plugin final : public nvinfer1::IPluginV3,
                     public nvinfer1::IPluginV3OneCore,
                     public nvinfer1::IPluginV3OneBuild,
                     public nvinfer1::IPluginV3OneRuntime {
public:
    explicit Plugin(int32_t lanes) : lanes_(lanes) {}

    // IPluginV3
    nvinfer1::IPluginCapability *getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override;
    nvinfer1::IPluginV3 *clone() noexcept override;

    // Core
    const char *getPluginName() const noexcept override { return kPluginName; }
    const char *getPluginVersion() const noexcept override { return kPluginVersion; }
    const char *getPluginNamespace() const noexcept override { return kPluginNamespace; }

    // Build
    int32_t getNbOutputs() const noexcept override { return 1; }
    int32_t getOutputDataTypes(
        nvinfer1::DataType *outputs, int32_t nb_outputs, const nvinfer1::DataType *inputs,
        int32_t nb_inputs) const noexcept override;
    int32_t getOutputShapes(
        const nvinfer1::DimsExprs *inputs, int32_t nb_inputs, const nvinfer1::DimsExprs *shape_inputs,
        int32_t nb_shape_inputs, nvinfer1::DimsExprs *outputs, int32_t nb_outputs,
        nvinfer1::IExprBuilder &builder) noexcept override;
    bool supportsFormatCombination(
        int32_t position, const nvinfer1::DynamicPluginTensorDesc *tensors, int32_t nb_inputs,
        int32_t nb_outputs) noexcept override;
    int32_t configurePlugin(
        const nvinfer1::DynamicPluginTensorDesc *inputs, int32_t nb_inputs,
        const nvinfer1::DynamicPluginTensorDesc *outputs, int32_t nb_outputs) noexcept override;
    int32_t getNbTactics() noexcept override;
    int32_t getValidTactics(int32_t *tactics, int32_t nb_tactics) noexcept override;
    const char *getTimingCacheID() noexcept override { return "mambapro.SelectiveScan.1"; }

    // Runtime
    int32_t setTactic(int32_t tactic) noexcept override;
    int32_t onShapeChange(
        const nvinfer1::PluginTensorDesc *inputs, int32_t nb_inputs, const nvinfer1::PluginTensorDesc *outputs,
        int32_t nb_outputs) noexcept override;
    int32_t enqueue(
        const nvinfer1::PluginTensorDesc *input_descs, const nvinfer1::PluginTensorDesc *output_descs,
        const void *const *inputs, void *const *outputs, void *workspace, cudaStream_t stream) noexcept override;
    nvinfer1::IPluginV3 *attachToContext(nvinfer1::IPluginResourceContext *context) noexcept override;
    const nvinfer1::PluginFieldCollection *getFieldsToSerialize() noexcept override;

private:
    int32_t lanes_; // 0: the core chooses
    int64_t state_ = kMaxState; // of the scan being built; before it is known, the splits that serve every state
    nvinfer1::PluginField field_{};
    nvinfer1::PluginFieldCollection fields_{};
};

class Creator final : public nvinfer1::IPluginCreatorV3One {
public:
    // Fields other than `lanes` are passed over: ONNX attributes such as plugin_namespace arrive here too.
    nvinfer1::IPluginV3 *createPlugin(
        const char *name, const nvinfer1::PluginFieldCollection *fields,
        nvinfer1::TensorRTPhase phase) noexcept override;
    // None is asked for: a parser warns about every one that an ONNX node lacks.
    const nvinfer1::PluginFieldCollection *getFieldNames() noexcept override { return &no_fields_; }
    const char *getPluginName() const noexcept override { return kPluginName; }
    const char *getPluginVersion() const noexcept override { return kPluginVersion; }
    const char *getPluginNamespace() const noexcept override { return kPluginNamespace; }

private:
    nvinfer1::PluginFieldCollection no_fields_{};
};

} // namespace mambapro::tensorrt

#endif
