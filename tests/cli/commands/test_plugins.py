"""mambapro plugins: what can be used, building ahead, checking."""

from __future__ import annotations

import importlib.machinery
import json
import sys
import types

import numpy as np
import pytest
from mambapro.cli.main import run
from mambapro.plugins.selective_scan import status
from mambapro.plugins.selective_scan.cpu import kernel as cpu_kernel
from mambapro.plugins.selective_scan.status import BackendCheck, CheckReport


class TestList:
    def test_every_face_is_ready_or_says_why_not(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The CPU kernel is ready here; a face that is not has a reason."""
        assert run(["plugins", "list", "--json"]) == 0

        found = {row["face"]: row["reason"] for row in json.loads(capsys.readouterr().out)["faces"]}
        assert found["CPU kernel"] is None and found["PyTorch, CPU"] is None
        assert all(reason is None or len(reason) > 10 for reason in found.values())


class TestBuild:
    def test_an_unknown_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Exit code 2, with the names there are."""
        assert run(["plugins", "build", "tensorflow"]) == 2
        assert "allowed are onnxruntime, openvino, tensorrt" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("name", "variable"), [("tensorrt", "TENSORRT_INCLUDE_DIR"), ("onnxruntime", "ONNXRUNTIME_INCLUDE_DIR")]
    )
    def test_missing_headers(
        self, name: str, variable: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Exit code 3, with the variable that names their folder."""
        monkeypatch.setenv(variable, "/nowhere")

        assert run(["plugins", "build", name]) == 3
        assert variable in capsys.readouterr().err


class TestCheck:
    def test_a_broken_onnxruntime_is_told(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What an uninstalled package left behind is a reason of its rows; the others are tried."""
        left = types.ModuleType("onnxruntime")
        left.__spec__ = importlib.machinery.ModuleSpec("onnxruntime", None)
        monkeypatch.setitem(sys.modules, "onnxruntime", left)

        assert run(["plugins", "check"]) == 0

        printed = capsys.readouterr().out
        assert "the installed ONNX Runtime is broken" in printed and "OpenVINO, extension" in printed

    def test_every_instruction_set_is_tried(self, capsys: pytest.CaptureFixture[str]) -> None:
        """All of this machine's are compared with the definition, and the one in use stays."""
        before = cpu_kernel.instruction_set()

        assert run(["plugins", "check", "--json"]) == 0

        found = {row["face"]: row["error"] for row in json.loads(capsys.readouterr().out)["faces"]}
        for name in cpu_kernel.instruction_sets():
            assert 0 < found[f"CPU kernel, {name}"] <= status.LIMIT
        assert cpu_kernel.instruction_set() == before

    @pytest.mark.parametrize("error", [6e-6, float("inf"), float("nan")])
    def test_a_wrong_face_is_an_error(
        self, error: float, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Exit code 3; the table is printed all the same."""
        monkeypatch.setattr(status, "check", lambda: CheckReport((BackendCheck("CPU kernel", error, None),)))

        assert run(["plugins", "check"]) == 3
        assert "WRONG" in capsys.readouterr().out

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("size", range(len(status.SHAPES)))
    def test_one_number_that_is_none_is_an_error(
        self, size: int, value: float, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Exit code 3 for a kernel that returns NaN or infinity in one place of one size, the first or the last."""
        run_kernel, calls = status._with_kernel, iter(range(10**6))

        def poisoned(arrays: dict[str, np.ndarray]) -> np.ndarray:
            y = run_kernel(arrays)
            if next(calls) % len(status.SHAPES) == size:
                y[0, -1, 0] = value
            return y

        monkeypatch.setattr(status, "_with_kernel", poisoned)
        monkeypatch.setattr(status, "_without", lambda package: f"{package} is not tried")

        assert run(["plugins", "check"]) == 3
        assert "WRONG" in capsys.readouterr().out
