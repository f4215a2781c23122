"""mambapro build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.building import artifact_options, build_options
from ..options.images import image_options
from ..options.renamed import Command
from ..options.shared import (
    ANY_DATASET,
    PATH,
    PRECISIONS,
    TARGETS,
    json_option,
    max_cosine_distance_option,
    overwrite_option,
)
from ..terminal.console import emit, needs, track


@click.command(cls=Command)
@click.argument("bundle", type=PATH)
@click.option("--target", type=click.Choice(TARGETS), required=True, help="Runtime to build for.")
@click.option("--precision", type=click.Choice(PRECISIONS), help="Default: that of BUNDLE, with --calib int8.")
@click.option("--data", type=PATH, help="Root folder of --dataset: the artifact's accuracy is gated on its test part.")
@click.option("--dataset", type=ANY_DATASET, help="Which benchmark --data and --calib hold.")
@max_cosine_distance_option("default by precision")
@build_options
@overwrite_option
@image_options
@json_option
def build(
    bundle: Path,
    target: str,
    precision: str | None,
    data: Path | None,
    dataset: str | None,
    calibration: dict[str, Any],
    engine: dict[str, Any],
    max_cosine_distance: float | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Build an artifact of BUNDLE and gate it.

    It is for one runtime in one precision, and enters the bundle if it passes. An artifact that cannot run on this
    machine, such as an engine without a GPU, is added unverified; mambapro check on a suitable machine verifies it.
    """
    with needs("calib"):
        from ...export.artifacts.build_artifact import build_artifact
        from ...export.artifacts.build_options import QuantizeOptions

    quantize = QuantizeOptions(data=data, dataset=dataset, **calibration)
    (options,) = artifact_options((target,), precision, quantize, engine, max_departure=max_cosine_distance, **values)
    emit(build_artifact(bundle, options, track), as_json)
