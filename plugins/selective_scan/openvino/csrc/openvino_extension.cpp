// The operator SelectiveScan for OpenVINO, on the CPU kernel of scan_cpu.h. Contract and letters: ../schema.py.
//
// OpenVINO stores tensors as it likes: under the hint bf16 all seven inputs arrive as float32, under f16 also A, D and
// delta_bias as float16. So every mixture of the three types is computed: of one type as it is, else by way of float32.
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <openvino/core/except.hpp>
#include <openvino/core/extension.hpp>
#include <openvino/core/op_extension.hpp>
#include <openvino/frontend/onnx/extension/conversion.hpp>
#include <openvino/op/op.hpp>

#if __has_include(<tbb/task_arena.h>)
#    include <tbb/task_arena.h>
#endif

#include "../../contract/contract.h"
#include "../../cpu/csrc/scan_cpu.h"

namespace mambapro {
namespace {

using contract::kInputs;
using contract::kNames;

// Threads of the stream that OpenVINO runs us in: what inference_num_threads leaves to it. 0, one for each CPU, where
// OpenVINO is not built on TBB and does not tell.
int32_t threads_of_this_stream() {
#if __has_include(<tbb/task_arena.h>)
    const int threads = tbb::this_task_arena::max_concurrency();
    return threads > 0 ? threads : 0;
#else
    return 0;
#endif
}

// The kernel's name of a type, or -1
int32_t kernel_type(const ov::element::Type &type) {
    if (type == ov::element::f32) return MAMBAPRO_FLOAT32;
    if (type == ov::element::f16) return MAMBAPRO_FLOAT16;
    if (type == ov::element::bf16) return MAMBAPRO_BFLOAT16;
    return -1;
}

contract::Shape known_part(const ov::PartialShape &shape) {
    contract::Shape known;
    known.rank = static_cast<int>(shape.size());
    for (int i = 0; i < known.rank && i < static_cast<int>(known.sizes.size()); ++i)
        known.sizes[i] = shape[i].is_static() ? shape[i].get_length() : contract::kUnknown;
    return known;
}

// Sizes of the scan, kUnknown where the shapes do not tell; throws where they break the contract.
contract::ScanSizes scan_sizes(const std::vector<ov::PartialShape> &given) {
    // A shape of unknown rank is taken for one with the right number of unknown sizes
    constexpr int ranks[kInputs] = {3, 3, 2, 4, 4, 1, 1};
    std::array<contract::Shape, kInputs> shapes;
    for (int i = 0; i < kInputs; ++i)
        shapes[i] = known_part(given[i].rank().is_static() ? given[i] : ov::PartialShape::dynamic(ranks[i]));
    contract::ScanSizes sizes;
    const std::string error = contract::shape_error(shapes, sizes);
    if (!error.empty()) OPENVINO_THROW(error);
    return sizes;
}

template <typename From> void to_float(const ov::Tensor &from, float *to) {
    const From *values = static_cast<const From *>(from.data());
    for (size_t i = 0; i < from.get_size(); ++i) to[i] = static_cast<float>(values[i]);
}

template <typename To> void from_float(const std::vector<float> &from, ov::Tensor &to) {
    To *values = static_cast<To *>(to.data());
    for (size_t i = 0; i < from.size(); ++i) values[i] = static_cast<To>(from[i]);
}

// Address of the values as float32; `space` holds them where they are of another type.
const void *as_float(const ov::Tensor &tensor, std::vector<float> &space) {
    const auto type = tensor.get_element_type();
    if (type == ov::element::f32) return tensor.data();
    space.resize(tensor.get_size());
    if (type == ov::element::f16) to_float<ov::float16>(tensor, space.data());
    else to_float<ov::bfloat16>(tensor, space.data());
    return space.data();
}

void from_float(const std::vector<float> &values, ov::Tensor &tensor) {
    const auto type = tensor.get_element_type();
    if (type == ov::element::f32) std::memcpy(tensor.data(), values.data(), values.size() * sizeof(float));
    else if (type == ov::element::f16) from_float<ov::float16>(values, tensor);
    else from_float<ov::bfloat16>(values, tensor);
}

} // namespace

class SelectiveScan : public ov::op::Op {
public:
    OPENVINO_OP("SelectiveScan", "mambapro");

    SelectiveScan() = default;
    explicit SelectiveScan(const ov::OutputVector &inputs) : Op(inputs) { constructor_validate_and_infer_types(); }

    void validate_and_infer_types() override {
        if (get_input_size() != kInputs)
            OPENVINO_THROW("selective scan: there must be ", kInputs, " inputs, got ", get_input_size(), '.');
        std::vector<ov::PartialShape> shapes;
        for (int i = 0; i < kInputs; ++i) {
            const auto type = get_input_element_type(i);
            if (type.is_static() && kernel_type(type) < 0)
                OPENVINO_THROW("selective scan: ", kNames[i], " is ", type, "; allowed are f32, f16, bf16.");
            shapes.push_back(get_input_partial_shape(i));
        }
        const auto sizes = scan_sizes(shapes);
        ov::PartialShape y = ov::PartialShape::dynamic(3);
        for (int i = 0; i < 3; ++i)
            if (sizes[i] != contract::kUnknown) y[i] = sizes[i];
        set_output_type(0, get_input_element_type(0), y);
    }

    std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector &inputs) const override {
        return std::make_shared<SelectiveScan>(inputs);
    }

    bool visit_attributes(ov::AttributeVisitor &) override { return true; }

    bool has_evaluate() const override { return true; }

    bool evaluate(ov::TensorVector &outputs, const ov::TensorVector &inputs) const override {
        std::vector<ov::PartialShape> shapes;
        for (const auto &input : inputs) shapes.emplace_back(input.get_shape());
        const auto sizes = scan_sizes(shapes);
        outputs[0].set_shape(inputs[0].get_shape());
        compute(sizes, inputs, outputs[0]);
        return true;
    }

private:
    static void compute(const contract::ScanSizes &sizes, const ov::TensorVector &inputs, ov::Tensor &y) {
        const auto type = y.get_element_type();
        bool one_type = true;
        for (int i = 0; i < kInputs; ++i)
            if (contract::is_of_scan_type(i)) one_type &= inputs[i].get_element_type() == type;
        std::vector<float> spaces[kInputs + 1];
        const void *in[kInputs];
        for (int i = 0; i < kInputs; ++i)
            in[i] = one_type && contract::is_of_scan_type(i) ? inputs[i].data() : as_float(inputs[i], spaces[i]);
        void *out = y.data();
        if (!one_type) {
            spaces[kInputs].resize(y.get_size());
            out = spaces[kInputs].data();
        }
        mambapro_scan_shape shape;
        shape.batch = sizes[contract::kBatch];
        shape.length = sizes[contract::kLength];
        shape.channels = sizes[contract::kChannels];
        shape.groups = sizes[contract::kGroups];
        shape.state = sizes[contract::kState];
        shape.type = one_type ? kernel_type(type) : MAMBAPRO_FLOAT32;
        shape.threads = threads_of_this_stream();
        const int failed = mambapro_scan_forward(&shape, in[0], in[1], in[2], in[3], in[4], in[5], in[6], out);
        if (failed == MAMBAPRO_NO_MEMORY) OPENVINO_THROW("selective scan: not enough memory.");
        if (failed) OPENVINO_THROW("selective scan: the CPU kernel failed with code ", failed, '.');
        if (!one_type) from_float(spaces[kInputs], y);
    }
};

static ov::OutputVector from_onnx(const ov::frontend::NodeContext &node) {
    ov::OutputVector inputs;
    for (size_t i = 0; i < node.get_input_size(); ++i) inputs.push_back(node.get_input(static_cast<int>(i)));
    return std::make_shared<SelectiveScan>(inputs)->outputs();
}

} // namespace mambapro

// The first makes OpenVINO's own files with the operator readable, the second the ONNX node.
OPENVINO_CREATE_EXTENSIONS(std::vector<ov::Extension::Ptr>({
    std::make_shared<ov::OpExtension<mambapro::SelectiveScan>>(),
    std::make_shared<ov::frontend::onnx::ConversionExtension>("SelectiveScan", "mambapro", mambapro::from_onnx),
}));
