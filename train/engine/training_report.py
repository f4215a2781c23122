"""Training report: one record per epoch, one report at the end."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from ...common.files.atomic import write_atomically
from ...common.files.open_files import open_regular
from ...common.foreign_text import escaped
from .distributed import World
from .task import StepLosses

#: The file of the rows of a training's epochs.
LOG = "log.csv"


@dataclass(frozen=True)
class EpochRecord:
    """Record of one epoch. Losses are means over its steps, `parts` are those of the task.

    `accuracy` is the fraction of correct predictions; `seconds` covers the training steps without validation;
    `memory_mib` is the peak memory so far, of the GPU when training on one; `validation` is the value of `metric`, by
    which the best epoch is chosen, None without validation; `others` are the task's other metrics.
    """

    epoch: int
    learning_rate: float
    loss: float
    parts: dict[str, float]
    accuracy: float
    steps: int
    seconds: float
    images_per_second: float
    memory_mib: float = 0.0
    validation: float | None = None
    metric: str = "mAP"
    others: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> EpochRecord:
        """Build a record from the result of `asdict`; release 0.1.0 stored pairs of losses per head."""
        values = dict(values)
        if "heads" in values:
            heads, names = values.pop("heads"), ("cross_entropy", "triplet")
            values["parts"] = {
                f"head{number}_{name}": value
                for number, pair in enumerate(heads)
                for name, value in zip(names, pair, strict=True)
            }
            values["validation"] = values.pop("validation_map")
        return cls(**values)

    def with_metrics(self, metrics: dict[str, float]) -> EpochRecord:
        """Return the record with the metrics of the validation, `metric` among them."""
        others = {name: value for name, value in metrics.items() if name != self.metric}
        return replace(self, validation=metrics[self.metric], others=others)

    def row(self) -> dict[str, Any]:
        """Return flat values for a table, with one column per part of the loss and per metric of the validation."""
        values: dict[str, Any] = asdict(self)
        parts, metric, value, others = (values.pop(name) for name in ("parts", "metric", "validation", "others"))
        metrics = {f"validation_{name.lower()}": number for name, number in {metric: value, **others}.items()}
        return {**values, **metrics, **parts}

    def __str__(self) -> str:
        text = (
            f"epoch {self.epoch}: loss {self.loss:.4f}, accuracy {100 * self.accuracy:.1f} %, "
            f"lr {self.learning_rate:.2e}, {self.images_per_second:.3g} samples/s, {self.memory_mib:.0f} MiB"
        )
        return text if self.validation is None else f"{text}, validation {self.metrics_text()}"

    def metrics_text(self) -> str:
        """Return the metrics of the validation in words."""
        assert self.validation is not None
        return percentages({self.metric: self.validation, **self.others})


def percentages(metrics: dict[str, float]) -> str:
    """Return metrics, fractions by name, as a text of percentages."""
    return ", ".join(f"{name} {100 * value:.2f} %" for name, value in metrics.items())


class EpochMeter:
    """Sums over the steps of an epoch, kept on the device so that no step synchronizes with it."""

    def __init__(self) -> None:
        self.steps = self.samples = 0
        self._names: tuple[str, ...] = ()
        self._sums: torch.Tensor | None = None

    def add(self, losses: StepLosses, samples: int) -> None:
        """Add a step's losses and its number of samples."""
        self._names = tuple(losses.parts)
        step = torch.stack([x.detach().float() for x in (losses.total, losses.right, *losses.parts.values())])
        self._sums = step if self._sums is None else self._sums + step
        self.steps += 1
        self.samples += samples

    def state(self) -> dict[str, Any]:
        """Return the sums for `restore`."""
        return {"steps": self.steps, "samples": self.samples, "sums": self._sums}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore the sums of another meter."""
        self.steps, self.samples, sums = state["steps"], state["samples"], state["sums"]
        self._sums = None if sums is None else sums.to(device)

    def record(self, epoch: int, rate: float, seconds: float, memory_mib: float, world: World) -> EpochRecord:
        """Return the record of the epoch so far, over all processes; requires at least one step of this meter."""
        assert self._sums is not None
        loss, right, *parts = world.mean(self._sums).tolist()
        return EpochRecord(
            epoch=epoch,
            learning_rate=rate,
            loss=loss / self.steps,
            parts={name: value / self.steps for name, value in zip(self._names, parts, strict=True)},
            accuracy=right / self.samples,
            steps=self.steps,
            seconds=seconds,
            images_per_second=self.samples * world.size / seconds,
            memory_mib=memory_mib,
        )


def is_foreign_log(path: Path) -> bool:
    """Return True if a file exists that does not begin like the log of a training.

    Raises:
        InputError: it cannot be read.
    """
    if not path.exists():
        return False
    first = [item.name for item in fields(EpochRecord)][:3]
    with open_regular(path, "log") as file:
        return not file.read(100).startswith(",".join(first).encode())


class CsvLog:
    """CSV file with one row per epoch, complete on disk after each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[dict[str, Any]] = []
        self._own = False

    def restart(self, records: list[EpochRecord]) -> None:
        """Keep exactly these rows; later ones are trained again."""
        self._rows = [record.row() for record in records]
        self._own = True
        if self._rows:
            self._replace()
        else:
            self._path.unlink(missing_ok=True)

    def write(self, record: EpochRecord) -> None:
        """Append a row, after the header if it is the first; never replaces a file of another process.

        Raises:
            InputError: there is a log of another run.
            SetupError: the disk is full or permission is missing; earlier rows stay.
        """
        self._rows.append(record.row())
        self._replace()

    def _replace(self) -> None:
        # a disk that fills up in the middle of a row would leave half of it
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(self._rows[0]))
        writer.writeheader()
        writer.writerows(self._rows)
        write_atomically(self._path, lambda path: path.write_bytes(text.getvalue().encode()), overwrite=self._own)
        self._own = True


@dataclass(frozen=True)
class FitReport:
    """Result of a training. `checkpoint` holds the weights of `best_epoch`, `last` those of the last epoch.

    Without validation these are the same. `data` and `counts` describe the training data of the task; `precision` and
    `device` are the resolved ones; `baseline` are the metrics of a guess without the image, where the task has one.
    """

    dataset: str
    recipe: str
    checkpoint: str
    last: str
    best_epoch: int
    seconds: float
    data: str
    counts: dict[str, int]
    trainable: int
    device: str
    precision: str
    epochs: tuple[EpochRecord, ...] = field(repr=False)
    baseline: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict; epochs as in the log."""
        values = {name: value for name, value in vars(self).items() if name not in ("data", "counts", "baseline")}
        baseline = {"baseline": self.baseline} if self.baseline else {}
        return {**values, **self.counts, **baseline, "epochs": [record.row() for record in self.epochs]}

    def __str__(self) -> str:
        rows = [
            ("checkpoint", escaped(self.checkpoint)),
            ("data", f"{escaped(self.dataset)}: {self.data}"),
            ("trained", f"{self.trainable:,} values, {self.device}, {self.precision}"),
            ("epochs", f"{len(self.epochs)} in {self.seconds:.0f} s; kept: {self.best_epoch}"),
            ("last epoch", str(self.epochs[-1]).partition(": ")[2]),
        ]
        if self.baseline:
            rows += self._compared()
        return "\n".join(f"{name:<12}{value}" for name, value in rows)

    def _compared(self) -> list[tuple[str, str]]:
        """Return the lines of the best epoch's metrics and of the baseline's."""
        best = next(record for record in self.epochs if record.epoch == self.best_epoch)
        return [
            ("best epoch", best.metrics_text()),
            ("majority", f"{percentages(self.baseline)} (one answer for all)"),
        ]
