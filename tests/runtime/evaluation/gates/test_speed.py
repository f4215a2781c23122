"""Interleaved timing: each artifact in a process of its own, which is the package's alone; and the verdict on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mambapro.common.progress import silent
from mambapro.common.records import decode
from mambapro.errors import AccuracyError, SetupError
from mambapro.runtime.bundle.artifact import Sidecar, SpeedGate
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.evaluation.gates import speed as module
from mambapro.runtime.evaluation.gates.speed import require_speed, speed_gate, time_interleaved
from mambapro.runtime.run_options import RunOptions

INT8, BEST, OTHER = "openvino-int8", "openvino-bf16", "openvino-fp32"


@pytest.fixture
def candidates(with_int8: Path, sidecar_of: Callable[..., Sidecar]) -> list[Sidecar]:
    """int8 and two baselines."""
    return [sidecar_of(with_int8 / "model.onnx", "openvino", name) for name in ("int8", "fp32", "bf16")]


def gate(*ratios: float, forced: bool = False) -> SpeedGate:
    """A gate of these rounds."""
    return SpeedGate(1, 10.0, BEST, 11.0, forced, ratios)


def test_each_is_timed_in_its_own_process(with_int8: Path) -> None:
    """Positive milliseconds for every artifact that was given, one value a round."""
    found = time_interleaved(with_int8, Bundle.open(with_int8).artifacts, batch=2, rounds=1, runs=2, seconds=0)

    assert set(found) == {"onnxruntime-fp32", "onnxruntime-int8"}
    assert all(len(values) == 1 and values[0] > 0 for values in found.values())


def test_imports_nothing_from_the_folder_at_hand(
    with_int8: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module in the caller's folder that has the name of one that is needed stays unused."""
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported from the folder')")
    monkeypatch.chdir(tmp_path)

    (time,) = time_interleaved(with_int8, Bundle.open(with_int8).artifacts[:1], rounds=1, runs=1, seconds=0)[
        "onnxruntime-fp32"
    ]
    assert time > 0


def test_turns(candidates: list[Sidecar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rounds, every other one backwards; each process times the model alone for a second or longer."""
    asked: list[tuple[str, tuple[float, ...]]] = []

    class Process:
        def milliseconds(self, *order: float) -> float:
            asked[-1] = (asked[-1][0], order)
            return 1.0

    @contextmanager
    def process(folder: Path, artifact: Sidecar, options: RunOptions, batch: int) -> Iterator[Process]:
        asked.append((artifact.precision, ()))
        yield Process()

    monkeypatch.setattr(module, "artifact_process", process)

    found = time_interleaved(tmp_path, candidates, track=silent)

    there, back = ["int8", "fp32", "bf16"], ["bf16", "fp32", "int8"]
    assert [precision for precision, _ in asked] == [*there, *back, *there, *back, *there]
    assert all(order == (5, 1.0, 1, 1) for _, order in asked)
    assert found == dict.fromkeys((INT8, OTHER, BEST), (1.0,) * 5)


def test_gate_is_against_the_fastest_round_by_round(
    candidates: list[Sidecar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is busy for a round is busy for both: the ratios of the rounds count, not those of the medians."""
    times = {INT8: (10.0, 10.0, 40.0, 40.0, 41.0), BEST: (11.0, 11.0, 44.0, 44.0, 33.0), OTHER: (99.0,) * 5}
    monkeypatch.setattr(module, "time_interleaved", lambda *_, **__: times)

    found = speed_gate(tmp_path, candidates[0], candidates[1:], forced=True)

    assert (found.milliseconds, found.other, found.other_milliseconds, found.forced) == (40.0, BEST, 33.0, True)
    assert found.ratio == pytest.approx(1.1) and (found.low, found.high) == pytest.approx((33 / 41, 1.1))
    assert not found.slower and not found.doubtful


@pytest.mark.parametrize(
    ("ratios", "slower", "doubtful", "undecided"),
    [
        ((1.1, 1.2, 1.3, 1.2, 1.1), False, False, False),
        ((0.9, 1.2, 1.3, 1.2, 1.1), False, False, False),
        ((0.9, 1.2, 1.3, 1.2, 0.8), False, True, True),
        ((0.72, 0.94, 1.55, 1.25, 0.83), True, False, True),
        ((0.9, 0.9, 0.9, 0.9, 1.4), True, False, False),
        ((0.9, 0.8, 0.9, 0.7, 0.99), True, False, False),
        ((1.0, 1.0, 1.0, 1.0, 1.0), True, False, False),
        ((float("nan"),) * 5, True, False, False),
        ((1.2,) * 4 + (float("nan"),), True, False, False),
        ((1.1,) * 12 + (0.9,) * 3, False, False, False),
        ((1.1,) * 11 + (0.9,) * 4, False, True, True),
        ((1.1,), False, False, False),
        ((0.9,), True, False, False),
    ],
)
def test_rule(ratios: tuple[float, ...], slower: bool, doubtful: bool, undecided: bool) -> None:
    """The median decides; clearly faster is what was so in four rounds of five. NaN is never faster."""
    found = gate(*ratios)

    assert (found.slower, found.doubtful, found.undecided) == (slower, doubtful, undecided)
    assert ("not clearly faster" in str(found)) == doubtful


def test_what_is_not_faster_is_refused() -> None:
    """AccuracyError (6) with the spread; in doubt it stays and a note says so; force keeps everything."""
    with pytest.raises(AccuracyError, match=r"openvino-int8 takes 10\.0 ms.*0\.80 to 0\.90 times as fast.*--force"):
        require_speed(gate(0.8, 0.9, 0.8, 0.9, 0.8), INT8)
    assert require_speed(gate(0.8, 0.9, 0.8, 0.9, 0.8, forced=True), INT8) is None
    assert require_speed(gate(1.1, 1.2, 1.1, 1.2, 1.1), INT8) is None
    with pytest.raises(AccuracyError, match=r"0\.80 to 1\.10 times as fast"):
        require_speed(gate(0.8, 1.1, 0.8, 1.1, 0.9), INT8)
    doubt = require_speed(gate(0.8, 1.1, 0.8, 1.1, 1.05), INT8)
    assert doubt == "not clearly faster than openvino-bf16: 1.05 times as fast, 0.80 to 1.10 in 5 rounds"


def test_rounds_that_disagree_give_no_ratio() -> None:
    """Where the largest round is over one and a half times the smallest, no number stands for all of them."""
    assert str(gate(1.1, 1.2, 1.1, 1.2, 1.1)) == (
        "10.0 ms, 1.10 times as fast as openvino-bf16 (1.10 to 1.20 in 5 rounds)"
    )
    assert str(gate(0.8, 1.78, 1.1, 1.2, 1.1)) == (
        "10.0 ms, against openvino-bf16: faster in 4 of 5 rounds, 0.80 to 1.78 times as fast"
    )


@pytest.mark.parametrize(
    ("later", "rounds", "slower", "doubtful"),
    [((1.2,) * 5, 15, False, False), ((0.8,) * 5, 10, True, False), ((0.9, 1.2, 1.1, 1.2, 0.8), 15, False, True)],
)
def test_a_race_that_decides_nothing_goes_on(
    later: tuple[float, ...],
    rounds: int,
    slower: bool,
    doubtful: bool,
    candidates: list[Sidecar],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five rounds that contradict each other are followed by others, fifteen at most; all of them count."""
    parts = iter([(0.72, 0.94, 1.55, 1.25, 0.83), later, later])
    monkeypatch.setattr(
        module,
        "time_interleaved",
        lambda *_, **__: {INT8: (10.0,) * 5, BEST: tuple(10 * x for x in next(parts)), OTHER: (99.0,) * 5},
    )

    found = speed_gate(tmp_path, candidates[0], candidates[1:])

    assert len(found.ratios) == rounds
    assert (found.slower, found.doubtful) == (slower, doubtful)


def test_a_race_that_decides_is_not_prolonged(
    candidates: list[Sidecar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five rounds are enough where one of them at most says otherwise."""
    times = {INT8: (10.0,) * 5, BEST: (9.0, 9.0, 9.0, 9.0, 14.0), OTHER: (99.0,) * 5}
    asked: list[int] = []
    monkeypatch.setattr(module, "time_interleaved", lambda *_, **__: asked.append(1) or times)

    found = speed_gate(tmp_path, candidates[0], candidates[1:])

    assert len(asked) == 1 and found.slower


def test_gates_of_old_sidecars_are_read() -> None:
    """Where the rounds are not known, the two medians decide as before."""
    old = {"batch": 1, "milliseconds": 2.0, "other": BEST, "other_milliseconds": 3.0, "forced": False}

    found = decode(SpeedGate, json.loads(json.dumps(old)))

    assert found == SpeedGate(1, 2.0, BEST, 3.0)
    assert found.ratio == 1.5 and not found.slower and not found.doubtful
    assert str(found) == "2.0 ms, 1.50 times as fast as openvino-bf16"


def test_what_a_process_meets_is_a_setup_error(with_int8: Path, candidates: list[Sidecar]) -> None:
    """An artifact that cannot be opened is named, with the words of its process."""
    with pytest.raises(SetupError, match=r"openvino-int8 could not be timed: .* has nothing for openvino int8"):
        time_interleaved(with_int8, candidates[:1], rounds=1, runs=1, seconds=0)
