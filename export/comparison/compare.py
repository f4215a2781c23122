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
from ...common.rounds import ROUNDS, Spread, in_turns, ratios
from ...common.tables import text_table
from ...errors import InputError
from ...runtime.bundle.bundle import Bundle
from ...runtime.data.modalities import SUBSETS
from ...runtime.data.preprocess import Preprocessing
from ...runtime.data.readers.benchmarks import benchmark_info, read_benchmark
from ...runtime.evaluation.gates.accuracy import session_model
from ...runtime.evaluation.gates.agreement import cosine_departures
from ...runtime.evaluation.reference_features import features_of
from ...runtime.evaluation.retrieval.evaluate import Retrieval, retrieval_of
from ...runtime.evaluation.retrieval.metrics import RetrievalReport
from ...runtime.evaluation.timed_process import WORKER, TimedProcess
from ...runtime.extractor import Extractor
from ...runtime.run_options import RunOptions
from ...runtime.selection import why_not
from ...train.engine.image_ranges import model_preprocessing
from ...train.models.checkpoints.weights import load_checkpoint
from ...train.models.model_spec import Model, require_embedding
from ..pytorch.accuracy import pytorch_model
from ..pytorch.bundle_metadata import fingerprint_of

log = logging.getLogger("mambapro")

#: Uncounted calls of each turn, and minimum total seconds of the counted ones.
_WARMUP, _SECONDS = 2, 0.5
PYTORCH = "PyTorch fp32"
CHECKPOINT_WORKER = "mambapro.export.comparison.checkpoint_worker"


@dataclass(frozen=True)
class ComparisonRow:
    """Results of one model.

    Attributes:
        model: its name.
        map, rank_1: fractions.
        min_cosine: to PyTorch's features, over query and gallery.
        milliseconds: the median for one sample, images decoded and resized.
        rounds: milliseconds of each round.
        speedup: against PyTorch, the median over the rounds; None where they disagree.
        speedups: of each round.
    """

    model: str
    map: float
    rank_1: float
    min_cosine: float
    milliseconds: float
    rounds: tuple[float, ...]
    speedup: float | None
    speedups: tuple[float, ...]

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        spread = Spread(self.rounds)
        return (
            escaped(self.model),
            f"{self.map:.1%}",
            f"{self.rank_1:.1%}",
            f"{self.min_cosine:.10f}",
            f"{self.milliseconds:.1f} ({spread.low:.1f} to {spread.high:.1f})",
            "1x" if self.model == PYTORCH else Spread(self.speedups).times(),
        )


@dataclass(frozen=True)
class Comparison(Report):
    """Comparison with PyTorch in the first row, then the bundles."""

    dataset: str
    queries: int
    gallery: int
    cpus: int
    rows: tuple[ComparisonRow, ...]

    def __str__(self) -> str:
        head = ("model", "mAP", "Rank-1", "min cosine", "ms, batch 1 (rounds)", "against PyTorch")
        cells = [head, *(row.cells() for row in self.rows)]
        title = f"{self.dataset}: {self.queries} queries, gallery of {self.gallery}, {self.cpus} CPU cores"
        return "\n".join([title, text_table(cells, "<>>>><")])


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
        InputError: an unusable checkpoint, folder or benchmark, or a bundle of another checkpoint.
        ArtifactError: a corrupt checkpoint or bundle.
        SetupError: a model could not be timed.
    """
    benchmark = read_benchmark(dataset, data, test_only=True)
    usual = benchmark_info(dataset).image_size
    model = load_checkpoint(checkpoint, image_size, default_image_size=usual, dataset=dataset, **(switches or {}))
    require_embedding(model, checkpoint)
    candidates = list(_candidates(model, checkpoint, bundles))
    retrieval = retrieval_of(benchmark)
    measured = _accuracies(model, candidates, retrieval, track)
    config = model.config
    # our files contain these settings, which must not be given again
    job = {"checkpoint": str(checkpoint), "image_size": list(config.image_size), "switches": dict(switches or {})}
    # its memory is released before the others are timed
    del model
    jobs = {PYTORCH: job} | {candidate.name: candidate.job for candidate in candidates}
    return _comparison(retrieval, measured, _times(jobs, runs, rounds, track))


def _candidates(model: Model, checkpoint: Path, bundles: Sequence[Path]) -> Iterator[_Candidate]:
    """Yield the exported models under their bundles' names, and each artifact that runs here under its own."""
    opening = RunOptions(device="cpu")
    names: set[str] = {PYTORCH}
    for path in bundles:
        bundle = Bundle.open(path)
        if bundle.metadata.fingerprint != fingerprint_of(model, bundle.metadata.preprocessing):
            raise InputError(
                f"{escaped(path)} is of another feature space than {escaped(checkpoint)}: it was exported from "
                f"{escaped(bundle.metadata.checkpoint.file)}, with other weights or other switches."
            )
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


def _accuracies(
    model: Model, candidates: Sequence[_Candidate], retrieval: Retrieval, track: Track
) -> dict[str, tuple[RetrievalReport, np.ndarray]]:
    """Return accuracy and features of every sample, by model; one of them is open at a time."""
    pre = _preprocessing(model, [candidate.bundle for candidate in candidates])
    pytorch = pytorch_model(model, pre, fingerprint_of(model))
    (found,) = features_of([pytorch], retrieval, track)
    features = {PYTORCH: found[SUBSETS[0]]}
    for name, bundle, target, precision in candidates:
        with Extractor(bundle, "cpu", target=target, precision=precision) as extractor:
            (found,) = features_of([replace(session_model(extractor), preprocessing=pre)], retrieval, track)
            features[name] = found[SUBSETS[0]]
    return {name: (retrieval.report(rows), rows) for name, rows in features.items()}


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


def _comparison(
    retrieval: Retrieval,
    measured: Mapping[str, tuple[RetrievalReport, np.ndarray]],
    times: Mapping[str, tuple[float, ...]],
) -> Comparison:
    expected = measured[PYTORCH][1]
    rows = []
    for name, (report, features) in measured.items():
        speedups = ratios(times[PYTORCH], times[name])
        rows.append(
            ComparisonRow(
                model=name,
                map=report.map,
                rank_1=report.rank(1),
                min_cosine=1.0 - float(cosine_departures(expected, features).max()),
                milliseconds=Spread(times[name]).median,
                rounds=times[name],
                speedup=speedups.value,
                speedups=speedups.values,
            )
        )
    benchmark = retrieval.benchmark
    return Comparison(benchmark.name, len(benchmark.query), len(benchmark.gallery), usable_cpus(), tuple(rows))
