"""Options of what builds artifacts: int8, gates, engines; for `mambapro build` and `mambapro export`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.core import ParameterSource

from .images import unpaired_option
from .shared import PATH, F, Numbers

CALIBRATION: dict[str, Callable[[Any], Any]] = {
    "calib": click.option(
        "--calib",
        type=PATH,
        help="Calibration images for int8: a folder with rgb/, nir/ and tir/, or the root of --dataset (its training "
        "part is taken).",
    ),
    "calib_images": click.option(
        "--calib-images", type=click.IntRange(8), default=256, show_default=True, help="Samples taken from --calib."
    ),
    "algorithm": click.option(
        "--algorithm",
        type=click.Choice(("auto", "minmax", "entropy", "percentile", "mse")),
        default="auto",
        show_default=True,
        help="Ranges of activations; auto takes the best for each layer by measured error.",
    ),
    "scales": click.option("--scales", type=PATH, help="Table that mambapro calibrate wrote, in place of --calib."),
    "policy": click.option("--policy", type=PATH, help="YAML of mambapro sensitivity: which layers stay in float."),
    "insist": click.option("--insist", is_flag=True, help="Calibrate on images of the test set all the same."),
    "unpaired": unpaired_option,
}

GATES: dict[str, Callable[[Any], Any]] = {
    "max_map_drop": click.option(
        "--max-map-drop",
        type=click.FloatRange(0, 100, min_open=True),
        help="Largest loss of mAP, in points; default 0.5, of int8 1.0.",
    ),
    "force": click.option(
        "--force", is_flag=True, help="Keep an int8 artifact that is not faster than the next precision."
    ),
}

ENGINE: dict[str, Callable[[Any], Any]] = {
    "profile": click.option(
        "--profile",
        type=Numbers(),
        default="1,8,32",
        show_default=True,
        help="Engines: smallest, usual and largest batch.",
    ),
    "compute_capabilities": click.option(
        "--compute-capability",
        "compute_capabilities",
        multiple=True,
        help="TensorRT-RTX: a GPU generation to build for, such as 8.6; repeat it. Default: all.",
    ),
    "hardware": click.option(
        "--hardware",
        type=click.Choice(("same", "compute-capability", "ampere+")),
        default="same",
        show_default=True,
        help="TensorRT: which other GPUs may load the engine.",
    ),
    "version_compatible": click.option(
        "--version-compatible", is_flag=True, help="TensorRT: newer versions may load the engine."
    ),
    "plugin": click.option(
        "--plugin",
        type=click.Choice(("auto", "embed", "beside", "none")),
        default="auto",
        show_default=True,
        help="Engines: where the kernel of the scan is; none = the slow ONNX function.",
    ),
    "plugin_library": click.option("--plugin-library", type=PATH, help="Engines: the compiled plugin to take."),
    "workspace": click.option(
        "--workspace", type=click.IntRange(1), help="Engines: most MiB of GPU memory for one layer."
    ),
    "timing_cache": click.option("--timing-cache", type=PATH, help="TensorRT: folder of its timing caches."),
}


def build_options(command: F) -> F:
    """Everything that says how artifacts are made."""
    for option in reversed([*CALIBRATION.values(), *GATES.values(), *ENGINE.values()]):
        command = option(command)
    return command


def given_options(names: Iterable[str]) -> list[str]:
    """Which of a command's parameters were given by the user, as they are written: those left at their default do
    nothing that anyone asked for."""
    context = click.get_current_context()
    written = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    defaults = (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    return [written[name] for name in names if context.get_parameter_source(name) not in defaults]


def asked_precision(values: dict[str, Any]) -> str:
    """One of the flags --fp16, --bf16 and --int8, taken out of a command's keyword arguments; "fp32" without any.

    Raises:
        click.UsageError: several of them.
    """
    asked = [name for name in ("fp16", "bf16", "int8") if values.pop(name)]
    if len(asked) > 1:
        raise click.UsageError(f"--{' and --'.join(asked)} exclude each other; build several with mambapro build.")
    return asked[0] if asked else "fp32"


def wanted_targets(targets: tuple[str, ...], precision: str) -> tuple[str, ...]:
    """What an export builds besides the exported model, which is ONNX Runtime's fp32 or fp16.

    Raises:
        click.UsageError: bf16 without a target that has it.
    """
    if not targets and precision == "bf16":
        raise click.UsageError(
            "--bf16 needs --target openvino, tensorrt or tensorrt-rtx: ONNX Runtime's CPU has no bfloat16 products."
        )
    if not targets and precision == "int8":
        return ("onnxruntime",)
    return tuple(target for target in targets if target != "onnxruntime" or precision not in ("fp32", "fp16"))
