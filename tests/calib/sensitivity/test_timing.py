"""Milliseconds in the target's runtime."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from mambapro.calib.ranges import session_with
from mambapro.calib.sensitivity import timing as clocks
from mambapro.calib.sensitivity.timing import LEAST_RUNS, WARMUP, clock
from mambapro.errors import InputError


def test_onnxruntime(graphs: dict[str, onnx.ModelProto], inputs: dict[str, np.ndarray]) -> None:
    """A model in memory is timed in ONNX Runtime; four samples take longer than one."""
    clocks_of = [clock("onnxruntime", inputs, batch, seconds=0.0) for batch in (1, 6)]

    # the fastest of three: other work on the machine only makes it slower
    times = [min(timed(graphs["fp32"]) for _ in range(3)) for timed in clocks_of]

    assert 0 < times[0] < times[1] < 60_000


def test_openvino_gets_the_file(
    graphs: dict[str, onnx.ModelProto], inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO is given the model as a file and the hint of an int8 artifact, and only as many samples as asked."""
    seen: list[object] = []

    class Backend:
        inputs = ("rgb", "camera")

        def __init__(self, model: Path, hint: str) -> None:
            seen.extend((len(model.read_bytes()), hint))

        def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            seen.append((tuple(feeds), len(feeds["rgb"])))
            return {}

        def close(self) -> None:
            seen.append("closed")

    monkeypatch.setattr(clocks, "OpenVinoBackend", Backend)

    assert clock("openvino", inputs, 2, seconds=0.0)(graphs["fp32"]) >= 0
    assert seen[:2] == [graphs["fp32"].ByteSize(), "bf16"]
    assert seen[2:-1] == [(("rgb", "camera"), 2)] * (WARMUP + LEAST_RUNS)
    assert seen[-1] == "closed"


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be held there")
def test_models_of_killed_runs_go(
    graphs: dict[str, onnx.ModelProto], inputs: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed clock or calibration left in the temporary folder goes with the next of either; others' stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("mambapro-clock-abcdefgh.tmp", "mambapro-calibrate-abcdefgh.tmp", "mambapro-other"):
        (tmp_path / name / "content").mkdir(parents=True)
        (tmp_path / name / "content" / "model.onnx").write_bytes(b"left")

    clock("onnxruntime", inputs, 1, seconds=0.0)(graphs["fp32"])
    assert [path.name for path in tmp_path.iterdir()] == ["mambapro-other"]
    with session_with(graphs["fp32"], ()):
        assert [path.name for path in tmp_path.iterdir()] == ["mambapro-other"]


def test_bad_input(inputs: dict[str, np.ndarray]) -> None:
    """Targets that cannot be timed here, and batches that there are no samples for."""
    with pytest.raises(InputError, match="onnxruntime or openvino"):
        clock("tensorrt", inputs)
    with pytest.raises(InputError, match="batch of 7 was to be timed, of 6"):
        clock("onnxruntime", inputs, 7)


def test_the_median_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven runs of 2 ms but for one of a second: 2.0."""
    now = [0.0]
    durations = iter([0.001, 0.001, *[0.002] * 3, 1.0, *[0.002] * 3])
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: now[0])

    class Backend:
        def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            now[0] += next(durations)
            return {}

    assert clocks._median(Backend(), {}, 0.0) == pytest.approx(2.0)  # type: ignore[arg-type]
