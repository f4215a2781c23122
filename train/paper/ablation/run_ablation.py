"""Training of every row of a table with every seed from one pretrained backbone, and evaluation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ....common.files.atomic import clear_leftovers, make_folder, remove_folders
from ....common.files.locks import only_process
from ....common.files.targets import require_free
from ....common.progress import Track, silent
from ....runtime.data.modalities import MODALITIES
from ....runtime.data.readers.benchmarks import benchmark_info, read_benchmark, require_benchmark_of
from ....runtime.data.sample import Benchmark
from ....runtime.data.task_names import RE_IDENTIFICATION
from ....runtime.evaluation.retrieval.evaluate import evaluate_benchmark
from ....runtime.evaluation.retrieval.metrics import RetrievalReport
from ...engine.device import resolve_device
from ...engine.feature_function import torch_feature_function
from ...models.checkpoints.weights import load_checkpoint
from ...models.mambapro.mambapro import MambaPro
from ...models.mambapro.sizes import build_model
from ..cost.parameters import trained_values
from .ablation_report import AblationReport, summarise
from .jobs import Job, Pretraining, base_recipe, make_jobs, pretraining
from .record import Record, data_fingerprint
from .stored_runs import read_result, train_once, without_result, write_result, write_text
from .tables import table_named

#: Files written when all rows are measured.
SUMMARIES = ("results.md", "results.json")

logger = logging.getLogger("mambapro")


@dataclass(frozen=True)
class AblationOptions:
    """Options of `mambapro ablate`.

    `dataset` None is the table's own. Empty `rows` are all rows. `size`, `config` and `changes` define the recipe
    shared by all rows; `clip`, `vit` and `backbones` are the sources of the pretrained backbone, `weights` selects one
    of a checkpoint's sets of weights.
    """

    table: str
    data: Path
    out: Path
    dataset: str | None = None
    rows: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (1,)
    config: str | None = None
    size: str | None = None
    changes: tuple[str, ...] = ()
    backbones: tuple[Path, ...] = ()
    weights: str | None = None
    clip: str | None = None
    vit: str | None = None
    clip_torchscript: bool = False
    device: str = "auto"
    overwrite: bool = False


def run_ablation(options: AblationOptions, track: Track = silent) -> AblationReport:
    """Train and measure the missing runs; write results/*.json, results.json and results.md into the folder.

    An interrupted run is resumed, a finished one is read.

    Raises:
        InputError: an unusable table, row, recipe, data set or backbone; results of other settings in the folder
            without `overwrite`.
        SetupError: the device is not available, or the disk is full.
        TrainingError: a training cannot continue; finished results stay.
        ArtifactError: a damaged checkpoint or result.
    """
    table = table_named(options.table)
    dataset = options.dataset or table.dataset
    require_benchmark_of(RE_IDENTIFICATION, dataset)
    rows = table.pick(options.rows)
    pretrained = pretraining(options.clip, options.vit, options.backbones, options.clip_torchscript, options.weights)
    recipe = base_recipe(dataset, options.config, options.size, options.changes)
    benchmark = read_benchmark(dataset, options.data)
    jobs = make_jobs(
        table, rows, tuple(dict.fromkeys(options.seeds)), recipe, pretrained, data_fingerprint(benchmark), dataset
    )
    pending = without_result(jobs, Record, options.out, options.overwrite, "backbone")
    replaceable = _own(options)
    created = make_folder(options.out)
    try:
        with only_process(options.out):
            clear_leftovers(options.out, SUMMARIES)
            _run_all(pending, options, table.title, benchmark, pretrained, track)
            records = [read_result(Record, job.result(options.out)) for job in jobs]
            report = summarise(table, rows, records, recipe, dataset)
            for name, text in zip(SUMMARIES, (report.markdown(), report.json_text()), strict=True):
                write_text(options.out / name, text, replaceable)
            return report
    except BaseException:
        remove_folders(created)
        raise


def _own(options: AblationOptions) -> bool:
    """Return True if the summaries in the folder may be replaced, because results of this command are next to them.

    Raises:
        InputError: they belong to something else and `overwrite` is not set.
    """
    if options.overwrite or (options.out / "results").is_dir():
        return True
    for name in SUMMARIES:
        require_free(options.out / name, overwrite=False)
    return False


def _run_all(
    pending: Sequence[Job],
    options: AblationOptions,
    title: str,
    benchmark: Benchmark,
    pretrained: Pretraining,
    track: Track,
) -> None:
    for number, job in enumerate(track(pending, f"Rows of {title}", len(pending)), 1):
        logger.info("%s, row %s, seed %d (%d of %d)", title, job.row.key, job.seed, number, len(pending))
        _run(job, options, benchmark, pretrained, track)


def _run(job: Job, options: AblationOptions, benchmark: Benchmark, pretrained: Pretraining, track: Track) -> None:
    """Train if the row is trained, measure, write the result."""
    folder, seconds = job.run_folder(options.out), 0.0
    if job.row.trained:
        fill = pretrained.fill[job.row.backbone]
        _, seconds = train_once(
            job.config, options.data, benchmark.name, folder, fill, options.device, options.overwrite, track
        )
        model = load_checkpoint(folder / "best.pth")
    else:
        model = _as_pretrained(job, benchmark.name, pretrained)
    report = _measure(model.to(resolve_device(options.device)), benchmark, track)
    result = Record(
        fingerprint=job.fingerprint,
        row=job.row.key,
        seed=job.seed,
        trainable=sum(trained_values(model, job.row.frozen).values()) if job.row.trained else 0,
        seconds=seconds,
        map=report.map,
        rank1=report.rank(1),
        rank5=report.rank(5),
        rank10=report.rank(10),
        minp=report.minp,
        per_query_ap=report.per_query_ap,
    )
    write_result(result, job.result(options.out))
    logger.info("row %s, seed %d: mAP %.2f %%, %.0f s", job.row.key, job.seed, 100 * report.map, seconds)
    # two checkpoints of each row would fill a disk
    (folder / "last.pth").unlink(missing_ok=True)


def _as_pretrained(job: Job, dataset: str, pretrained: Pretraining) -> MambaPro:
    """Return a model of which only the pretrained tower is used."""
    info, settings = benchmark_info(dataset), job.config.model
    model = build_model(
        settings.size,
        image_size=settings.image_size_for(info.image_size),
        cameras=info.cameras,
        identities=info.identities,
        direct=settings.direct,
        **settings.overrides,
    )
    pretrained.fill[job.row.backbone](model)
    return model


def _measure(model: MambaPro, benchmark: Benchmark, track: Track) -> RetrievalReport:
    preprocessing = model.config.preprocessing.with_ranges(None, MODALITIES)
    return evaluate_benchmark(benchmark, torch_feature_function(model), preprocessing, track=track)
