"""Calibration joined to the building: which layers become int8 under a policy and a table."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from mambapro.errors import ArtifactError, InputError
from mambapro.export.artifacts.build_options import QuantizeOptions
from mambapro.export.artifacts.quantizer import Quantizer
from mambapro.graph.scales import Activation, Observed, ScaleTable
from onnx import TensorProto, helper, numpy_helper

#: Fingerprint of the model.
SPACE = "5" * 64

Make = Callable[..., Quantizer]


@pytest.fixture
def model() -> onnx.ModelProto:
    """Two Linears, `part.one` and then `part.two`."""
    weights = [numpy_helper.from_array(np.eye(4, dtype=np.float32), name) for name in ("A", "B")]
    nodes = [helper.make_node("MatMul", [a, b], [c], name=c) for a, b, c in (("x", "A", "h"), ("h", "B", "y"))]
    for node, module in zip(nodes, ("part.one", "part.two"), strict=True):
        entry = node.metadata_props.add()
        entry.key, entry.value = "pkg.torch.onnx.name_scopes", str(["", module, "linear"])
    value = helper.make_tensor_value_info
    ends = [[value(name, TensorProto.FLOAT, ["batch", 4])] for name in ("x", "y")]
    graph = helper.make_graph(nodes, "two", *ends, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def quantizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes one with a policy file of some text, and a table in which `part.two` is constant."""
    one = Activation(("part.one",), "minmax", 2.0, Observed(-2.0, 2.0))
    table = ScaleTable((one,), 8, "0" * 64, "0" * 64, "minmax", SPACE, constant=("part.two",))

    def make(text: str, calibrated: Callable[[], ScaleTable] = lambda: table) -> Quantizer:
        (tmp_path / "policy.toml").write_text(text)
        found = Quantizer(QuantizeOptions(policy=tmp_path / "policy.toml"))
        monkeypatch.setattr(found, "table", lambda bundle: calibrated())
        return found

    return make


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('default = "int8"', True),
        ('default = "float"\nmodules.part = "int8"', True),
        ('modules."part.two" = "float"', False),
    ],
)
def test_constant_layers_stay_in_float(
    text: str, told: bool, model: onnx.ModelProto, quantizer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A default and a pattern take only what has a scale; what they leave is told, unless the policy left it too."""
    with caplog.at_level(logging.WARNING, "mambapro"):
        made = quantizer(text).quantize(model, "openvino", None)

    assert made.modules == ("part.one",)
    assert [node.op_type for node in made.model.graph.node].count("QuantizeLinear") == 1
    assert json.loads(made.table)["constant"] == ["part.two"]
    assert ("part.two" in caplog.text) == told


def test_constant_layer_by_its_name(model: onnx.ModelProto, quantizer: Make) -> None:
    """A rule that names the very layer cannot be followed, which is an error."""
    with pytest.raises(ArtifactError, match=r"part\.two cannot compute in int8: its input was constant"):
        quantizer('modules."part.two" = "int8"').quantize(model, "openvino", None)


@pytest.mark.parametrize("text", ['default = "float"', 'modules."part.one" = "float"'])
def test_no_layer_left(text: str, model: onnx.ModelProto, quantizer: Make) -> None:
    """An artifact called int8 holds int8: a policy that leaves nothing, or nothing with a scale, is refused."""
    with pytest.raises(InputError, match="No layer of an artifact for openvino would compute in int8"):
        quantizer(text).quantize(model, "openvino", None)


@pytest.mark.parametrize("label", ["fp16", "fp32"])
def test_table_of_another_checkpoint(label: str, tmp_path: Path) -> None:
    """A table fits the float16 bundle of its own checkpoint, and no precision of another one."""
    one = Activation(("part.one",), "minmax", 2.0, Observed(-2.0, 2.0))
    ScaleTable((one,), 8, "0" * 64, "0" * 64, "minmax", SPACE).save(tmp_path / "scales.json")
    quantizer = Quantizer(QuantizeOptions(scales=tmp_path / "scales.json"))
    other = SimpleNamespace(fingerprint="6" * 64, precision=SimpleNamespace(label=label))
    bundle = SimpleNamespace(metadata=other, folder=tmp_path)

    with pytest.raises(ArtifactError, match=f"is of another model \\({SPACE[:16]}\\) than .* \\({'6' * 16}\\)"):
        quantizer.table(bundle)
    other.fingerprint = SPACE
    if label == "fp16":
        assert quantizer.table(bundle).feature_space == SPACE


def test_wrong_policy_before_the_calibration(model: onnx.ModelProto, quantizer: Make) -> None:
    """A pattern for no layer and a policy without int8 are told before anything long."""

    def calibrated() -> ScaleTable:
        raise AssertionError("calibrated")

    for text, words in (('modules."prat.one" = "float"', "matches no layer"), ('default = "float"', "No layer")):
        with pytest.raises(InputError, match=words):
            quantizer(text, calibrated).quantize(model, "openvino", None)


def test_root_of_a_benchmark(tmp_path: Path) -> None:
    """A folder with any of rgb/, nir/, tir/ holds plain images; without one of them it is the benchmark's root."""
    assert QuantizeOptions(tmp_path, dataset="rgbnt201").benchmark_root == tmp_path
    assert QuantizeOptions(tmp_path).benchmark_root is None
    assert QuantizeOptions(dataset="rgbnt201").benchmark_root is None
    (tmp_path / "nir").mkdir()
    assert QuantizeOptions(tmp_path, dataset="rgbnt201").benchmark_root is None
