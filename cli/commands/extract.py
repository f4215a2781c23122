"""mambapro extract, bench, env: what runs without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.images import image_options, skip_bad_option, unpaired_option
from ..options.shared import PATH, Numbers, json_option, overwrite_option, run_options, taken
from ..terminal.console import emit, track


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--rgb", type=PATH, help="Folder of RGB images.")
@click.option("--nir", type=PATH, help="Folder of near-infrared images.")
@click.option("--tir", type=PATH, help="Folder of thermal images.")
@click.option("--out", type=PATH, required=True, help="The .npz file to write.")
@click.option("--camera-pattern", help=r"Camera number in the file names, such as 'cam(\d+)'; default: unknown.")
@click.option("--first-camera", type=int, default=0, show_default=True, help="Number of the first camera in the names.")
@click.option("--strict-cameras", is_flag=True, help="Refuse cameras the model does not know.")
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True, help="Samples at a time.")
@skip_bad_option
@unpaired_option
@run_options
@overwrite_option
@image_options
@json_option
def extract(
    bundle: Path,
    out: Path,
    camera_pattern: str | None,
    first_camera: int,
    strict_cameras: bool,
    batch: int,
    overwrite: bool,
    skip_bad: bool,
    unpaired: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Extract L2-normalised embeddings of folders of images with BUNDLE.

    Images of one sample have the same file name in every folder. A sensor without a folder, or without the file, is
    missing for the sample; the model is made for that.
    """
    from ...runtime.extraction import camera_from_name, extract_folders
    from ...runtime.extractor import Extractor

    cameras = None if camera_pattern is None else camera_from_name(camera_pattern, first_camera)
    with Extractor(bundle, batch_size=batch, **taken(values)) as extractor:
        report = extract_folders(
            extractor,
            {modality: folder for modality, folder in values.items() if folder is not None},
            out,
            cameras,
            strict_cameras,
            overwrite,
            track,
            skip_bad,
            unpaired,
        )
    emit(report, as_json)


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--batch", "batches", type=Numbers(), default="1", show_default=True, help="Batch sizes to time.")
@click.option(
    "--runs", type=click.IntRange(1), default=50, show_default=True, help="Timed runs of each, in all rounds."
)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Rounds in which they take turns.")
@click.option("--warmup", type=click.IntRange(0), default=5, show_default=True, help="Runs before the timed ones.")
@click.option("--seconds", type=float, default=0.0, help="Go on with the timed runs of each until so long has passed.")
@click.option("--model-only", is_flag=True, help="Time the model alone, not end to end as well.")
@click.option("--threads", type=click.IntRange(1), help="Threads of one operator; default: the library's choice.")
@run_options
@json_option
def bench(
    bundle: Path,
    batches: tuple[int, ...],
    runs: int,
    rounds: int,
    warmup: int,
    seconds: float,
    model_only: bool,
    threads: int | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Time BUNDLE: percentiles end to end and of the model alone, throughput, memory.

    Batch sizes and scopes take turns in rounds; where the rounds disagree, the machine was busy, and a line says so.
    """
    from ...runtime.evaluation.latency import END_TO_END, MODEL_ONLY, measure_latency
    from ...runtime.extractor import Extractor

    scopes = (MODEL_ONLY,) if model_only else (END_TO_END, MODEL_ONLY)
    with Extractor(bundle, batch_size=max(batches), threads=threads, **taken(values)) as extractor:
        report = measure_latency(extractor, batches, runs, warmup, track, seconds=seconds, scopes=scopes, rounds=rounds)
    emit(report, as_json)


@click.command("env")
@json_option
def environment(as_json: bool) -> None:
    """Show the machine, the packages, and the provider ONNX Runtime really uses."""
    from ...runtime.environment import environment_report

    emit(environment_report(), as_json)
