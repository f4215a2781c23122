"""The ahead-of-time plugin inside TensorRT's own Python code; its libraries are stand-ins (tensorrt_on_stubs.py)."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mambapro.plugins.selective_scan.cuda.kernel_table import entries, forward_launch, lanes_for
from mambapro.plugins.selective_scan.schema import ScanShape
from mambapro.plugins.selective_scan.tensorrt.aot_plugin import combinations
from mambapro.plugins.selective_scan.tensorrt.rules import TENSORRT_TYPES

PROBE = Path(__file__).parents[3] / "fixtures" / "tensorrt_aot_probe.py"
SHAPES = [ScanShape(2, 7, 200, 2, 4), ScanShape(1, 128, 3072, 3, 16), ScanShape(3, 9, 33, 1, 33)]
GOOD = [{"kind": kind, "shape": shape} for kind in TENSORRT_TYPES for shape in SHAPES]
WRONG = [
    ({"kind": "FLOAT", "shape": SHAPES[0], "changes": {"B": "HALF"}}, "B is float16 but u is float32"),
    ({"kind": "HALF", "shape": SHAPES[0], "changes": {"A": "HALF"}}, "A is float16"),
    ({"kind": "INT8", "shape": SHAPES[0]}, "u is INT8; TensorRT's plugin takes float32, float16, bfloat16"),
    ({"kind": "FLOAT", "shape": (2, 7, 13, 3, 4)}, "13 channels cannot be divided into 3 groups"),
    ({"kind": "FLOAT", "shape": (2, 7, 12, 3, 65)}, "state must be 1 to 64, got 65"),
]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_bindings") is None,
    reason="needs TensorRT's Python bindings: pip install tensorrt_cu13_bindings (1 MB, no libraries)",
)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the builder learns, for every case of GOOD and then of WRONG."""
    request = json.dumps([*GOOD, *(case for case, _ in WRONG)])
    command = [sys.executable, str(PROBE), str(tmp_path_factory.mktemp("stubs")), request]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])["answers"]


@pytest.mark.parametrize("i", range(len(GOOD)), ids=lambda i: f"{GOOD[i]['kind']}-{tuple(GOOD[i]['shape'])}")
class TestGood:
    def test_output(self, answers: list[dict[str, Any]], i: int) -> None:
        """y has the type and the shape of u."""
        assert answers[i]["output"] == [GOOD[i]["kind"]]
        assert answers[i]["shape"] == list(GOOD[i]["shape"][:3])

    def test_types_and_formats(self, answers: list[dict[str, Any]], i: int) -> None:
        """One type for u, delta, B, C and y beside float32 for A, D and delta_bias; LINEAR alone."""
        wanted = [[kind, kind, "FLOAT", kind, kind, "FLOAT", "FLOAT", kind] for kind in TENSORRT_TYPES]

        assert answers[i]["combinations"] == wanted
        assert answers[i]["formats"] == ["LINEAR"]

    def test_a_kernel_for_every_split(self, answers: list[dict[str, Any]], i: int) -> None:
        """Each tactic brings the kernel, the grid and the block that kernel_table names for it."""
        shape, kind = ScanShape(*GOOD[i]["shape"]), TENSORRT_TYPES[GOOD[i]["kind"]]

        kernels = {int(lanes): kernel for lanes, kernel in answers[i]["kernels"].items()}

        assert tuple(sorted(kernels)) == tuple(sorted(lanes_for(shape.state)))
        for lanes, kernel in kernels.items():
            launch = forward_launch(shape, kind, lanes)
            assert kernel["name"] == launch.kernel
            assert (kernel["grid_x"], kernel["grid_y"], kernel["grid_z"]) == launch.grid
            assert (kernel["block_x"], kernel["block_y"], kernel["block_z"]) == (launch.threads, 1, 1)
            assert kernel["shared_mem"] == 0

    def test_the_ptx_holds_that_kernel_alone(self, answers: list[dict[str, Any]], i: int) -> None:
        """The PTX has one entry, with a parameter for each input, each scalar and the output."""
        for kernel in answers[i]["kernels"].values():
            assert entries(kernel["ptx"]) == [kernel["name"]]
            assert kernel["ptx"].count(".param .u64") + kernel["ptx"].count(".param .u32") == 7 + 4 + 1

    def test_scalars(self, answers: list[dict[str, Any]], i: int) -> None:
        """Between the inputs and the output stand length, channels, groups and state."""
        for kernel in answers[i]["kernels"].values():
            assert kernel["scalars"] == list(GOOD[i]["shape"][1:])


@pytest.mark.parametrize("i", range(len(WRONG)), ids=lambda i: WRONG[i][1])
def test_wrong_scans_are_refused(answers: list[dict[str, Any]], i: int) -> None:
    """Types and shapes that break the contract stop the build, with the contract's words."""
    assert WRONG[i][1] in answers[len(GOOD) + i]["error"]


def test_combinations_are_written_for_eight_tensors() -> None:
    """The types stand in TensorRT's spelling, in the order of the inputs, the output last."""
    scan = "FP32|FP16|BF16"

    assert combinations() == f"{scan}, {scan}, FP32, {scan}, {scan}, FP32, FP32, {scan}"
