"""Engines from TensorRT-RTX's builder, which needs no GPU: the model's ONNX file and the full-size scans.

Every build is a process of its own (tensorrt_rtx_build.py): a registry lives as long as its process.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorrt_models import FULL_SIZE, TYPES, model_files, scans
from tensorrt_rtx_engines import MODEL_SCANS, assert_built, build, run

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("tensorrt_rtx") is None, reason="needs TensorRT-RTX: pip install tensorrt-rtx"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="TensorRT-RTX's wheels are loaded as shared objects of Linux"),
]


class TestModel:
    def test_with_the_plugin_each_scan_is_one_layer(self, tiny_checkpoint: Path) -> None:
        """With the Python front registered the model has a plugin layer for each scan, and builds."""
        report = build("python", model_files(tiny_checkpoint))

        assert {engine["plugins"] for engine in report["engines"]} == {MODEL_SCANS}
        assert_built(report)

    def test_without_it_the_function_is_built(self, tiny_checkpoint: Path) -> None:
        """With nothing registered the function's body takes the place of each scan, and builds."""
        report = build(None, model_files(tiny_checkpoint), capabilities=["SM75", "all", "all but SM75"])

        assert {engine["plugins"] for engine in report["engines"]} == {0}
        assert_built(report)


class TestScans:
    @pytest.mark.parametrize("kind", TYPES)
    def test_full_size(self, tmp_path: Path, kind: str) -> None:
        """The two scans of the full-size model are two plugin layers and nothing else, in every type.

        In float32 and float16 they build for Turing too, alone and together with all others.
        """
        report = build("python", [scans(tmp_path / "scans.onnx", kind, FULL_SIZE)])

        assert {(engine["layers"], engine["plugins"]) for engine in report["engines"]} == {(2, 2)}
        assert_built(report)
        assert kind == "bfloat16" or all(engine["bytes"] for engine in report["engines"])

    @pytest.mark.parametrize("kind", TYPES)
    def test_without_the_plugin(self, tmp_path: Path, kind: str) -> None:
        """The function's body builds in every type."""
        report = build(None, [scans(tmp_path / "scans.onnx", kind, FULL_SIZE)])

        assert {engine["plugins"] for engine in report["engines"]} == {0}
        assert_built(report)


class TestRefusals:
    @pytest.mark.parametrize(
        ("kinds", "message"),
        [
            ({"delta": "float32"}, "delta is float32 but u is float16"),
            ({"A": "float16"}, "A is float16"),
            ({"C": "bfloat16"}, "C is bfloat16 but u is float16"),
        ],
    )
    def test_wrong_types(self, tmp_path: Path, kinds: dict[str, str], message: str) -> None:
        """A mix of types is refused at the build, with what was given."""
        report = build("python", [scans(tmp_path / "wrong.onnx", "float16", kinds=kinds)], capabilities=["SM86"])

        assert report["engines"][0]["bytes"] == 0
        assert message in report["said"]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"A": [12, 5]}, "A must have shape (12, 4)"),
            ({"D": [13]}, "D must have shape (12,)"),
            ({"B": ["batch", 7, 5, 4], "C": ["batch", 7, 5, 4]}, "12 channels cannot be divided into 5 groups"),
            ({"delta": ["batch", 8, 12]}, "delta must have shape"),
        ],
    )
    def test_wrong_shapes(self, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
        """Shapes that do not go together are refused at the build, with what was given."""
        report = build("python", [scans(tmp_path / "wrong.onnx", "float32", changes=changes)], capabilities=["SM86"])

        assert report["engines"][0]["bytes"] == 0
        assert message in report["said"]


class TestImport:
    def test_an_import_before_ours_is_noticed(self) -> None:
        """Where the bindings were imported plainly, plugins would end the process: we refuse, and say what to call."""
        done = run(
            "import tensorrt_rtx\n"
            "from mambapro.plugins.selective_scan.tensorrt import variants\n"
            "from mambapro.plugins.tensorrt import importing\n"
            "print([bool(why) for why in variants.unavailable(tensorrt_rtx).values()])\n"
            "importing.import_module('tensorrt_rtx')\n"
        )

        assert done.stdout.strip() == "[True, True, True]"
        assert "SetupError: tensorrt_rtx was imported before mambapro could prepare it" in done.stderr

    def test_nothing_is_written_into_the_installation(self) -> None:
        """The links live in a temporary folder, which is gone when the process has ended."""
        done = run(
            "import tensorrt_rtx_libs, pathlib\n"
            "from mambapro.plugins.tensorrt import importing, rtx\n"
            "folder = pathlib.Path(tensorrt_rtx_libs.__file__).parent\n"
            "before = sorted(folder.iterdir())\n"
            "importing.import_module('tensorrt_rtx')\n"
            "assert sorted(folder.iterdir()) == before\n"
            "print(*rtx._PREPARED)\n"
        )

        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
        assert not Path(done.stdout.strip()).exists()

    def test_fronts(self) -> None:
        """With TensorRT-RTX the Python front can be used, the ahead-of-time one cannot, and its reason says so."""
        done = run(
            "from mambapro.plugins.selective_scan.tensorrt import variants\n"
            "from mambapro.plugins.tensorrt import importing\n"
            "trt = importing.import_module('tensorrt_rtx')\n"
            "reasons = variants.unavailable(trt)\n"
            "print(reasons['python'], '|', reasons['aot'])\n"
            "variants.register(trt, 'python')\n"
            "variants.register(trt, 'python')\n"
            "print([c.name for c in trt.get_plugin_registry().all_creators].count('SelectiveScan'))\n"
        )

        assert done.returncode == 0, done.stderr
        reasons, count = done.stdout.splitlines()
        assert reasons.startswith("None | tensorrt_rtx 1.")
        assert "no ahead-of-time plugins" in reasons
        assert count == "1"
