"""mambapro eval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.images import image_options, skip_bad_option
from ..options.shared import (
    PATH,
    all_of,
    data_option,
    dataset_option,
    json_option,
    overwrite_option,
    run_options,
    seed_option,
    switch_options,
)
from ..terminal.console import emit, needs, track

#: Analyses in addition to mAP, CMC and mINP, fields of EvaluationOptions.
_MEASURES = (
    click.option(
        "--bootstrap",
        type=click.IntRange(0),
        default=1000,
        show_default=True,
        help="Resamples of the queries for the 95 % intervals; 0 = no intervals.",
    ),
    click.option("--rerank", is_flag=True, help="Also with k-reciprocal re-ranking (k1 20, k2 6, lambda 0.3)."),
    click.option("--subsets", is_flag=True, help="Also all incomplete sets of sensors; mid-grey where one is missing."),
    click.option("--per-modality", is_flag=True, help="Also each modality's third of the feature alone."),
    click.option("--strips", type=PATH, help="Folder for pictures of queries and their top 10."),
    click.option(
        "--strips-count",
        type=click.IntRange(1),
        default=10,
        show_default=True,
        help="Queries to draw: half of them the worst, the others spread up to the best.",
    ),
)


@click.command("eval")
@click.argument("model", type=PATH, required=False)
@click.option("--ckpt", type=PATH, help="The checkpoint to evaluate, in place of MODEL.")
@data_option
@dataset_option
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True, help="Samples at a time.")
@all_of(_MEASURES)
@seed_option
@skip_bad_option
@click.option("--skipped", type=PATH, help="JSON file for the list of what --skip-bad left out.")
@run_options
@switch_options
@overwrite_option
@image_options
@json_option
def evaluate(
    model: Path | None,
    ckpt: Path | None,
    data: Path,
    dataset: str,
    batch: int,
    skipped: Path | None,
    rerank: bool,
    running: dict[str, Any],
    switches: dict[str, Any],
    image_size: tuple[int, int] | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Measure mAP, CMC and mINP of MODEL on a benchmark.

    MODEL is a bundle (no PyTorch needed) or a checkpoint. Intervals are over the queries: the variation with other
    queries of the same kind.
    """
    from ...common.files.targets import require_free
    from ...runtime.evaluation.retrieval.analysis import EvaluationOptions
    from ...runtime.evaluation.retrieval.evaluate_bundle import evaluate_bundle, write_left_out
    from ...runtime.evaluation.retrieval.reranking import Reranking
    from ...runtime.run_options import RunOptions

    path = _the_model(model, ckpt)
    if skipped is not None and not values["skip_bad"]:
        raise click.UsageError("--skipped lists what --skip-bad leaves out; give both, or none.")
    if skipped is not None:
        require_free(skipped, values["overwrite"])
    options = EvaluationOptions(reranking=Reranking() if rerank else None, **values)
    if ckpt is not None or path.is_file():
        if running["target"] or running["precision"]:
            raise click.UsageError("--target and --precision choose an artifact of a bundle; this is a checkpoint.")
        with needs("train"):
            from ...train.reid.evaluate import evaluate_checkpoint
        of_model = {"image_size": image_size, "switches": switches, "device": running["device"], "batch_size": batch}
        report = evaluate_checkpoint(path, data, dataset, options=options, track=track, **of_model)
    elif switches or image_size is not None:
        raise click.UsageError("A bundle holds its settings: --image-size and the switches are for checkpoints.")
    else:
        report = evaluate_bundle(path, data, dataset, options, RunOptions(batch_size=batch, **running), track)
    if skipped is not None:
        write_left_out(skipped, report, values["overwrite"])
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
