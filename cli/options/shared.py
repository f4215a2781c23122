"""Options and value types that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DATASETS = ("rgbnt201", "rgbnt100", "msvr310")
HELP = {"help_option_names": ["-h", "--help"]}
PATH = click.Path(path_type=Path)


class ImageSize(click.ParamType):
    """Parameter type HEIGHTxWIDTH in pixels."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Convert "256x128" to (256, 128)."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", str(value))
        if match is None:
            self.fail(f"{value!r} is no image size; write height x width in pixels, such as 256x128.", param, ctx)
        return int(match[1]), int(match[2])


class Numbers(click.ParamType):
    """Parameter type of positive integers, separated by commas."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Convert "1,8" to (1, 8)."""
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[1-9]\d{0,5}(,[1-9]\d{0,5})*", str(value)):
            self.fail(f"{value!r} is no list of numbers; write them with commas, such as 1,8.", param, ctx)
        return tuple(int(number) for number in str(value).split(","))


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what is there already.")
dataset_option = click.option(
    "--dataset", type=click.Choice(DATASETS), required=True, help="Which benchmark the folder holds."
)
data_option = click.option("--data", type=PATH, required=True, help="Root folder of the benchmark.")


def max_cosine_distance_option(default: str) -> Callable[[F], F]:
    """Return `--max-cosine-distance`, with a remark on its default."""
    text = f"Largest cosine distance (1 - cosine) to PyTorch; {default}."
    return click.option("--max-cosine-distance", type=float, help=text)


allow_test_images_option = click.option(
    "--allow-test-images", is_flag=True, help="Calibrate on images of the test set too: their accuracy proves nothing."
)
seed_option = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed.")


TARGETS = ("onnxruntime", "openvino", "tensorrt", "tensorrt-rtx")
PRECISIONS = ("fp32", "fp16", "bf16", "int8")


def device_options(command: F) -> F:
    """Add the options of device and artifact."""
    for option in reversed((*_DEVICE, *_ARTIFACT)):
        command = option(command)
    return command


def check_options(command: F) -> F:
    """Add the options of device and artifacts of a check."""
    for option in reversed((*_DEVICE, *_ALL)):
        command = option(command)
    return command


_DEVICE: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--device",
        type=click.Choice(("auto", "cpu", "cuda")),
        default="auto",
        show_default=True,
        help="Where to run; auto is a GPU where an engine fits it or ONNX Runtime offers CUDA.",
    ),
    click.option("--allow-fallback", is_flag=True, help="Use the CPU where CUDA cannot be used."),
    click.option("--load-plugins", is_flag=True, help="Load the code in the bundle: plugin libraries. Trust it first."),
)

_ARTIFACT: tuple[Callable[[Any], Any], ...] = (
    click.option("--target", type=click.Choice(TARGETS), help="Runtime; default: the fastest one that runs here."),
    click.option("--precision", type=click.Choice(PRECISIONS), help="Precision; default: the fastest in the bundle."),
)

_ALL: tuple[Callable[[Any], Any], ...] = (
    click.option("--target", type=click.Choice(TARGETS), help="Check what is for this runtime; default: everything."),
    click.option("--precision", type=click.Choice(PRECISIONS), help="Check this precision; default: everything."),
)


def run_options(command: F) -> F:
    """Add `device_options` and the options of the run."""
    for option in reversed(_RUN):
        command = option(command)
    return device_options(command)


_RUN: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--mode",
        type=click.Choice(("latency", "throughput")),
        default="latency",
        show_default=True,
        help="OpenVINO: a batch at once, or divided among streams.",
    ),
    click.option("--cache", type=PATH, help="OpenVINO: folder for compiled models; the next start is faster."),
    click.option("--unverified", is_flag=True, help="Run an artifact that no machine has verified yet."),
)


def pop_run_options(values: dict[str, Any]) -> dict[str, Any]:
    """Remove the values of `run_options` from a command's keyword arguments; returns them, arguments of Extractor."""
    names = ("device", "allow_fallback", "target", "precision", "mode", "load_plugins", "unverified", "cache")
    return {name: values.pop(name) for name in names if name in values}


weights_option = click.option(
    "--weights",
    metavar="NAME",
    help="Which weights, where the checkpoint holds several, such as ema; the error lists their names.",
)

_SWITCHES = {
    "prompt": "SRP prompts",
    "adapter": "PFA adapters",
    "mamba": "Mamba Aggregation",
    "sie-camera": "camera embedding",
}


def switch_options(command: F) -> F:
    """Add the model switches that the authors' checkpoints do not hold: the flags of their YAML files."""
    for name, part in _SWITCHES.items():
        text = f"The model was trained with or without {part}; default: stored in the checkpoint, or with."
        command = click.option(f"--{name}/--no-{name}", default=None, help=text)(command)
    command = weights_option(command)
    text = "Weight of the camera embedding (SIE_COE); default: stored, or 1.0."
    command = click.option("--sie-coe", type=float, default=None, help=text)(command)
    text = "Height x width of the model's input; the authors' files need it, or --dataset."
    return click.option("--image-size", type=ImageSize(), default=None, help=text)(command)


def pop_model_switches(values: dict[str, Any]) -> dict[str, Any]:
    """Remove the model switches and `weights` from a command's keyword arguments; returns those the user set."""
    names = [*(name.replace("-", "_") for name in _SWITCHES), "sie_coe", "weights"]
    switches = {name: values.pop(name) for name in names}
    return {name: value for name, value in switches.items() if value is not None}
