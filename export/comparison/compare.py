"""Comparison of a checkpoint in PyTorch with its exported bundles: accuracy, agreement, latency, in one run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...common.foreign_text import escaped
from ...common.machine.cpus import usable_cpus
from ...common.progress import Track, silent
from ...common.records import Report
from ...common.rounds import ROUNDS, in_turns
from ...common.tables import text_table
from ...errors import InputError
from ...runtime.bundle.bundle import Bundle
from ...runtime.data.modalities import SUBSETS
from ...runtime.data.preprocess import Preprocessing
from ...runtime.data.readers.benchmarks import benchmark_info, read_benchmark
from ...runtime.evaluation.gates.accuracy import session_model
from ...runtime.evaluation.gates.task_metrics import metric_of
from ...runtime.evaluation.reference_features import TestSet, features_of
from ...runtime.evaluation.timed_process import WORKER, TimedProcess
from ...runtime.extractor import open_session
from ...runtime.run_options import RunOptions
from ...runtime.selection import why_not
from ...train.engine.image_ranges import model_preprocessing
from ...train.models.checkpoints.weights import load_checkpoint
from ...train.models.model_spec import Model
from ..pytorch.accuracy import pytorch_model
from ..pytorch.bundle_metadata import fingerprint_of
from .checkpoint_worker import plain
from .comparison_rows import PYTORCH, ROWS, Measured, Row, cells, head

log = logging.getLogger("mambapro")

#: Uncounted calls of each turn, and minimum total seconds of the counted ones.
_WARMUP, _SECONDS = 2, 0.5
CHECKPOINT_WORKER = "mambapro.export.comparison.checkpoint_worker"


@dataclass(frozen=True)
class Comparison(Report):
    """Comparison with PyTorch in the first row, then the bundles."""

    dataset: str
    queries: int
    gallery: int
    cpus: int
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        names = head(self.rows[0])
        table = text_table([names, *map(cells, self.rows)], f"<{'>' * (len(names) - 2)}<")
        samples = f"{self.queries} queries, gallery of {self.gallery}" if self.gallery else f"{self.queries} images"
        return f"{self.dataset}: {samples}, {self.cpus} CPU cores\n{table}"


class _Candidate(NamedTuple):
    """Artifact that runs here, and its display name."""

    name: str
    bundle: Bundle
    target: str
    precision: str

    @property
    def job(self) -> dict[str, Any]:
        """Job of the worker that times it."""
        where = {"bundle": str(self.bundle.folder), "device": "cpu", "batch": 1}
        return {**where, "target": self.target, "precision": self.precision}


def compare_bundles(
    checkpoint: Path,
    bundles: Sequence[Path],
    data: str | os.PathLike[str],
    dataset: str,
    *,
    image_size: tuple[int, int] | None = None,
    switches: Mapping[str, Any] | None = None,
    runs: int = 20,
    rounds: int = ROUNDS,
    track: Track = silent,
) -> Comparison:
    """Evaluate a checkpoint and its bundles on a benchmark, and time them in turns, on the CPU.

    All usable artifacts of a bundle are included. Each model is timed in a process of its own, at least `runs` times in
    `rounds` rounds.

    Raises:
        InputError: an unusable checkpoint, folder or benchmark, no bundle, one of another checkpoint or other labels.
        ArtifactError: a corrupt checkpoint or bundle.
        SetupError: a model could not be timed.
    """
    benchmark = read_benchmark(dataset, data, test_only=True)
    usual = benchmark_info(dataset).image_size
    model = load_checkpoint(checkpoint, image_size, default_image_size=usual, dataset=dataset, **(switches or {}))
    opened = _opened(model, checkpoint, bundles)
    metadata = opened[0][1].metadata
    metric = metric_of(metadata)
    candidates = list(_candidates(opened))
    test = metric.test_set(benchmark, metadata)
    outputs = _outputs(model, candidates, test, track)
    config = model.config
    # our files contain these settings, which must not be given again
    given = {name: plain(value) for name, value in (switches or {}).items()}
    job = {"checkpoint": str(checkpoint), "image_size": list(config.image_size), "switches": given}
    # its memory is released before the others are timed
    del model
    jobs = {PYTORCH: job} | {candidate.name: candidate.job for candidate in candidates}
    times = _times(jobs, runs, rounds, track)
    measured = {name: Measured(test.report(rows), rows, times[name]) for name, rows in outputs.items()}
    row, reference = ROWS[metric.name], measured[PYTORCH]
    rows = tuple(row(name, metric, reference, one, metadata.labels) for name, one in measured.items())
    return Comparison(benchmark.name, len(benchmark.query), len(benchmark.gallery), usable_cpus(), rows)


def _opened(model: Model, checkpoint: Path, bundles: Sequence[Path]) -> list[tuple[Path, Bundle]]:
    """Open the bundles.

    Raises:
        InputError: there is none, or one is of another model, of other labels or thresholds.
    """
    if not bundles:
        raise InputError("There is no bundle to compare the checkpoint with. Give at least one.")
    opened = [(path, Bundle.open(path)) for path in bundles]
    labels, owner = model.spec.labels, checkpoint
    for path, bundle in opened:
        metadata = bundle.metadata
        if metadata.fingerprint != fingerprint_of(model, metadata.preprocessing):
            raise InputError(
                f"{escaped(path)} is of another model than {escaped(checkpoint)}: it was exported from "
                f"{escaped(metadata.checkpoint.file)}, with other weights or other switches."
            )
        if labels is None:
            labels, owner = metadata.labels, path
        elif metadata.labels != labels:
            raise InputError(
                f"{escaped(path)} has other labels or thresholds than {escaped(owner)}, so they assign other labels "
                "for the same outputs. Export it again."
            )
    return opened


def _candidates(opened: Sequence[tuple[Path, Bundle]]) -> Iterator[_Candidate]:
    """Yield the exported models under their bundles' names, and each artifact that runs here under its own."""
    opening = RunOptions(device="cpu")
    names: set[str] = {PYTORCH}
    for path, bundle in opened:
        short = path.resolve().name
        name, first = str(path) if short in names else short, True
        names.add(name)
        for sidecar in bundle.artifacts:
            reason = why_not(bundle, sidecar, opening)
            if reason is not None:
                log.info("leaving out %s of %s: %s", sidecar.stem, name, reason)
                continue
            yield _Candidate(name if first else f"{name} {sidecar.stem}", bundle, sidecar.target, sidecar.precision)
            first = False


def _outputs(model: Model, candidates: Sequence[_Candidate], test: TestSet, track: Track) -> dict[str, np.ndarray]:
    """Return the outputs for every sample (N, dim), by model; one of them is open at a time."""
    pre = _preprocessing(model, [candidate.bundle for candidate in candidates])
    (found,) = features_of([pytorch_model(model, pre, fingerprint_of(model))], test, track)
    outputs = {PYTORCH: found[SUBSETS[0]]}
    for name, bundle, target, precision in candidates:
        with open_session(bundle, RunOptions(device="cpu", target=target, precision=precision)) as session:
            (found,) = features_of([replace(session_model(session), preprocessing=pre)], test, track)
            outputs[name] = found[SUBSETS[0]]
    return outputs


def _preprocessing(model: Model, bundles: Sequence[Bundle]) -> Preprocessing:
    """Return the common image preprocessing.

    Raises:
        InputError: bundles of different ranges of 16-bit images, and none given for all.
    """
    first = bundles[0].metadata.ranged().preprocessing if bundles else model_preprocessing(model)
    for bundle in bundles:
        if bundle.metadata.ranged().preprocessing != first:
            raise InputError(
                f"{escaped(bundle.folder)} scales 16-bit images otherwise than {bundles[0].folder}. "
                "Compare bundles of one "
                "range, or give one for all (--sixteen-bit-range)."
            )
    return first


def _times(jobs: Mapping[str, dict[str, Any]], runs: int, rounds: int, track: Track) -> dict[str, tuple[float, ...]]:
    """Return milliseconds of one sample by model, one value per round."""
    rounds = min(rounds, runs)
    turn = (-(-runs // rounds), _SECONDS, _WARMUP)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(TimedProcess(name, job, CHECKPOINT_WORKER if name == PYTORCH else WORKER))
            for name, job in jobs.items()
        ]
        # timing starts after all are loaded
        for process in processes:
            process.wait()
        return in_turns({one.name: partial(one.milliseconds, *turn) for one in processes}, rounds, track)
