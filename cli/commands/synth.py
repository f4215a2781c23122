"""mambapro synth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ...errors import InputError
from ..options.shared import ATTRIBUTE_DATASETS, PATH, REID_DATASETS, json_option, overwrite_option, seed_option
from ..terminal.console import emit, needs, track

#: Sets of labeled images that are drawn; "attributes" is any set in the toolkit's format.
_ATTRIBUTE_SETS = tuple(name for name in ATTRIBUTE_DATASETS if name != "attributes")
_NOISE = click.FloatRange(0, 0.5)


@click.command()
@click.option("--out", type=PATH, required=True, help="Folder to write; serves as --data afterwards.")
@click.option(
    "--dataset",
    type=click.Choice((*REID_DATASETS, *_ATTRIBUTE_SETS)),
    required=True,
    help="Whose folders, file names and annotation to follow.",
)
@click.option("--train-identities", type=click.IntRange(2), help="Re-identification: identities of the training part.")
@click.option("--test-identities", type=click.IntRange(2), help="Re-identification: identities of query and gallery.")
@click.option(
    "--images", type=click.IntRange(2), help="Samples of each identity (8); attributes: images in all (2000)."
)
@click.option("--label-noise", type=_NOISE, help="Attributes: share of wrong labels in the training part (0.05).")
@click.option("--test-label-noise", type=_NOISE, help="Attributes: share of wrong labels elsewhere (0).")
@seed_option
@overwrite_option
@json_option
def synth(dataset: str, as_json: bool, **options: Any) -> None:
    """Generate a benchmark in the layout of a real one.

    For re-identification persons (rgbnt201) or vehicles (rgbnt100, msvr310) in RGB, NIR and TIR; for attributes persons
    with labels in the published format of the set. Everything that reads the real one reads this. The same seed draws
    the same images.
    """
    draw = _draw_attributes if dataset in _ATTRIBUTE_SETS else _draw_identities
    with needs("train"):
        report = draw(dataset, track=track, **options)
    emit(report, as_json)


def _draw_identities(
    dataset: str,
    out: Path,
    train_identities: int | None,
    test_identities: int | None,
    images: int | None,
    label_noise: float | None,
    test_label_noise: float | None,
    **common: Any,
) -> Any:
    from ...synthetic.benchmark import DEFAULT_IDENTITIES, DEFAULT_VIEWS, draw_benchmark

    _refuse(dataset, "re-identification", {"--label-noise": label_noise, "--test-label-noise": test_label_noise})
    identities = (train_identities or DEFAULT_IDENTITIES[0], test_identities or DEFAULT_IDENTITIES[1])
    return draw_benchmark(out, dataset, identities=identities, views=images or DEFAULT_VIEWS, **common)


def _draw_attributes(
    dataset: str, out: Path, train_identities: int | None, test_identities: int | None, **options: Any
) -> Any:
    from ...synthetic.attribute_benchmark import draw_attribute_set

    _refuse(dataset, "attributes", {"--train-identities": train_identities, "--test-identities": test_identities})
    return draw_attribute_set(out, dataset, **{name: value for name, value in options.items() if value is not None})


def _refuse(dataset: str, purpose: str, options: dict[str, Any]) -> None:
    """Refuse options of the other kind of benchmark."""
    for option, value in options.items():
        if value is not None:
            raise InputError(f"{option} has no effect on {dataset}, a benchmark for {purpose}; leave it out.")
