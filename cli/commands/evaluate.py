"""mambapro eval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..options.images import image_options, skip_bad_option
from ..options.shared import (
    PATH,
    data_option,
    dataset_option,
    gathered,
    json_option,
    overwrite_option,
    run_options,
    switch_options,
)
from ..terminal.console import emit, needs, track

#: Analyses, fields of the options of a task: only those that were given are passed on.
_MEASURES: dict[str, Callable[[Any], Any]] = {
    "bootstrap": click.option(
        "--bootstrap", type=click.IntRange(0), help="Resamples for the 95 % intervals, 0 = no intervals; default: 1000."
    ),
    "seed": click.option("--seed", type=click.IntRange(0), help="Random seed of the resamples; default: 0."),
    "reranking": click.option(
        "--rerank", "reranking", is_flag=True, default=None, help="Also with k-reciprocal re-ranking (20, 6, 0.3)."
    ),
    "subsets": click.option(
        "--subsets",
        is_flag=True,
        default=None,
        help="Also all incomplete sets of sensors; grey for a missing one.",
    ),
    "per_modality": click.option(
        "--per-modality", is_flag=True, default=None, help="Also each modality's third of the feature alone."
    ),
    "strips": click.option(
        "--strips", type=PATH, help="Folder for pictures: queries and their top 10; right and wrong of each attribute."
    ),
    "strips_count": click.option(
        "--strips-count",
        type=click.IntRange(1),
        help="Queries to draw, half of them the worst (default: 10); images of each kind of an attribute (4).",
    ),
    "tune_thresholds": click.option(
        "--tune-thresholds",
        is_flag=True,
        default=None,
        help="Attributes: tune each threshold on the validation part, evaluate with them; needs --ckpt and --out.",
    ),
    "maximize": click.option(
        "--maximize", type=click.Choice(("F1", "mA")), help="Value of each label to tune for; default: F1."
    ),
    "out": click.option("--out", type=PATH, help="The new checkpoint with the tuned thresholds."),
    "skip_bad": skip_bad_option,
    "overwrite": overwrite_option,
}


@click.command("eval")
# --model is a switch of checkpoints
@click.argument("subject", metavar="[MODEL]", type=PATH, required=False)
@click.option("--ckpt", type=PATH, help="The checkpoint to evaluate, in place of MODEL.")
@data_option
@dataset_option
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True, help="Samples at a time.")
@gathered("measures", _MEASURES, only_set=True)
@click.option("--skipped", type=PATH, help="JSON file for the list of what --skip-bad left out.")
@run_options
@switch_options
@image_options
@json_option
def evaluate(
    subject: Path | None,
    ckpt: Path | None,
    data: Path,
    dataset: str,
    batch: int,
    skipped: Path | None,
    measures: dict[str, Any],
    running: dict[str, Any],
    switches: dict[str, Any],
    image_size: tuple[int, int] | None,
    as_json: bool,
) -> None:
    """Measure the accuracy of MODEL on a benchmark.

    MODEL is a bundle (no PyTorch needed) or a checkpoint; its task decides what is measured. Re-identification: mAP,
    CMC and mINP. Attributes: mA, accuracy, precision, recall, both F1, calibration error, and each label with its
    counts. Intervals are over the queries or samples: the variation with others of the same kind.
    """
    from ...common.files.targets import require_free
    from ...runtime.evaluation.evaluators import evaluate_any_bundle, write_left_out
    from ...runtime.evaluation.retrieval.reranking import Reranking
    from ...runtime.run_options import RunOptions

    path = _the_model(subject, ckpt)
    # a flag that was not given is no option of the wrong task
    measures = {name: value for name, value in measures.items() if value is not False}
    if skipped is not None and "skip_bad" not in measures:
        raise click.UsageError("--skipped lists what --skip-bad leaves out; give both, or none.")
    if skipped is not None:
        require_free(skipped, "overwrite" in measures)
    if "reranking" in measures:
        measures["reranking"] = Reranking()
    if ckpt is not None or path.is_file():
        if running["target"] or running["precision"]:
            raise click.UsageError("--target and --precision choose an artifact of a bundle; this is a checkpoint.")
        with needs("train"):
            from ...train.checkpoint_evaluation import evaluate_any_checkpoint
        of_model = {"image_size": image_size, "switches": switches, "device": running["device"], "batch_size": batch}
        report = evaluate_any_checkpoint(path, data, dataset, options=measures, track=track, **of_model)
    elif switches or image_size is not None:
        raise click.UsageError("A bundle holds its settings: --image-size and the switches are for checkpoints.")
    else:
        report = evaluate_any_bundle(path, data, dataset, measures, RunOptions(batch_size=batch, **running), track)
    if skipped is not None:
        write_left_out(skipped, report, "overwrite" in measures)
    emit(report, as_json)


def _the_model(model: Path | None, ckpt: Path | None) -> Path:
    if model is not None and ckpt is not None:
        raise click.UsageError(f"Both MODEL ({model}) and --ckpt {ckpt} were given; give one of them.")
    path = ckpt or model
    if path is None:
        raise click.UsageError("Nothing to evaluate: give MODEL, a bundle or a checkpoint, or --ckpt CHECKPOINT.")
    if ckpt is not None and ckpt.is_dir():
        raise click.UsageError(f"--ckpt {ckpt} is a folder, and a checkpoint is a file. Give a bundle as MODEL.")
    return path
