"""Options of what builds artifacts: int8, gates, engines; for `mambapro build` and `mambapro export`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .options import PATH, F, Numbers

_CALIBRATION: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--calib",
        type=PATH,
        help="Calibration images for int8: a folder with rgb/, nir/ and tir/, or the root of --dataset (its training "
        "part is taken).",
    ),
    click.option(
        "--calib-images", type=click.IntRange(1), default=256, show_default=True, help="Samples taken from --calib."
    ),
    click.option(
        "--algorithm",
        type=click.Choice(("auto", "minmax", "entropy", "percentile", "mse")),
        default="auto",
        show_default=True,
        help="Ranges of activations; auto takes the best for each layer by measured error.",
    ),
    click.option("--policy", type=PATH, help="YAML of mambapro sensitivity: which layers stay in float."),
    click.option("--insist", is_flag=True, help="Calibrate on images of the test set all the same."),
)

_GATES: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--max-map-drop",
        type=click.FloatRange(0, 100, min_open=True),
        help="Largest loss of mAP, in points; default 0.5, of int8 1.0.",
    ),
    click.option("--force", is_flag=True, help="Keep an int8 artifact that is not faster than the next precision."),
)

_ENGINE: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--profile",
        type=Numbers(),
        default="1,8,32",
        show_default=True,
        help="Engines: smallest, usual and largest batch.",
    ),
    click.option(
        "--compute-capability",
        "compute_capabilities",
        multiple=True,
        help="TensorRT-RTX: a GPU generation to build for, such as 8.6; repeat it. Default: all.",
    ),
    click.option(
        "--hardware",
        type=click.Choice(("same", "compute-capability", "ampere+")),
        default="same",
        show_default=True,
        help="TensorRT: which other GPUs may load the engine.",
    ),
    click.option("--version-compatible", is_flag=True, help="TensorRT: newer versions may load the engine."),
    click.option(
        "--plugin",
        type=click.Choice(("auto", "embed", "beside", "none")),
        default="auto",
        show_default=True,
        help="Engines: where the kernel of the scan is; none = the slow ONNX function.",
    ),
    click.option("--plugin-library", type=PATH, help="Engines: the compiled plugin to take."),
    click.option("--workspace", type=click.IntRange(1), help="Engines: most MiB of GPU memory for one layer."),
    click.option("--timing-cache", type=PATH, help="TensorRT: folder of its timing caches."),
)


def build_options(command: F) -> F:
    """Everything that says how artifacts are made."""
    for option in reversed((*_CALIBRATION, *_GATES, *_ENGINE)):
        command = option(command)
    return command


def engine_values(values: dict[str, Any]) -> dict[str, Any]:
    """Arguments of EngineOptions, taken out of a command's keyword arguments.

    Raises:
        click.UsageError: a profile that is not three numbers.
    """
    from ..runtime.sidecar import Profile

    sizes, workspace = values.pop("profile"), values.pop("workspace")
    if len(sizes) != 3:
        raise click.UsageError(f"--profile takes three batch sizes, such as 1,8,32, not {len(sizes)}.")
    names = ("compute_capabilities", "hardware", "version_compatible", "plugin", "plugin_library", "timing_cache")
    given = {name: values.pop(name) for name in names}
    return {**given, "profile": Profile(*sizes), "workspace": None if workspace is None else workspace << 20}


def gate_values(values: dict[str, Any]) -> dict[str, Any]:
    """The gates' arguments of BuildOptions, taken out of a command's keyword arguments."""
    drop = values.pop("max_map_drop")
    return {"max_map_drop": None if drop is None else drop / 100, "force": values.pop("force")}


def calibration_values(values: dict[str, Any]) -> dict[str, Any]:
    """What `quantizer` takes, out of a command's keyword arguments."""
    return {name: values.pop(name) for name in ("calib", "calib_images", "algorithm", "policy", "insist")}


def require_together(data: Path | None, dataset: str | None) -> None:
    """Raise click.UsageError for --data without --dataset."""
    if data is not None and dataset is None:
        raise click.UsageError("--data needs --dataset, to know how to read it.")
