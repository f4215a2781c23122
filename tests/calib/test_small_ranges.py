"""The range check on graphs whose every value is known: magnitudes, of weights too, in every batch, by module."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from mambapro.calib.float16_range import range_check
from mambapro.errors import ExportError
from mambapro.graph.value_types import SCOPES
from onnx import TensorProto, helper, numpy_helper


def scoped(node: onnx.NodeProto, module: str) -> onnx.NodeProto:
    """The node, saying which module it is of, as torch's exporter writes it."""
    entry = node.metadata_props.add()
    entry.key, entry.value = SCOPES, str(["", module, "node"])
    return node


def two_products(first: np.ndarray, second: np.ndarray) -> onnx.ModelProto:
    """`y` = (x A) B, in the modules part.one and part.two."""
    nodes = [
        scoped(helper.make_node("MatMul", ["x", "A"], ["h"], name="one"), "part.one"),
        scoped(helper.make_node("MatMul", ["h", "B"], ["y"], name="two"), "part.two"),
    ]
    weights = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in (("A", first), ("B", second))]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def batches(*rows: tuple[float, float]) -> list[dict[str, np.ndarray]]:
    """Batches of one sample."""
    return [{"x": np.array([row], np.float32)} for row in rows]


IDENTITY = np.eye(2)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_magnitudes_of_every_batch(place: int, sign: float) -> None:
    """One value of one batch reaches too far, up or down, in the first batch, the middle one or the last."""
    rows = [(1.0, 1.0)] * 3
    rows[place] = (1.0, sign * 40000.0)

    report = range_check(two_products(IDENTITY, IDENTITY), batches(*rows), threads=1)

    assert {value.name for value in report.wide} >= {"h"}
    assert report.largest == 40000.0 and report.samples == 3
    assert all(value.largest == 40000.0 for value in report.wide)


def test_the_modules_that_make_it_and_compute_with_it() -> None:
    """A wide value between two modules keeps both; what it was made of and what comes of it stay as they are."""
    report = range_check(two_products(1e4 * IDENTITY, 1e-4 * IDENTITY), batches((4.0, 1.0)), threads=1)

    (wide,) = report.wide
    assert (wide.name, wide.module, wide.largest) == ("h", "part.one", pytest.approx(40000.0))
    assert wide.keep == ("part.one", "part.two") and report.keep == ("part.one", "part.two")


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_weights_are_looked_at(sign: float) -> None:
    """A weight beyond float16 keeps the module that reads it, though every value stays small."""
    weight = np.diag([sign * 1e6, 1.0])

    report = range_check(two_products(IDENTITY, weight), batches((1e-6, 1.0)), threads=1)

    (wide,) = report.wide
    assert (wide.name, wide.module, wide.largest) == ("B", "part.two", pytest.approx(1e6))
    assert report.keep == ("part.two",)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_not_finite_is_named(place: int, value: float) -> None:
    """In any batch, with its module."""
    rows = [(1.0, 1.0)] * 2
    rows[place] = (1.0, value)

    with pytest.raises(ExportError, match=r"h in part\.one is (NaN|infinite) in float32 already"):
        range_check(two_products(IDENTITY, IDENTITY), batches(*rows), threads=1)
