"""benchmarks/train_step.py compares what computes the same."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Modules of benchmarks/ by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module


def test_three_passes_are_the_model(load: Callable[[str], Any]) -> None:
    """In float32 the passes one by one, with the loop, give the loss and the gradient of the model, and all parts."""
    bench = load("train_step").Bench(8, "tiny")
    with torch.no_grad():
        for parameter in bench.model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)

    apart = load("train_step").agreement(bench)

    assert max(apart.values()) < 1e-4
    for candidate in bench.candidates.values():
        bench.step(candidate)
        assert len(candidate.rounds[0]) == len(load("train_step").PARTS)


def test_another_model_is_refused(load: Callable[[str], Any]) -> None:
    """A candidate that computes something else ends the benchmark."""
    bench = load("train_step").Bench(8, "tiny")
    theirs = bench.candidates["three passes"].forward
    bench.candidates["three passes"].forward = lambda images, cameras: theirs(images.flip(1), cameras)

    with pytest.raises(SystemExit, match="do not compute the same"):
        load("train_step").agreement(bench)
