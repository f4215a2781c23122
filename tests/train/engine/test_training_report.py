"""What is told of an epoch, from sums over its steps."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from mambapro.train.engine.distributed import World
from mambapro.train.engine.task import StepLosses
from mambapro.train.engine.training_report import CsvLog, EpochMeter, EpochRecord


def values(*numbers: float) -> StepLosses:
    """Loss, right answers, then cross entropy and triplet of each head."""
    total, right, *parts = (torch.tensor(number) for number in numbers)
    names = (f"head{head}_{name}" for head in range(2) for name in ("cross_entropy", "triplet"))
    return StepLosses(total, right, dict(zip(names, parts, strict=False)))


@pytest.fixture
def record() -> EpochRecord:
    """Two steps of 8 and 4 samples: loss, right answers, then cross entropy and triplet of two heads."""
    meter = EpochMeter()
    meter.add(values(3.0, 5, 1.0, 0.5, 2.0, 0.25), 8)
    meter.add(values(1.0, 4, 0.0, 0.5, 1.0, 0.75), 4)
    return meter.record(3, 1e-3, 2.0, 100.0, World())


def test_losses_are_means_over_steps(record: EpochRecord) -> None:
    """(3 + 1) / 2, and each part of each head likewise, cross entropy first."""
    assert (record.loss, record.steps) == (2.0, 2)
    assert list(record.parts.values()) == [0.5, 0.5, 1.5, 0.5]


def test_accuracy_is_over_samples(record: EpochRecord) -> None:
    """Nine right answers of twelve samples are 75 %."""
    assert record.accuracy == 0.75
    assert "accuracy 75.0 %" in str(record)


def test_speed_is_of_all_processes() -> None:
    """Twelve samples in two seconds in each of two processes are twelve a second."""

    class Two(World):
        def mean(self, x: torch.Tensor) -> torch.Tensor:
            return x

    meter = EpochMeter()
    meter.add(values(1.0, 6, 1.0, 1.0), 12)

    assert meter.record(1, 1e-3, 2.0, 0.0, World()).images_per_second == 6.0
    assert meter.record(1, 1e-3, 2.0, 0.0, Two(0, 2, 0)).images_per_second == 12.0


def test_taken_up_again() -> None:
    """A meter that goes on where another was tells the same as one that saw all."""
    whole, first, second = EpochMeter(), EpochMeter(), EpochMeter()
    whole.add(values(3.0, 5, 1.0, 0.5), 8)
    whole.add(values(1.0, 4, 0.0, 0.5), 4)
    first.add(values(3.0, 5, 1.0, 0.5), 8)

    second.restore(first.state(), torch.device("cpu"))
    second.add(values(1.0, 4, 0.0, 0.5), 4)

    assert second.record(1, 0.1, 1.0, 0.0, World()) == whole.record(1, 0.1, 1.0, 0.0, World())


def test_the_log_starts_anew(tmp_path: Path, record: EpochRecord) -> None:
    """After a restart the file holds the given rows alone, under one header."""
    log = CsvLog(tmp_path / "log.csv")
    for _ in range(3):
        log.write(record)

    log.restart([record])

    with open(tmp_path / "log.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["3"]
    assert (float(rows[0]["head1_cross_entropy"]), float(rows[0]["head1_triplet"])) == (1.5, 0.5)


def test_a_record_of_before() -> None:
    """A state of release 0.1.0 holds pairs of losses for each head, and the validation under the name of mAP."""
    values = {"epoch": 1, "learning_rate": 0.1, "loss": 2.0, "accuracy": 0.5, "steps": 3, "seconds": 1.0}
    values |= {"images_per_second": 10.0, "memory_mib": 5.0, "heads": [[1.0, 2.0]], "validation_map": 0.25}

    record = EpochRecord.from_json(values)

    assert record.parts == {"head0_cross_entropy": 1.0, "head0_triplet": 2.0}
    assert list(record.row())[8:] == ["validation_map", "head0_cross_entropy", "head0_triplet"]
    assert record.row()["validation_map"] == 0.25
