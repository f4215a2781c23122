"""Options and value types that several commands share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

#: Names in `runtime.data.readers.benchmarks`, which is not imported for the help of a command.
REID_DATASETS = ("rgbnt201", "rgbnt100", "msvr310")
ATTRIBUTE_DATASETS = ("pa100k", "peta", "rapv1", "rapv2", "wider", "peta-zs", "rap-zs", "msp60k", "attributes")
DATASETS = (*REID_DATASETS, *ATTRIBUTE_DATASETS)
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


class Dataset(click.Choice[str]):
    """Parameter type of a benchmark's name; one for another task is named as such."""

    def __init__(self, names: Sequence[str], task: str) -> None:
        super().__init__(names)
        self._task = task

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name."""
        if value in DATASETS and value not in self.choices:
            self.fail(
                f"{value!r} is not for {self._task}, which this command is for. Give one of {', '.join(self.choices)}.",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


#: Types of --dataset: of any benchmark, or of those for one task.
ANY_DATASET = click.Choice(DATASETS)
REID_DATASET = Dataset(REID_DATASETS, "re-identification")
ATTRIBUTE_DATASET = Dataset(ATTRIBUTE_DATASETS, "attribute recognition")

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what is there already.")
_DATASET_HELP = "Which benchmark the folder holds."
dataset_option = click.option("--dataset", type=ANY_DATASET, required=True, help=_DATASET_HELP)
data_option = click.option("--data", type=PATH, required=True, help="Root folder of the benchmark.")


def max_cosine_distance_option(default: str) -> Callable[[F], F]:
    """Return `--max-cosine-distance`, with a remark on its default."""
    text = f"Largest cosine distance (1 - cosine) to PyTorch, of attributes largest difference of a logit; {default}."
    return click.option("--max-cosine-distance", type=float, help=text)


allow_test_images_option = click.option(
    "--allow-test-images", is_flag=True, help="Calibrate on images of the test set too: their accuracy proves nothing."
)
seed_option = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed.")


TARGETS = ("onnxruntime", "openvino", "tensorrt", "tensorrt-rtx")
PRECISIONS = ("fp32", "fp16", "bf16", "int8")


def gathered(
    name: str, options: Mapping[str, Callable[[Any], Any]], only_set: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds options, whose values a command gets as one dict.

    Args:
        name: argument of the command.
        options: by the argument that each of them sets.
        only_set: leave out those that are None.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def call(**values: Any) -> Any:
            group = {key: value for key, value in values.items() if key in options}
            others = {key: value for key, value in values.items() if key not in options}
            if only_set:
                group = {key: value for key, value in group.items() if value is not None}
            return command(**others, **{name: group})

        return all_of(options.values())(call)

    return decorate


def all_of(options: Iterable[Callable[[Any], Any]]) -> Callable[[F], F]:
    """Return a decorator that adds options in this order."""

    def decorate(command: F) -> F:
        for option in reversed(list(options)):
            command = option(command)
        return command

    return decorate


_DEVICE: dict[str, Callable[[Any], Any]] = {
    "device": click.option(
        "--device",
        type=click.Choice(("auto", "cpu", "cuda")),
        default="auto",
        show_default=True,
        help="Where to run; auto is a GPU where an engine fits it or ONNX Runtime offers CUDA.",
    ),
    "allow_fallback": click.option("--allow-fallback", is_flag=True, help="Use the CPU where CUDA cannot be used."),
    "load_plugins": click.option(
        "--load-plugins", is_flag=True, help="Load the code in the bundle: plugin libraries. Trust it first."
    ),
}

#: Where a bundle is checked, and whether all of it.
check_options = all_of(
    (
        *_DEVICE.values(),
        click.option(
            "--target", type=click.Choice(TARGETS), help="Check what is for this runtime; default: everything."
        ),
        click.option("--precision", type=click.Choice(PRECISIONS), help="Check this precision; default: everything."),
    )
)

#: Where a bundle runs, which of its artifacts, and how: arguments of RunOptions and Extractor, as `running`.
run_options = gathered(
    "running",
    {
        **_DEVICE,
        "target": click.option(
            "--target", type=click.Choice(TARGETS), help="Runtime; default: the fastest one that runs here."
        ),
        "precision": click.option(
            "--precision", type=click.Choice(PRECISIONS), help="Precision; default: the fastest in the bundle."
        ),
        "mode": click.option(
            "--mode",
            type=click.Choice(("latency", "throughput")),
            default="latency",
            show_default=True,
            help="OpenVINO: a batch at once, or divided among streams.",
        ),
        "cache": click.option(
            "--cache", type=PATH, help="OpenVINO: folder for compiled models; the next start is faster."
        ),
        "unverified": click.option(
            "--unverified", is_flag=True, help="Run an artifact that no machine has verified yet."
        ),
    },
)

weights_option = click.option(
    "--weights",
    metavar="NAME",
    help="Which weights, where the checkpoint holds several, such as ema; the error lists their names.",
)


def _switch(name: str, part: str) -> Callable[[Any], Any]:
    text = f"The model was trained with or without {part}; default: stored in the checkpoint, or with."
    return click.option(f"--{name}/--no-{name}", default=None, help=text)


def _label_array(context: click.Context, option: click.Parameter, path: Path | None) -> Any:
    """Read the file of an option with one row for each label."""
    if path is None:
        return None
    from ...runtime.bundle.label_file import read_label_array

    return read_label_array(path)


_SWITCHES: dict[str, Callable[[Any], Any]] = {
    "model": click.option(
        "--model", metavar="NAME", help="Model in a public file, such as par_image_vim_s; default: by its keys."
    ),
    "label_tokens": click.option(
        "--label-tokens",
        type=PATH,
        callback=_label_array,
        help="Attribute models with text: token ids of each label, a .npy, .npz or .json file.",
    ),
    "label_vectors": click.option(
        "--label-vectors",
        type=PATH,
        callback=_label_array,
        help="Attribute models with text: a vector of each label in place of the text encoder, as --label-tokens.",
    ),
    "sie_coe": click.option(
        "--sie-coe", type=float, default=None, help="Weight of the camera embedding (SIE_COE); default: stored, or 1.0."
    ),
    "weights": weights_option,
    "sie_camera": _switch("sie-camera", "camera embedding"),
    "mamba": _switch("mamba", "Mamba Aggregation"),
    "adapter": _switch("adapter", "PFA adapters"),
    "prompt": _switch("prompt", "SRP prompts"),
}


def switch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the model switches that the authors' checkpoints do not hold, as `switches`, and `image_size`."""
    text = "Height x width of the model's input; the authors' files need it, or --dataset."
    size = click.option("--image-size", type=ImageSize(), default=None, help=text)
    return size(gathered("switches", _SWITCHES, only_set=True)(command))
