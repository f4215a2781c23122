// The operator SelectiveScan for ONNX Runtime, on the CPU kernel of scan_cpu.h. Contract and letters: ../schema.py.
//
// The plain C interface alone: one header, and a library built with it loads into every later ONNX Runtime. All three
// types are registered, for a node of a type without a kernel keeps ONNX Runtime from loading the file, in spite of the
// function in it.
#include <onnxruntime_c_api.h>

#include <array>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>

#include "../../contract/contract.h"
#include "../../cpu/csrc/scan_cpu.h"

#if ORT_API_VERSION < 17
#    error "the headers of ONNX Runtime 1.17 or later are needed"
#endif

namespace {

using mambapro::contract::kInputs;

// Session config entry with the number of threads of one scan; ONNX Runtime tells an operator of no other. 0 or none:
// one for each CPU.
constexpr const char *kThreads = "mambapro.threads";

struct Type {
    ONNXTensorElementDataType onnx;
    int32_t kernel;
};

constexpr Type kTypes[] = {
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, MAMBAPRO_FLOAT32},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, MAMBAPRO_FLOAT16},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, MAMBAPRO_BFLOAT16},
};

// One registered operator: the node's name with one type of u, delta, B, C and y
struct Operator : OrtCustomOp {
    Type type;
    const OrtApi *api;
};

// One node of one session
struct Kernel {
    const OrtApi *api;
    int32_t type, threads;
};

const Operator &self(const OrtCustomOp *op) { return *static_cast<const Operator *>(op); }

OrtStatus *refusal(const OrtApi *api, const std::string &message) {
    return api->CreateStatus(ORT_INVALID_ARGUMENT, message.c_str());
}

OrtStatus *read_threads(const OrtApi *api, const OrtKernelInfo *info, int32_t *threads) {
    *threads = 0;
#if ORT_API_VERSION >= 24
    OrtKeyValuePairs *entries = nullptr;
    if (OrtStatus *status = api->KernelInfo_GetConfigEntries(info, &entries)) return status;
    const char *found = api->GetKeyValue(entries, kThreads);
    const std::string text = found ? found : "0";
    api->ReleaseKeyValuePairs(entries);
    char *end = nullptr;
    const long value = std::strtol(text.c_str(), &end, 10);
    if (text.empty() || *end || value < 0 || value > 1024)
        return refusal(api, std::string("selective scan: the session entry ") + kThreads + " is \"" + text +
                                "\"; allowed are 0 (one thread for each CPU) to 1024.");
    *threads = static_cast<int32_t>(value);
#else
    (void)api, (void)info;
#endif
    return nullptr;
}

OrtStatus *create(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info, void **kernel) noexcept {
    int32_t threads;
    if (OrtStatus *status = read_threads(api, info, &threads)) return status;
    *kernel = new (std::nothrow) Kernel{api, self(op).type.kernel, threads};
    return *kernel ? nullptr : api->CreateStatus(ORT_FAIL, "selective scan: not enough memory.");
}

OrtStatus *shape_of(const OrtApi *api, const OrtValue *value, mambapro::contract::Shape *shape) {
    OrtTensorTypeAndShapeInfo *info = nullptr;
    if (OrtStatus *status = api->GetTensorTypeAndShape(value, &info)) return status;
    size_t rank = 0;
    OrtStatus *status = api->GetDimensionsCount(info, &rank);
    shape->rank = static_cast<int>(rank);
    // a shape of more dimensions than fit is wrong whatever they are
    if (!status && rank <= shape->sizes.size()) status = api->GetDimensions(info, shape->sizes.data(), rank);
    api->ReleaseTensorTypeAndShapeInfo(info);
    return status;
}

// Shapes and addresses of the seven inputs
OrtStatus *read_inputs(
    const OrtApi *api, OrtKernelContext *context, std::array<mambapro::contract::Shape, kInputs> *shapes,
    std::array<const void *, kInputs> *addresses) {
    for (int i = 0; i < kInputs; ++i) {
        const OrtValue *value = nullptr;
        if (OrtStatus *status = api->KernelContext_GetInput(context, i, &value)) return status;
        if (OrtStatus *status = shape_of(api, value, &(*shapes)[i])) return status;
        void *address = nullptr;
        // the only way to the values in the C interface of 1.17; they are only read
        if (OrtStatus *status = api->GetTensorMutableData(const_cast<OrtValue *>(value), &address)) return status;
        (*addresses)[i] = address;
    }
    return nullptr;
}

OrtStatus *scan(const Kernel &kernel, OrtKernelContext *context) {
    using namespace mambapro::contract;
    const OrtApi *api = kernel.api;
    std::array<Shape, kInputs> shapes;
    std::array<const void *, kInputs> in;
    if (OrtStatus *status = read_inputs(api, context, &shapes, &in)) return status;
    ScanSizes sizes;
    const std::string error = shape_error(shapes, sizes);
    if (!error.empty()) return refusal(api, error);
    OrtValue *output = nullptr;
    if (OrtStatus *status = api->KernelContext_GetOutput(context, 0, sizes.data(), 3, &output)) return status;
    void *y = nullptr;
    if (OrtStatus *status = api->GetTensorMutableData(output, &y)) return status;
    mambapro_scan_shape shape;
    shape.batch = sizes[kBatch];
    shape.length = sizes[kLength];
    shape.channels = sizes[kChannels];
    shape.groups = sizes[kGroups];
    shape.state = sizes[kState];
    shape.type = kernel.type;
    shape.threads = kernel.threads;
    const int failed = mambapro_scan_forward(&shape, in[0], in[1], in[2], in[3], in[4], in[5], in[6], y);
    if (failed == MAMBAPRO_NO_MEMORY) return api->CreateStatus(ORT_FAIL, "selective scan: not enough memory.");
    if (failed)
        return api->CreateStatus(
            ORT_FAIL, ("selective scan: the CPU kernel failed with code " + std::to_string(failed) + '.').c_str());
    return nullptr;
}

OrtStatus *compute(void *kernel, OrtKernelContext *context) noexcept {
    const Kernel &mine = *static_cast<Kernel *>(kernel);
    try {
        return scan(mine, context);
    } catch (const std::exception &error) {
        return mine.api->CreateStatus(ORT_FAIL, error.what());
    }
}

// y has the shape of u; the other shapes are looked at when they are all known, in `compute`
OrtStatus *infer_shape(const OrtCustomOp *op, OrtShapeInferContext *context) noexcept {
    const OrtApi *api = self(op).api;
    OrtTensorTypeAndShapeInfo *u = nullptr;
    if (OrtStatus *status = api->ShapeInferContext_GetInputTypeShape(context, 0, &u)) return status;
    return api->ShapeInferContext_SetOutputTypeShape(context, 0, u);
}

Operator described(Type type, const OrtApi *api) {
    Operator op{};
    op.type = type;
    op.api = api;
    op.version = ORT_API_VERSION;
    op.GetName = [](const OrtCustomOp *) { return "SelectiveScan"; };
    op.GetExecutionProviderType = [](const OrtCustomOp *) -> const char * { return nullptr; };
    op.GetInputTypeCount = [](const OrtCustomOp *) -> size_t { return kInputs; };
    op.GetInputType = [](const OrtCustomOp *op, size_t i) {
        const bool own = mambapro::contract::is_of_scan_type(static_cast<int>(i));
        return own ? self(op).type.onnx : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    };
    op.GetOutputTypeCount = [](const OrtCustomOp *) -> size_t { return 1; };
    op.GetOutputType = [](const OrtCustomOp *op, size_t) { return self(op).type.onnx; };
    op.GetInputCharacteristic = [](const OrtCustomOp *, size_t) { return INPUT_OUTPUT_REQUIRED; };
    op.GetOutputCharacteristic = [](const OrtCustomOp *, size_t) { return INPUT_OUTPUT_REQUIRED; };
    op.GetInputMemoryType = [](const OrtCustomOp *, size_t) { return OrtMemTypeDefault; };
    op.GetStartVersion = [](const OrtCustomOp *) { return 1; };
    op.GetEndVersion = [](const OrtCustomOp *) { return 1; };
    op.CreateKernelV2 = create;
    op.KernelComputeV2 = compute;
    op.KernelDestroy = [](void *kernel) { delete static_cast<Kernel *>(kernel); };
    op.InferOutputShapeFn = infer_shape;
    return op;
}

} // namespace

// Called by SessionOptions.register_custom_ops_library. ONNX Runtime keeps the library loaded as long as the session.
extern "C" __attribute__((visibility("default"))) OrtStatus *
RegisterCustomOps(OrtSessionOptions *options, const OrtApiBase *base) {
    const OrtApi *api = base->GetApi(ORT_API_VERSION);
    if (!api) {
        const std::string message = "selective scan: this library was built with the headers of ONNX Runtime 1." +
                                    std::to_string(ORT_API_VERSION) + ", which is newer than this one, " +
                                    base->GetVersionString() + "; build it with the headers of that version.";
        return base->GetApi(1)->CreateStatus(ORT_NOT_IMPLEMENTED, message.c_str());
    }
    static const Operator operators[] = {described(kTypes[0], api), described(kTypes[1], api), described(kTypes[2], api)};
    OrtCustomOpDomain *domain = nullptr;
    if (OrtStatus *status = api->CreateCustomOpDomain("mambapro", &domain)) return status;
    OrtStatus *status = nullptr;
    for (const Operator &op : operators)
        if (!status) status = api->CustomOpDomain_Add(domain, &op);
    if (!status) status = api->AddCustomOpDomain(options, domain);
    if (status) api->ReleaseCustomOpDomain(domain);
    return status;
}
