"""The report of what the machine offers."""

from __future__ import annotations

import json
import subprocess
import sys
import types

import mambapro
import onnx
from mambapro.runtime import environment
from mambapro.runtime.environment import environment_report, identity_model


def test_identity_model_is_valid_onnx():
    """The hand-written bytes pass ONNX's own full check."""
    proto = onnx.load_from_string(identity_model())

    onnx.checker.check_model(proto, full_check=True)
    assert [node.op_type for node in proto.graph.node] == ["Identity"]


def test_report_tells_versions_and_the_provider_that_ran():
    """Versions come from the installed packages, the provider from a model that really ran."""
    report = environment_report()

    assert report.mambapro == mambapro.__version__
    assert report.packages["onnx"] == onnx.__version__
    assert report.provider in report.providers
    assert report.problem is None
    assert json.loads(json.dumps(report.to_json()))["provider"] == report.provider


def test_missing_onnxruntime_is_told_not_raised(monkeypatch):
    """Without ONNX Runtime the report holds the error's text, with what to install."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    report = environment_report()

    assert (report.provider, report.providers) == (None, ())
    assert "mambapro[cpu]" in report.problem
    assert "runs on" in str(report) and "nothing" in str(report)


def test_broken_onnxruntime_is_told_not_raised(monkeypatch):
    """What an uninstalled package left behind is a problem with its remedy, for the report as for every command."""
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))

    report = environment_report()

    assert (report.provider, report.providers) == (None, ())
    assert "has no InferenceSession" in report.problem and "--force-reinstall" in report.problem


def test_telemetry_is_told():
    """A row of the table and a field of the JSON."""
    report = environment_report()

    assert report.to_json()["telemetry"].startswith("off")
    assert any(line.startswith("telemetry") and "off" in line for line in str(report).splitlines())


def test_nothing_but_onnxruntime_is_imported():
    """Versions of torch and others are read without importing them."""
    code = (
        "import sys; from mambapro.runtime.environment import environment_report; environment_report(); "
        "print({'torch', 'onnx', 'tensorrt', 'openvino'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_nvidia_driver_is_read_from_the_tool(monkeypatch):
    """nvidia-smi's lines become the driver and one entry per GPU."""
    lines = "570.1, NVIDIA H100, 80 GiB\n570.1, NVIDIA L4, 24 GiB\n"
    monkeypatch.setattr(
        environment.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess((), 0, stdout=lines)
    )

    assert environment._nvidia() == ("570.1", ("NVIDIA H100, 80 GiB", "NVIDIA L4, 24 GiB"))
