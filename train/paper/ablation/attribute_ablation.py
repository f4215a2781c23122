"""Implementation of `mambapro ablate par-...`: training and evaluation of every row with every seed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ....common.files.atomic import clear_leftovers, json_text, make_folder, remove_folders
from ....common.files.locks import only_process
from ....common.files.targets import require_free
from ....common.progress import Track, silent
from ....errors import InputError
from ....runtime.bundle.tasks import ATTRIBUTES
from ....runtime.data.readers.benchmarks import read_benchmark, require_benchmark_of
from ....runtime.evaluation.attributes.labeled_images import labeled_samples, labels_of
from ...attributes.attribute_recipe import AttributeRecipe
from ...engine.recipes import load_recipe
from .attribute_ablation_report import AttributeAblationReport, summarize_attributes
from .attribute_runs import AttributeResult, AttributeRun, execute, labels_fingerprint, make_run
from .attribute_tables import ATTRIBUTE_TABLES, TEACHER, TEACHER_METRIC, TEACHER_RUN, AttributeRow
from .stored_runs import read_result, without_result, write_text

#: Files written when all rows are measured, after the table's name.
SUMMARIES = (".md", ".json")
#: Prefix of the recipes by size.
SIZES = {"full": "", "mini": "mini_"}

log = logging.getLogger("mambapro")


@dataclass(frozen=True)
class AttributeAblationOptions:
    """Options of `mambapro ablate` for attributes.

    Empty `rows` are all rows. `size` "mini" takes the tiny recipes; `changes` are applied to every recipe. `sources`
    are pretrained weights and words by name, see `attribute_pretraining`, each for the rows that take it.
    """

    table: str
    data: Path
    out: Path
    dataset: str | None = None
    rows: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (1,)
    size: str = "full"
    changes: tuple[str, ...] = ()
    sources: Mapping[str, Path] = field(default_factory=dict)
    device: str = "auto"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.dataset is None:
            raise InputError("Comparisons of attributes are for any data set; say with --dataset which this is.")
        if self.size not in SIZES:
            raise InputError(f"--size is {' or '.join(SIZES)} for the attribute models, not {self.size!r}.")


def run_attribute_ablation(options: AttributeAblationOptions, track: Track = silent) -> AttributeAblationReport:
    """Train and evaluate the missing runs; write results/*.json, TABLE.md and TABLE.json into the folder.

    Tables of one folder share their runs. An interrupted run is resumed, a finished one is read.

    Raises:
        InputError: an unusable table, row, recipe, data set or source; results of other settings in the folder without
            `overwrite`.
        SetupError: the device is not available, or the disk is full.
        TrainingError: a training cannot continue; finished results stay.
        ArtifactError: a damaged checkpoint or result.
    """
    table = ATTRIBUTE_TABLES[options.table]
    assert options.dataset is not None
    require_benchmark_of(ATTRIBUTES, options.dataset)
    rows = table.pick(options.rows)
    recipes = _recipes(rows, options)
    benchmark = read_benchmark(options.dataset, options.data)
    runs = _runs(rows, recipes, options, labels_fingerprint(benchmark))
    _require_free_summaries(options)
    pending = without_result(runs, AttributeResult, options.out, options.overwrite, "start")
    created = make_folder(options.out)
    try:
        with only_process(options.out):
            clear_leftovers(options.out, [f"{table.key}{ending}" for ending in SUMMARIES])
            for number, run in enumerate(track(pending, f"Rows of {table.title}", len(pending)), 1):
                log.info("%s, seed %d (%d of %d)", run.recipe, run.seed, number, len(pending))
                execute(run, benchmark, options.data, options.out, options, track)
            results = {
                row.recipe: {
                    run.seed: read_result(AttributeResult, run.result(options.out))
                    for run in runs
                    if run.recipe == row.recipe
                }
                for row in rows
            }
            images = labeled_samples(benchmark, benchmark.query, labels_of(benchmark), table.title)
            found, steps, majority = summarize_attributes(rows, results, images.truth)
            size = options.size
            report = AttributeAblationReport(
                table.key, table.title, options.dataset, size, len(images.samples), majority, found, steps
            )
            for ending, text in zip(SUMMARIES, (report.markdown(), json_text(report.to_json())), strict=True):
                write_text(options.out / f"{table.key}{ending}", text)
            return report
    except BaseException:
        remove_folders(created)
        raise


def _recipes(rows: Sequence[AttributeRow], options: AttributeAblationOptions) -> dict[str, AttributeRecipe]:
    """Load the recipes of the rows, and of their teacher, and check their sources before anything is trained."""
    prefix, recipes, used = SIZES[options.size], dict[str, AttributeRecipe](), set[str]()
    names = [row.recipe for row in rows]
    for name in names if not any(row.taught for row in rows) else [TEACHER_RUN, *names]:
        stem = TEACHER if name == TEACHER_RUN else name
        recipe = load_recipe(f"{prefix}{stem}", options.changes, kind=AttributeRecipe)
        recipes[name] = replace(recipe, metric=TEACHER_METRIC) if name == TEACHER_RUN else recipe
        given = _given(recipe, options)
        used |= set(given)
        # the teacher is trained first
        recipe.initialiser(**given, **({"teacher": Path("teacher")} if "teacher" in recipe.sources else {}))
    if unused := sorted(set(options.sources) - used):
        named = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise InputError(f"{named} has no effect on any of {', '.join(names)}. Leave it out.")
    if TEACHER in recipes and recipes[TEACHER] == recipes.get(TEACHER_RUN):
        # selected by the same metric, the row is the teacher too
        del recipes[TEACHER_RUN]
    return recipes


def _given(recipe: AttributeRecipe, options: AttributeAblationOptions) -> dict[str, Path]:
    return {name: path for name, path in options.sources.items() if name in recipe.sources}


def _runs(
    rows: Sequence[AttributeRow],
    recipes: Mapping[str, AttributeRecipe],
    options: AttributeAblationOptions,
    data: str,
) -> list[AttributeRun]:
    """Return the runs in the order in which they are executed: a teacher before its students."""
    taught = {row.recipe for row in rows if row.taught}
    master_name = TEACHER_RUN if TEACHER_RUN in recipes else TEACHER
    runs = []
    for seed in dict.fromkeys(options.seeds):
        teacher: AttributeRun | None = None
        for name in sorted(recipes, key=lambda name: name in taught):
            given, master = _given(recipes[name], options), teacher if name in taught else None
            if master is not None:
                given["teacher"] = master.run_folder(options.out) / "best.pth"
            run = make_run(name, replace(recipes[name], dataset=options.dataset), seed, given, data, master)
            teacher = run if name == master_name else teacher
            runs.append(run)
    return runs


def _require_free_summaries(options: AttributeAblationOptions) -> None:
    """Raise InputError for summaries of something else, which have no results of this command next to them."""
    if options.out.exists() and not options.overwrite and not (options.out / "results").is_dir():
        for ending in SUMMARIES:
            require_free(options.out / f"{options.table}{ending}", overwrite=False)
