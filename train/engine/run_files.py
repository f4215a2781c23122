"""Files of a training: checkpoints, log, and resume state."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import SetupError
from ..models.checkpoints.weights import save_checkpoint
from ..models.model_spec import Model
from .image_ranges import noted_ranges
from .recipe import Recipe
from .run_folder import FILES
from .state import NAME as STATE
from .state import State, write_state
from .training_report import LOG, CsvLog, EpochRecord

logger = logging.getLogger("mambapro")


class RunFiles:
    """Writer of the files in a training's folder.

    Attributes:
        own: names of files that this run may replace: those it wrote or resumes from.
        saved_epoch: epoch of the weights in last.pth, 0 = none.
        best_epoch, best: epoch with the highest validation metric, and that value.
    """

    def __init__(
        self, folder: Path, model: Model, dataset: str, config: Recipe, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Prepare; `facts` are plain values of the task that every checkpoint holds."""
        self.folder, self.model, self.dataset, self.config = folder, model, dataset, config
        self.facts = facts or {}
        self.log = CsvLog(folder / LOG)
        self.own: set[str] = set()
        self.saved_epoch, self.best_epoch, self.best = 0, 0, -1.0

    def adopt(self) -> None:
        """Treat the files of an interrupted run as those of this run."""
        self.own = {name for name in FILES if (self.folder / name).exists()}

    def save(self, name: str, epoch: int) -> None:
        """Write a checkpoint."""
        training = {"dataset": self.dataset, "epoch": epoch, "config": self.config.to_json(), **self.facts}
        training |= noted_ranges()
        save_checkpoint(self.model, self.folder / name, training=training, overwrite=name in self.own)
        self.own.add(name)

    def write_epoch(self, record: EpochRecord) -> None:
        """Write the checkpoints and the row of an epoch."""
        self.save("last.pth", record.epoch)
        self.saved_epoch = record.epoch
        self.log.write(record)
        logger.info("%s", record)
        better = record.validation is None or record.validation > self.best
        if better:
            self.best_epoch, self.best = record.epoch, record.validation or 0.0
        # Without validation the last epoch is stored as the best one.
        if better and (record.validation is not None or record.epoch == self.config.solver.epochs):
            self.save("best.pth", record.epoch)

    def write_state(self, state: State) -> None:
        """Write the resume state."""
        write_state(self.folder, state, overwrite=STATE in self.own)
        self.own.add(STATE)

    @contextmanager
    def room_wanted(self) -> Iterator[None]:
        """Add the contents of the folder to the error message of a full disk."""
        try:
            yield
        except SetupError as error:
            held = f"last.pth holds the weights after epoch {self.saved_epoch}." if self.saved_epoch else ""
            held += " --resume goes on from state.pth." if (self.folder / STATE).exists() else ""
            raise SetupError(f"{error} {held.strip() or 'There are no weights of this training yet.'}") from error
