"""The ONNX function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from mambapro.plugins.selective_scan import reference
from mambapro.plugins.selective_scan.onnx_op import add_function, function_proto
from mambapro.plugins.selective_scan.schema import DOMAIN, INPUTS, NODE_ATTRIBUTES, OP_TYPE
from onnx import TensorProto, helper

#: batch, length, channels, groups, state
CASES = [(1, 1, 4, 1, 1), (2, 7, 12, 3, 4), (3, 16, 8, 2, 16), (1, 17, 8, 1, 16), (2, 130, 32, 1, 16)]
IDS = ["b{}-l{}-c{}-g{}-n{}".format(*case) for case in CASES]


def inputs(case: tuple[int, ...], seed: int = 0) -> dict[str, np.ndarray]:
    """Random float64 inputs of a case, by name."""
    batch, length, channels, groups, state = case
    normal = np.random.default_rng(seed).standard_normal
    return {
        "u": normal((batch, length, channels)),
        "delta": normal((batch, length, channels)),
        "A": -np.exp(normal((channels, state))),
        "B": normal((batch, length, groups, state)),
        "C": normal((batch, length, groups, state)),
        "D": normal((channels,)),
        "delta_bias": normal((channels,)),
    }


def onnx_model(kind: int) -> onnx.ModelProto:
    """A model of one SelectiveScan node and its function, all sizes dynamic."""
    shapes = {"A": "cn", "B": "blgn", "C": "blgn", "D": "c", "delta_bias": "c", "u": "blc", "delta": "blc"}
    kinds = {name: TensorProto.FLOAT if name in ("A", "D", "delta_bias") else kind for name in INPUTS}
    values = [helper.make_tensor_value_info(name, kinds[name], list(shapes[name])) for name in INPUTS]
    y = helper.make_tensor_value_info("y", kind, list("blc"))
    node = helper.make_node(OP_TYPE, list(INPUTS), ["y"], domain=DOMAIN, **NODE_ATTRIBUTES)
    graph = helper.make_graph([node], "scan", values, [y])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    add_function(model)
    return model


def with_onnxruntime(model: onnx.ModelProto, arrays: dict[str, np.ndarray], dtype: type) -> np.ndarray:
    """The model's output for arrays, through ONNX Runtime."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    kinds = {name: np.float32 if name in ("A", "D", "delta_bias") else dtype for name in INPUTS}
    return session.run(None, {name: arrays[name].astype(kinds[name]) for name in INPUTS})[0]


class TestOnnx:
    @pytest.mark.parametrize("case", CASES, ids=IDS)
    @pytest.mark.parametrize(("kind", "dtype", "limit"), [(1, np.float32, 2e-6), (10, np.float16, 2e-3)])
    def test_agrees_with_the_definition(self, case: tuple[int, ...], kind: int, dtype: type, limit: float) -> None:
        """The function of one file serves every size, in float32 and float16."""
        arrays = {
            name: array if name in ("A", "D", "delta_bias") else array.astype(dtype).astype(np.float64)
            for name, array in inputs(case).items()
        }
        wanted = reference.selective_scan(**arrays)

        found = with_onnxruntime(onnx_model(kind), arrays, dtype)

        assert found.dtype == dtype
        assert np.abs(found - wanted).max() <= limit * np.abs(wanted).max()

    def test_is_valid_onnx(self, tmp_path: Path) -> None:
        """The model passes ONNX's full check with shape inference."""
        onnx.checker.check_model(onnx_model(TensorProto.FLOAT), full_check=True)

    def test_the_scan_captures_nothing(self) -> None:
        """Every name the Scan's body reads is its own: captured values break other runtimes."""
        (scan,) = [node for node in function_proto().node if node.op_type == "Scan"]
        body = next(attribute.g for attribute in scan.attribute if attribute.name == "body")
        known = {value.name for value in body.input}

        for node in body.node:
            assert set(node.input) <= known, node
            known |= set(node.output)

    def test_casts_stand_inside_the_scan(self) -> None:
        """In front of the Scan a cast breaks TensorRT-RTX in float16."""
        assert not {node.op_type for node in function_proto().node} & {"Cast", "CastLike", "Softplus"}
