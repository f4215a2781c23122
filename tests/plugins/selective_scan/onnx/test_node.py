"""The ONNX node and its function: in ONNX Runtime, ONNX's reference evaluator and TensorRT-RTX."""

from __future__ import annotations

import ctypes
import importlib.util
import statistics
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import scan_cases
import torch
from mambapro.plugins.selective_scan.onnx.function import function_proto
from mambapro.plugins.selective_scan.onnx.node import add_function, scan_model, translation_table
from mambapro.plugins.selective_scan.schema import DOMAIN, INPUTS, NODE_ATTRIBUTES, OP_TYPE
from mambapro.plugins.selective_scan.torch_op import selective_scan
from onnx import helper
from scan_cases import CASES, LIMITS, Case, assert_close, stored, wanted

KINDS = ("float32", "float16", "bfloat16")
#: One of each sort, for what is slow.
FEW = [Case(1, 1, 1, 1, 1), Case(2, 7, 12, 3, 4), Case(2, 37, 20, 2, 16, "tiny-steps"), Case(2, 37, 20, 2, 16, "nan-u")]


@pytest.fixture(scope="module", params=KINDS)
def session(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """An I/O type, and ONNX Runtime with the one model that serves every size of it."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = scan_model(request.param).SerializeToString()
    return request.param, onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def run(session: Any, case: Case, kind: str) -> np.ndarray:
    """y of a case; NumPy has no bfloat16, so that goes in and out as bits."""
    from onnxruntime import OrtValue

    feeds = {}
    for name, array in stored(case, kind).items():
        if array.dtype == np.uint16:
            feeds[name] = OrtValue.ortvalue_from_numpy_with_onnx_type(array, onnx.TensorProto.BFLOAT16)
        else:
            feeds[name] = OrtValue.ortvalue_from_numpy(array)
    (y,) = session.run_with_ort_values(None, feeds)
    if kind != "bfloat16":
        assert y.numpy().dtype == kind
        return y.numpy()
    assert y.data_type() == "tensor(bfloat16)"
    bits = (ctypes.c_uint16 * int(np.prod(y.shape()))).from_address(y.data_ptr())
    return scan_cases.from_bfloat16(np.array(bits, np.uint16).reshape(y.shape()))


class TestOnnxRuntime:
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_agrees_with_the_definition(self, session: tuple[str, Any], case: Case) -> None:
        """The function of one file serves every size; NaN and infinities come out where they belong."""
        kind, runtime = session

        assert_close(run(runtime, case, kind), wanted(case, kind), LIMITS[kind])

    def test_softplus_keeps_tiny_steps(self) -> None:
        """The step is right to its last bits from -80 to 80: with one token and B = C = u = 1, y is the step."""
        onnxruntime = pytest.importorskip("onnxruntime")
        delta = np.linspace(-80, 80, 100_001, dtype=np.float32)
        ones = np.ones((1, 1, 1, 1), np.float32)
        feeds = {"u": np.ones((1, 1, delta.size), np.float32), "delta": delta[None, None], "B": ones, "C": ones}
        feeds |= {"A": -np.ones((delta.size, 1), np.float32), "D": 0 * delta, "delta_bias": 0 * delta}
        session = onnxruntime.InferenceSession(scan_model().SerializeToString(), providers=["CPUExecutionProvider"])

        (y,) = session.run(None, feeds)

        step = np.logaddexp(0, delta.astype(np.float64))
        assert np.abs(y[0, 0] / step - 1).max() < 5e-7

    @pytest.mark.alone
    def test_is_twice_as_fast_as_the_obvious_form(self) -> None:
        """At batch 1 and both lengths of MambaPro; benchmarks/scan_onnx.py prints the ratio, 3 and more."""
        pytest.importorskip("onnxruntime")
        benchmark = script("scan_onnx")
        for size in benchmark.SIZES[:2]:
            arrays = benchmark.inputs(*size)
            ours, obvious = (
                statistics.median(benchmark.milliseconds(form(), arrays, runs=10))
                for form in (function_proto, benchmark.obvious_function)
            )

            assert obvious > 2 * ours, size

    def test_benchmark_compares_equals(self) -> None:
        """The forms that the benchmark compares return the same numbers."""
        onnxruntime = pytest.importorskip("onnxruntime")
        benchmark = script("scan_onnx")
        arrays = benchmark.inputs(2, 9, 12, 3)
        found = {}
        for name, form in benchmark.FORMS.items():
            model = benchmark.model_with(form()).SerializeToString()
            (found[name],) = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, arrays)

        for name, y in found.items():
            assert_close(y, found["obvious"].astype(np.float64), LIMITS["float32"], name)


def script(name: str) -> ModuleType:
    """A script of benchmarks/ as a module."""
    path = Path(__file__).parents[4] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestReferenceEvaluator:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("case", FEW, ids=str)
    def test_agrees_with_the_definition(self, case: Case, kind: str) -> None:
        """The file is standard ONNX: ONNX's own evaluator runs it, in every type."""
        import ml_dtypes
        from onnx.reference import ReferenceEvaluator

        feeds = stored(case, kind)
        feeds = {name: x.view(ml_dtypes.bfloat16) if x.dtype == np.uint16 else x for name, x in feeds.items()}

        (y,) = ReferenceEvaluator(scan_model(kind)).run(None, feeds)

        assert y.dtype == kind
        assert_close(y, wanted(case, kind), LIMITS[kind])


class TestFunction:
    @pytest.mark.parametrize("kind", KINDS)
    def test_is_valid_onnx(self, kind: str) -> None:
        """The model passes ONNX's full check with strict shape inference, which knows the output's type and sizes."""
        model = scan_model(kind)
        onnx.checker.check_model(model, full_check=True)
        model.graph.output[0].type.tensor_type.ClearField("shape")

        (output,) = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph.output

        assert output.type == scan_model(kind).graph.output[0].type

    def test_the_scan_captures_nothing(self) -> None:
        """Every name the Scan's body reads is its own: captured values break other runtimes."""
        body = scan_body()
        known = {value.name for value in body.input}

        for node in body.node:
            assert set(node.input) <= known, node
            known |= set(node.output)

    def test_no_output_of_the_body_is_its_input(self) -> None:
        """ONNX Runtime returns wrong numbers for a state that is handed on without a node."""
        body = scan_body()

        assert not {value.name for value in body.output} & {value.name for value in body.input}

    def test_b_and_c_are_cast_inside_the_scan(self) -> None:
        """In front of the Scan their casts break TensorRT-RTX in float16."""
        outside = {name for node in function_proto().node if node.op_type == "Cast" for name in node.input}
        inside = {name for node in scan_body().node if node.op_type == "Cast" for name in node.input}

        assert outside == {"u", "delta"}
        assert inside == {"B_t", "C_t"}

    def test_takes_the_opset_of_the_model(self) -> None:
        """Runtimes want one version of the standard operators in the whole file."""
        for opset in (18, 20, 23):
            (function,) = scan_model(opset=opset).functions

            assert [(entry.domain, entry.version) for entry in function.opset_import] == [("", opset)]

    def test_is_not_added_where_there_is_no_node(self) -> None:
        """A model without a SelectiveScan node stays as it is."""
        value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
        graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "other", [value], [])
        model = helper.make_model(graph)
        before = model.SerializeToString()

        add_function(model)

        assert model.SerializeToString() == before


def scan_body() -> onnx.GraphProto:
    """The body of the function's one Scan."""
    (scan,) = [node for node in function_proto().node if node.op_type == "Scan"]
    (body,) = [attribute.g for attribute in scan.attribute if attribute.name == "body"]
    return body


class TestTranslation:
    def test_the_operator_becomes_one_node(self) -> None:
        """torch.onnx.export writes the PyTorch operator as one node with the plugin's attributes."""

        class Scan(torch.nn.Module):
            def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
                return selective_scan(*inputs)

        case = Case(2, 7, 12, 3, 4)
        tensors = tuple(torch.from_numpy(array) for array in stored(case, "float32").values())
        program = torch.onnx.export(
            Scan().eval(),
            tensors,
            dynamo=True,
            opset_version=20,
            custom_translation_table=translation_table(),
            verbose=False,
        )

        (node,) = program.model_proto.graph.node
        assert (node.domain, node.op_type, len(node.input)) == (DOMAIN, OP_TYPE, len(INPUTS))
        assert {attribute.name: attribute.s.decode() for attribute in node.attribute} == NODE_ATTRIBUTES


#: Builds the engine of a file for one GPU architecture. In a process of its own: no test before has registered a
#: plugin of the node's name there.
BUILD = """
import sys
import tensorrt_rtx as trt

logger = trt.Logger(trt.Logger.ERROR)
builder = trt.Builder(logger)
network = builder.create_network(0)
parser = trt.OnnxParser(network, logger)
if not parser.parse(open(sys.argv[1], "rb").read()):
    sys.exit("\\n".join(str(parser.get_error(i)) for i in range(parser.num_errors)))
config = builder.create_builder_config()
profile = builder.create_optimization_profile()
for i in range(network.num_inputs):
    tensor = network.get_input(i)
    shapes = [tuple(size if size > 0 else batch for size in tensor.shape) for batch in (1, 2, 8)]
    profile.set_shape(tensor.name, *shapes)
config.add_optimization_profile(profile)
config.num_compute_capabilities = 1
config.set_compute_capability(trt.ComputeCapability.SM86, 0)
engine = builder.build_serialized_network(network, config)
sys.exit("no engine" if engine is None else 0)
"""


class TestTensorRtRtx:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("sizes", [(128, 3072, 3), (384, 1024, 1)], ids=["intra", "inter"])
    def test_builds_from_the_function(self, sizes: tuple[int, int, int], kind: str, tmp_path: Path) -> None:
        """Without a plugin the function becomes the engine, with a dynamic batch; no GPU is needed."""
        pytest.importorskip("tensorrt_rtx")
        file = tmp_path / "scan.onnx"
        onnx.save(with_sizes(scan_model(kind), *sizes), file)

        done = subprocess.run([sys.executable, "-c", BUILD, str(file)], capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr


def with_sizes(model: onnx.ModelProto, length: int, channels: int, groups: int) -> onnx.ModelProto:
    """The model with all sizes but the batch fixed."""
    sizes = {"length": length, "channels": channels, "groups": groups, "state": 16}
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    return model
