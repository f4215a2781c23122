"""Progress of a training: the epochs that are left, so that the time of all of them can be told."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from mambapro.train.engine.trainer import Trainer


def test_all_epochs_that_are_left_are_one_loop() -> None:
    """A run that was resumed after its second epoch of five tells three, and trains the third to the fifth."""
    told: list[tuple[str, int | None]] = []
    trained: list[int] = []

    def track(items: Iterable[Any], description: str, total: int | None = None) -> Iterable[Any]:
        told.append((description, total))
        return items

    run: Any = SimpleNamespace(
        epoch=2,
        config=SimpleNamespace(solver=SimpleNamespace(epochs=5)),
        track=track,
        run_epoch=trained.append,
    )
    Trainer.run(run)

    assert told == [("Training epochs", 3)] and trained == [3, 4, 5]
