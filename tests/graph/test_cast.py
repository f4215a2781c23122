"""Float32 ONNX to typed ONNX."""

# ruff: noqa: F811 (fixtures are imported, and are names of parameters)
from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from element_types import element_types
from export_fixtures import exported_before, exports, graphs  # noqa: F401
from mambapro.errors import ArtifactError, ExportError, InputError
from mambapro.graph.cast import _converted, require_runs_on, typed
from mambapro.graph.cast_plan import plan_types
from mambapro.graph.value_types import module_of, with_types
from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

LOW = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


def feeds() -> dict[str, np.ndarray]:
    """Random inputs of the tiny model: an unknown camera, a missing sensor."""
    rng = np.random.default_rng(5)
    images = {name: rng.integers(0, 256, (2, 64, 32, 3), dtype=np.uint8) for name in ("rgb", "nir", "tir")}
    return {**images, "camera": np.array([0, 9]), "modality_mask": np.array([[1, 1, 1], [1, 0, 1]], np.float32)}


def embedding(model: onnx.ModelProto) -> np.ndarray:
    """What ONNX Runtime returns."""
    backend = OnnxRuntimeBackend(model.SerializeToString(), device="cpu", threads=1)
    found = backend.run(feeds())["embedding"]
    backend.close()
    return found


def departure(a: np.ndarray, b: np.ndarray) -> float:
    """Largest 1 - cosine."""
    a, b = (x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True) for x in (a, b))
    return float((1 - (a * b).sum(1)).max())


@pytest.fixture(scope="module")
def files(graphs: dict[str, onnx.ModelProto]) -> dict[str, onnx.ModelProto]:
    """The tiny model, typed."""
    return {precision: typed(graphs["fp32"], precision) for precision in LOW}


@pytest.mark.parametrize("precision", list(LOW))
class TestFile:
    def test_valid_and_the_same_from_outside(self, graphs: dict, files: dict, precision: str) -> None:
        """The checker takes it; inputs, outputs, functions and metadata are those of the float32 file."""
        model, new = graphs["fp32"], files[precision]
        onnx.checker.check_model(new, full_check=True)

        assert list(new.graph.input) == list(model.graph.input)
        assert list(new.graph.output) == list(model.graph.output)
        assert list(new.functions) == list(model.functions)
        properties = [{x.key: x.value for x in m.metadata_props} for m in (model, new)]
        assert properties[0] == properties[1] != {}
        assert list(new.opset_import) == list(model.opset_import)
        assert new.ByteSize() < 0.75 * model.ByteSize()

    def test_nodes_keep_names_and_modules(self, graphs: dict, files: dict, precision: str) -> None:
        """Only Casts come in, each for one value and type, and they belong to the module that they serve."""
        old, new = graphs["fp32"].graph, files[precision].graph
        own = {node.name for node in old.node}
        casts = [node for node in new.node if node.name not in own]

        assert {node.op_type for node in casts} == {"Cast"}
        assert [(x.name, x.op_type, module_of(x)) for x in new.node if x.name in own] == [
            (x.name, x.op_type, module_of(x)) for x in old.node
        ]
        assert max(Counter((node.input[0], node.attribute[0].i) for node in casts).values()) == 1
        assert any(module_of(node) == "backbone.layers.1.ln_1" for node in casts)
        values = {name for node in new.node for name in node.output}
        assert {name for node in old.node for name in node.output} <= values

    def test_types(self, files: dict, precision: str) -> None:
        """Products are low; norms, softmax, the scan's A, D and bias, and the reduction are float32."""
        new, low = files[precision], LOW[precision]
        types = element_types(new)
        read: dict[str, set[int]] = {}
        for node in new.graph.node:
            read.setdefault(node.op_type, set()).update(types[name] for name in node.input if name)

        assert read["LayerNormalization"] == read["Softmax"] == read["Gemm"] == {TensorProto.FLOAT}
        assert read["MatMul"] == {low}
        assert read["Conv"] == {low if precision == "fp16" else TensorProto.FLOAT}
        for node in new.graph.node:
            if node.op_type == "SelectiveScan":
                u, delta, a, b, c, d, bias = (types[name] for name in node.input)
                assert {u, delta, b, c} == {low}
                assert {a, d, bias} == {TensorProto.FLOAT}
            if node.op_type in ("Sub", "Div") and module_of(node) == "":
                assert {types[name] for name in node.input} == {TensorProto.FLOAT}

    def test_described_values_have_their_types(self, files: dict, precision: str) -> None:
        """value_info tells the types that the values have, those of the casts among them."""
        types = element_types(files[precision])
        casts = {node.output[0] for node in files[precision].graph.node if node.name.startswith("cast/")}
        described = {x.name: x.type.tensor_type.elem_type for x in files[precision].graph.value_info if x.name in types}

        assert len(described) > 500
        assert {name: types[name] for name in described} == described
        assert casts - {"embedding"} <= set(described)

    def test_numbers(self, graphs: dict, files: dict, precision: str) -> None:
        """Near the float32 model, as near as the type allows, and not the same."""
        found = embedding(files[precision]) if precision == "fp16" else with_reference(files[precision])

        assert 0 < departure(embedding(graphs["fp32"]), found) < {"fp16": 5e-6, "bf16": 1e-3}[precision]


def with_reference(model: onnx.ModelProto) -> np.ndarray:
    """ONNX's own evaluator: it has every type."""
    return ReferenceEvaluator(model).run(None, feeds())[0]


def test_bfloat16_does_not_run_in_onnxruntime(files: dict) -> None:
    """Why `require_runs_on` refuses it, with the ways out; all else passes."""
    with pytest.raises(ArtifactError, match="cannot load"):
        embedding(files["bf16"])
    with pytest.raises(InputError, match=r"no bf16 matrix product on CPUs.*--target openvino"):
        require_runs_on("onnxruntime", "bf16")
    for target, precision in (("onnxruntime", "fp16"), ("openvino", "bf16"), ("tensorrt", "bf16")):
        require_runs_on(target, precision)


class TestKeep:
    def test_a_module_and_all_below(self, graphs: dict) -> None:
        """Kept modules compute in float32 on float32 weights; their neighbours do not."""
        model = graphs["fp32"]
        new = typed(model, "fp16", ["backbone.layers.1.mlp", "aggregation.blocks.0.intra.scans"])
        types = element_types(new)
        onnx.checker.check_model(new, full_check=True)

        products = {module_of(node): types[node.output[0]] for node in new.graph.node if node.op_type == "MatMul"}
        assert products["backbone.layers.1.mlp.inner"] == products["backbone.layers.1.mlp.outer"] == TensorProto.FLOAT
        assert products["backbone.layers.0.mlp.inner"] == products["backbone.layers.1.adapter.inner"] == LOW["fp16"]
        scans = {module_of(node): types[node.output[0]] for node in new.graph.node if node.op_type == "SelectiveScan"}
        assert scans["aggregation.blocks.0.intra.scans"] == TensorProto.FLOAT
        assert scans["aggregation.blocks.1.intra.scans"] == LOW["fp16"]

    def test_everything(self, graphs: dict) -> None:
        """With all modules kept the numbers are those of float32: what is left is moved, not computed."""
        new = typed(graphs["fp32"], "fp16", ["backbone", "aggregation", ""])

        assert departure(embedding(graphs["fp32"]), embedding(new)) < 5e-7
        assert not [node for node in new.graph.node if node.op_type == "MatMul" and node.name in low_nodes(new)]

    def test_names_are_whole(self) -> None:
        """backbone.layers.1 is not backbone.layers.10."""
        model = two_products("layers.1", "layers.10")
        plan = plan_types(with_types(model), "fp16", ["layers.1"])

        assert [node.name for node in plan.nodes] == ["second"]

    def test_unknown(self, graphs: dict) -> None:
        """A name that no module has is told, with some that there are."""
        with pytest.raises(InputError, match=r"called backbone\.layer\.3\. There are .*backbone\.layers\.1"):
            typed(graphs["fp32"], "fp16", ["backbone.layer.3"])


def low_nodes(model: onnx.ModelProto) -> set[str]:
    """Nodes that return float16."""
    types = element_types(model)
    return {node.name for node in model.graph.node if types[node.output[0]] == TensorProto.FLOAT16}


def two_products(first: str, second: str, weight: float = 0.5) -> onnx.ModelProto:
    """x -> x W in module `first` -> W y in module `second`; one weight for both."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], name="first"),
        helper.make_node("MatMul", ["w", "y"], ["z"], name="second"),
    ]
    for node, module in zip(nodes, (first, second), strict=True):
        node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=str(["", module, "linear"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in ("x", "z")]
    weights = [numpy_helper.from_array(np.full((2, 2), weight, np.float32), "w")]
    graph = helper.make_graph(nodes, "two", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_weight_that_both_types_read_is_there_twice() -> None:
    """A shared weight keeps its name in float32, and has a copy in the low type."""
    new = typed(two_products("a", "b"), "fp16", ["a"])
    onnx.checker.check_model(new, full_check=True)

    assert {x.name: x.data_type for x in new.graph.initializer} == {"w": TensorProto.FLOAT, "w_fp16": LOW["fp16"]}
    assert [list(node.input) for node in new.graph.node] == [["x", "w"], ["y"], ["w_fp16", "y_fp16"], ["z_fp16"]]
    assert [list(node.output) for node in new.graph.node][-1] == ["z"]


def test_the_model_is_left_alone(graphs: dict) -> None:
    """`typed` returns a copy."""
    before = graphs["fp32"].SerializeToString(deterministic=True)
    typed(graphs["fp32"], "bf16")

    assert graphs["fp32"].SerializeToString(deterministic=True) == before


def test_a_weight_that_does_not_fit() -> None:
    """float16 ends at 65504: a weight beyond it is named; bfloat16 takes it."""
    with pytest.raises(ExportError, match=r"The weight w reaches 1e\+05, but float16 ends at 65504"):
        typed(two_products("a", "b", 1e5), "fp16")
    assert typed(two_products("a", "b", 1e5), "bf16")


def test_rounding_to_bfloat16_is_that_of_torch() -> None:
    """To nearest, halves to even; infinities and NaN stay what they are."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal(10_000).astype(np.float32) * np.float32(10) ** rng.integers(-40, 38, 10_000)
    edges = np.array([0, -0.0, np.inf, -np.inf, 3.3e38, 1e-45, 1.00390625, 1.01171875], np.float32)
    values = np.concatenate([values.astype(np.float32), edges])

    stored = _converted(ir.tensor(values), ir.DataType.BFLOAT16, "x").tobytes()

    wanted = torch.from_numpy(values).bfloat16().view(torch.int16).numpy()
    np.testing.assert_array_equal(np.frombuffer(stored, np.int16), wanted)
    nan = _converted(ir.tensor(np.float32([np.nan])), ir.DataType.BFLOAT16, "x").tobytes()
    assert torch.frombuffer(bytearray(nan), dtype=torch.bfloat16).isnan().all()


class TestRefusals:
    def test_precisions(self, graphs: dict) -> None:
        """fp16 and bf16 are types; int8 is another matter."""
        with pytest.raises(InputError, match="fp16 or bf16, not in 'int8'"):
            typed(graphs["fp32"], "int8")

    def test_typed_twice(self, files: dict) -> None:
        """A typed file is not typed again."""
        with pytest.raises(InputError, match="typed already; start from the float32 one"):
            typed(files["fp16"], "bf16")

    def test_quantized(self) -> None:
        """A quantised file is refused, and the right order is said."""
        model = two_products("a", "b")
        model.graph.node.insert(0, helper.make_node("QuantizeLinear", ["x", "s", "p"], ["q"], name="q"))
        model.graph.initializer.append(numpy_helper.from_array(np.float32(1), "s"))
        model.graph.initializer.append(numpy_helper.from_array(np.int8(0), "p"))
        with pytest.raises(InputError, match=r"quantized already\. Give it its types first"):
            typed(model, "fp16")

    def test_graphs_inside(self) -> None:
        """A node with a graph of its own, which reads what it likes, is refused."""
        inner = helper.make_graph([], "inner", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, [2, 2])])
        model = two_products("a", "b")
        model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
        model.graph.node.append(helper.make_node("If", ["yes"], ["i"], name="if", then_branch=inner, else_branch=inner))
        with pytest.raises(ExportError, match=r"If \(if\) holds a graph of its own"):
            typed(model, "fp16")

    def test_unknown_operators(self) -> None:
        """An operator that the standard does not have is named."""
        model = two_products("a", "b")
        model.graph.node[0].op_type = "NotAnOperator"
        with pytest.raises(ExportError, match=r"NotAnOperator \(first\) is not an operator of ONNX's opset 20"):
            typed(model, "fp16")
