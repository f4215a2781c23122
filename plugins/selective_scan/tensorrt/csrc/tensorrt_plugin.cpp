// The plugin of tensorrt_plugin.h; its creator stands in tensorrt_creator.cpp.
#include "tensorrt_plugin.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "../../cuda/csrc/scan_cuda.h"

namespace mambapro::tensorrt {
namespace {

using nvinfer1::DataType;

constexpr int32_t kOk = 0;
constexpr int32_t kError = 1;

Kind kind_of(DataType type) {
    switch (type) {
    case DataType::kFLOAT: return Kind::kFloat32;
    case DataType::kHALF: return Kind::kFloat16;
    case DataType::kBF16: return Kind::kBFloat16;
    default: return Kind::kOther;
    }
}

std::string name_of(DataType type) {
    switch (kind_of(type)) {
    case Kind::kFloat32: return "float32";
    case Kind::kFloat16: return "float16";
    case Kind::kBFloat16: return "bfloat16";
    default: return "TensorRT's type " + std::to_string(static_cast<int>(type));
    }
}

// The core's number of a type that type_error() has let pass
int32_t core_type(DataType type) {
    switch (type) {
    case DataType::kHALF: return MAMBAPRO_CUDA_FLOAT16;
    case DataType::kBF16: return MAMBAPRO_CUDA_BFLOAT16;
    default: return MAMBAPRO_CUDA_FLOAT32;
    }
}

int32_t core_size(int64_t size) {
    if (size < 0 || size > std::numeric_limits<int32_t>::max())
        throw std::invalid_argument("a size of " + std::to_string(size) + " is more than the kernels count.");
    return static_cast<int32_t>(size);
}

std::string core_error(int code) {
    switch (code) {
    case 0: return "";
    case MAMBAPRO_CUDA_BAD_SHAPE: return "selective scan: the kernels cannot compute these shapes.";
    case MAMBAPRO_CUDA_BAD_TYPE: return "selective scan: the kernels do not know this type.";
    case MAMBAPRO_CUDA_BAD_LANES: return "selective scan: too few lanes for the states.";
    default: return "selective scan: the launch failed with CUDA error " + std::to_string(code) + '.';
    }
}

Shape shape_of(const nvinfer1::Dims &dims) {
    Shape shape;
    shape.rank = std::max(0, std::min<int>(dims.nbDims, static_cast<int>(shape.sizes.size())));
    std::copy_n(dims.d, shape.rank, shape.sizes.begin());
    return shape;
}

Shape shape_of(const nvinfer1::DimsExprs &dims) {
    Shape shape;
    shape.rank = std::max(0, std::min<int>(dims.nbDims, static_cast<int>(shape.sizes.size())));
    for (int i = 0; i < shape.rank; ++i)
        shape.sizes[i] = dims.d[i]->isConstant() ? dims.d[i]->getConstantValue() : kUnknown;
    return shape;
}

// Logs `error` and says so, unless it is empty
bool refused(const std::string &error) {
    if (!error.empty())
        log_error(error);
    return !error.empty();
}

bool wrong_number(int32_t inputs, int32_t outputs) {
    if (inputs == kInputs && outputs == 1)
        return false;
    return refused(
        "selective scan: it has 7 inputs (u, delta, A, B, C, D, delta_bias) and 1 output, got " +
        std::to_string(inputs) + " and " + std::to_string(outputs) + '.');
}

template <typename ShapeAt> bool wrong_shapes(ShapeAt shape_at, ScanSizes &sizes) {
    std::array<Shape, kInputs> shapes;
    for (int i = 0; i < kInputs; ++i)
        shapes[i] = shape_at(i);
    return refused(shape_error(shapes, sizes));
}

template <typename TypeAt> bool wrong_types(TypeAt type_at, int count) {
    for (int i = 0; i < count; ++i)
        if (refused(type_error(i, kind_of(type_at(i)), kind_of(type_at(0)), name_of(type_at(i)))))
            return true;
    return false;
}

} // namespace

nvinfer1::IPluginCapability *Plugin::getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept {
    switch (type) {
    case nvinfer1::PluginCapabilityType::kCORE: return static_cast<nvinfer1::IPluginV3OneCore *>(this);
    case nvinfer1::PluginCapabilityType::kBUILD: return static_cast<nvinfer1::IPluginV3OneBuild *>(this);
    case nvinfer1::PluginCapabilityType::kRUNTIME: return static_cast<nvinfer1::IPluginV3OneRuntime *>(this);
    }
    return nullptr;
}

nvinfer1::IPluginV3 *Plugin::clone() noexcept {
    return guarded<nvinfer1::IPluginV3 *>(nullptr, [&] {
        auto copy = new Plugin(lanes_);
        copy->state_ = state_;
        return copy;
    });
}

int32_t Plugin::getOutputDataTypes(
    DataType *outputs, int32_t nb_outputs, const DataType *inputs, int32_t nb_inputs) const noexcept {
    return guarded(kError, [&] {
        if (wrong_number(nb_inputs, nb_outputs) || wrong_types([&](int i) { return inputs[i]; }, kInputs))
            return kError;
        outputs[0] = inputs[0];
        return kOk;
    });
}

int32_t Plugin::getOutputShapes(
    const nvinfer1::DimsExprs *inputs, int32_t nb_inputs, const nvinfer1::DimsExprs *, int32_t,
    nvinfer1::DimsExprs *outputs, int32_t nb_outputs, nvinfer1::IExprBuilder &) noexcept {
    return guarded(kError, [&] {
        ScanSizes sizes;
        if (wrong_number(nb_inputs, nb_outputs) || wrong_shapes([&](int i) { return shape_of(inputs[i]); }, sizes))
            return kError;
        outputs[0] = inputs[0];
        return kOk;
    });
}

bool Plugin::supportsFormatCombination(
    int32_t position, const nvinfer1::DynamicPluginTensorDesc *tensors, int32_t nb_inputs,
    int32_t nb_outputs) noexcept {
    return guarded(false, [&] {
        if (wrong_number(nb_inputs, nb_outputs) || position < 0 || position > kInputs)
            return false;
        // TensorRT asks for every combination there is: no is an answer, not an error to log
        const auto &asked = tensors[position].desc;
        return asked.format == nvinfer1::TensorFormat::kLINEAR &&
               type_error(position, kind_of(asked.type), kind_of(tensors[0].desc.type), "").empty();
    });
}

int32_t Plugin::configurePlugin(
    const nvinfer1::DynamicPluginTensorDesc *inputs, int32_t nb_inputs, const nvinfer1::DynamicPluginTensorDesc *,
    int32_t nb_outputs) noexcept {
    return guarded(kError, [&] {
        if (wrong_number(nb_inputs, nb_outputs) || wrong_types([&](int i) { return inputs[i].desc.type; }, kInputs))
            return kError;
        ScanSizes sizes;
        if (wrong_shapes([&](int i) { return shape_of(inputs[i].min); }, sizes) ||
            wrong_shapes([&](int i) { return shape_of(inputs[i].opt); }, sizes) ||
            wrong_shapes([&](int i) { return shape_of(inputs[i].max); }, sizes))
            return kError;
        state_ = sizes[kState];
        return kOk;
    });
}

int32_t Plugin::getNbTactics() noexcept {
    return guarded(0, [&] { return static_cast<int32_t>(tactics(state_).size()); });
}

int32_t Plugin::getValidTactics(int32_t *tactics_out, int32_t nb_tactics) noexcept {
    return guarded(kError, [&] {
        const auto valid = tactics(state_);
        if (nb_tactics != static_cast<int32_t>(valid.size()))
            return kError;
        std::copy(valid.begin(), valid.end(), tactics_out);
        return kOk;
    });
}

int32_t Plugin::setTactic(int32_t tactic) noexcept {
    return guarded(kError, [&] {
        if (refused(lanes_error(tactic)))
            return kError;
        lanes_ = tactic;
        return kOk;
    });
}

int32_t Plugin::onShapeChange(
    const nvinfer1::PluginTensorDesc *inputs, int32_t nb_inputs, const nvinfer1::PluginTensorDesc *,
    int32_t nb_outputs) noexcept {
    return guarded(kError, [&] {
        ScanSizes sizes;
        if (wrong_number(nb_inputs, nb_outputs) || wrong_shapes([&](int i) { return shape_of(inputs[i].dims); }, sizes))
            return kError;
        return kOk;
    });
}

int32_t Plugin::enqueue(
    const nvinfer1::PluginTensorDesc *input_descs, const nvinfer1::PluginTensorDesc *, const void *const *inputs,
    void *const *outputs, void *, cudaStream_t stream) noexcept {
    return guarded(kError, [&] {
        const nvinfer1::Dims &u = input_descs[0].dims, &b = input_descs[3].dims;
        const mambapro_scan_cuda_shape shape = {
            core_size(u.d[0]), core_size(u.d[1]), core_size(u.d[2]), core_size(b.d[2]), core_size(b.d[3]),
            core_type(input_descs[0].type)};
        const int code = mambapro_scan_cuda_forward(
            &shape, inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], inputs[5], inputs[6], outputs[0], lanes_,
            stream);
        return refused(core_error(code)) ? kError : kOk;
    });
}

nvinfer1::IPluginV3 *Plugin::attachToContext(nvinfer1::IPluginResourceContext *) noexcept { return clone(); }

const nvinfer1::PluginFieldCollection *Plugin::getFieldsToSerialize() noexcept {
    field_ = {"lanes", &lanes_, nvinfer1::PluginFieldType::kINT32, 1};
    fields_ = {1, &field_};
    return &fields_;
}

} // namespace mambapro::tensorrt
