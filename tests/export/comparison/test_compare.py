"""A checkpoint beside its bundles: each timed in a process of its own, in turns, and no ratio of a busy machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mambapro.common.rounds import Spread, ratios
from mambapro.errors import InputError
from mambapro.export.comparison import compare as module
from mambapro.export.comparison.compare import Comparison, compare_bundles
from mambapro.export.comparison.comparison_rows import PYTORCH, ComparisonRow
from mambapro.export.pipeline import ExportReport
from mambapro.synthetic.benchmark import draw_benchmark


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn benchmark."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_benchmark(folder, "rgbnt201", identities=(2, 3), views=2)
    return folder


class Clock:
    """A machine with made-up time: PyTorch takes 90 ms, everything else 10, and something else runs for a while."""

    def __init__(self, busy: tuple[int, int], slowdown: dict[str, float]) -> None:
        self.turn, self.busy, self.slowdown = 0, busy, slowdown

    def process(self, name: str, job: dict[str, Any], worker: str) -> Any:
        """Stands for TimedProcess."""
        clock = self

        class Process:
            def __init__(self) -> None:
                self.name = name

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                return None

            def wait(self) -> None:
                return None

            def milliseconds(self, *_: float) -> float:
                busy = clock.busy[0] <= clock.turn < clock.busy[1]
                clock.turn += 1
                usual = 90.0 if name == PYTORCH else 10.0
                return usual * (clock.slowdown.get(name, 1.0) if busy else 1.0)

        return Process()


@pytest.mark.parametrize("slowdown", [{PYTORCH: 4.0}, {"a": 4.0}, {PYTORCH: 4.0, "a": 4.0, "b": 3.5}], ids=str)
@pytest.mark.parametrize("start", range(0, 11, 2))
def test_a_busy_third_gives_the_right_ratio_or_none(
    start: int, slowdown: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five of fifteen turns are disturbed, in any place: nine times PyTorch stays about nine, or is refused."""
    monkeypatch.setattr(module, "TimedProcess", Clock((start, start + 5), slowdown).process)

    times = module._times({PYTORCH: {}, "a": {}, "b": {}}, 20, 5, lambda items, *_: items)

    for name in ("a", "b"):
        found = ratios(times[PYTORCH], times[name])
        assert found.value is None or found.value == pytest.approx(9, rel=0.15)
    assert all(len(rounds) == 5 for rounds in times.values())


def row(name: str, speedups: tuple[float, ...]) -> ComparisonRow:
    """A row of these ratios."""
    spread = Spread(speedups)
    return ComparisonRow(name, 0.5, 0.5, 1.0, 10.0, (9.5, 10.0, 11.0), spread.value, speedups)


def test_the_table_shows_the_spread_or_no_ratio() -> None:
    """The ratio with both ends, or the ends alone; in JSON null, and the rounds either way."""
    rows = (row(PYTORCH, (1.0, 1.0, 1.0)), row("good", (8.6, 9.1, 9.8)), row("bad", (9.0, 37.0, 9.1)))
    comparison = Comparison("rgbnt201", 3, 4, 2, rows)

    text, content = str(comparison), json.loads(json.dumps(comparison.to_json(), allow_nan=False))

    assert "10.0 (9.5 to 11.0)  9.1x (8.6 to 9.8 in 3 rounds)" in text
    assert "not comparable: 3 rounds between 9x and 37x; the machine was busy" in text and "9.1x" not in text[-90:]
    assert [entry["speedup"] for entry in content["rows"]] == [1.0, 9.1, None]
    assert content["rows"][2]["speedups"] == [9.0, 37.0, 9.1] and content["rows"][2]["rounds"] == [9.5, 10.0, 11.0]


def test_a_checkpoint_beside_its_bundle(
    exports: dict[str, ExportReport], tiny_checkpoint: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are evaluated on the same samples and timed in real processes; the float32 file is PyTorch's equal."""
    monkeypatch.setattr(module, "_SECONDS", 0.0)

    found = compare_bundles(tiny_checkpoint, [exports["fp32"].bundle], data, "rgbnt201", runs=2, rounds=2)

    first, second = found.rows
    assert (first.model, second.model) == (PYTORCH, "fp32.mambapro")
    assert second.min_cosine == pytest.approx(1, abs=1e-8) and second.map == pytest.approx(first.map)
    assert (first.speedup, first.speedups) == (1.0, (1.0, 1.0))
    assert all(len(entry.rounds) == 2 and min(entry.rounds) > 0 for entry in found.rows)
    assert second.speedups == tuple(a / b for a, b in zip(first.rounds, second.rounds, strict=True))


def test_bundles_of_other_weights_are_refused(
    exports: dict[str, ExportReport], tiny_checkpoint: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """InputError before anything is evaluated."""
    opened = module.Bundle.open

    def of_others(path: Path) -> Any:
        bundle = opened(path)
        space = replace(bundle.metadata.feature_space, id="0" * 64)
        metadata = replace(bundle.metadata, fingerprint=space.id, feature_space=space)
        return replace(bundle, metadata=metadata)

    monkeypatch.setattr(module.Bundle, "open", staticmethod(of_others))

    with pytest.raises(InputError, match="of another model than"):
        compare_bundles(tiny_checkpoint, [exports["fp32"].bundle], data, "rgbnt201")
