"""Options of the commands that build artifacts, `mambapro build` and `mambapro export`: int8, gates, engines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .images import unpaired_option
from .renamed import Choice
from .shared import PATH, Numbers, all_of, allow_test_images_option, gathered

if TYPE_CHECKING:
    from ...export.artifacts.build_options import BuildOptions, QuantizeOptions

QUANTIZE: dict[str, Callable[[Any], Any]] = {
    "calib": click.option(
        "--calib",
        type=PATH,
        help="Calibration images for int8: a folder with rgb/, nir/ and tir/, of images for a model of RGB alone, or "
        "the root of --dataset (its training part is taken).",
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
    "policy": click.option(
        "--policy",
        type=PATH,
        help="Layers in int8: a file of mambapro sensitivity, linear, none, or a part of the model.",
    ),
    "allow_test_images": allow_test_images_option,
    "unpaired": unpaired_option,
}

_MAX_MAP_DROP = click.option(
    "--max-map-drop",
    type=click.FloatRange(0, 100, min_open=True),
    help="Largest loss of mAP (attributes: of mA and F1), in points; default 0.5, of int8 1.0.",
)
_FORCE = click.option("--force", is_flag=True, help="Keep an int8 artifact that is not faster than the next precision.")

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
        type=Choice(("auto", "embed", "external", "none"), renamed={"beside": "external"}),
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
#: Options of int8 alone, and of images alone.
_INT8 = ("scales", "policy", "algorithm", "force")
_IMAGES = ("calib_images", "algorithm", "allow_test_images", "unpaired")


def build_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add every option of how artifacts are built: `calibration`, `engine`, and those of the gates."""
    gates = all_of((_MAX_MAP_DROP, _FORCE))
    return gathered("calibration", QUANTIZE)(gates(gathered("engine", ENGINE)(command)))


def artifact_options(
    targets: tuple[str, ...],
    precision: str | None,
    quantize: QuantizeOptions,
    engine: Mapping[str, Any],
    *,
    max_map_drop: float | None,
    gated_export: bool = False,
    **more: Any,
) -> tuple[BuildOptions, ...]:
    """Return the options of the artifacts that a command builds; a target that is named twice is built once.

    Args:
        targets: runtimes to build for.
        precision: None = that of the bundle, with calibration images or scales int8.
        quantize: scales, and images for calibration; with the labeled images for the accuracy gate, which is not run
            without them: it takes long.
        engine: values of the options of engines.
        max_map_drop: in points.
        gated_export: the command gates the accuracy of the exported model itself.
        more: other arguments of BuildOptions.

    Raises:
        click.UsageError: options that do not go together.
        InputError: options that have no such values.
    """
    from ...export.artifacts.build_options import BuildOptions
    from ...export.engines.engine_options import EngineOptions
    from ...runtime.bundle.artifact import Profile

    precision_built = "int8" if precision is None and quantize.has_scales else precision
    _require_consistent(targets, precision_built, quantize, max_map_drop, gated_export)
    sizes, workspace = engine["profile"], engine["workspace"]
    if len(sizes) != 3:
        raise click.UsageError(f"--profile takes three batch sizes, such as 1,8,32, not {len(sizes)}.")
    sized = {"profile": Profile(*sizes), "workspace": None if workspace is None else workspace << 20}
    return tuple(
        BuildOptions(
            target,
            precision,
            engine=EngineOptions(**{**engine, **sized}),
            quantize=quantize,
            max_map_drop=fraction(max_map_drop),
            data=quantize.data,
            dataset=None if quantize.data is None else quantize.dataset,
            **more,
        )
        for target in dict.fromkeys(targets)
    )


def _require_consistent(
    targets: tuple[str, ...],
    precision: str | None,
    quantize: QuantizeOptions,
    max_map_drop: float | None,
    gated_export: bool,
) -> None:
    """Raise click.UsageError for options that lack another one, or would have no effect; names them."""
    if quantize.data is not None and quantize.dataset is None:
        raise click.UsageError("--data needs --dataset, to know how to read it.")
    idle = given_options(_INT8)
    if idle and precision != "int8":
        raise click.UsageError(f"{', '.join(idle)} belong to int8; what is built is {precision or 'as the bundle'}.")
    if quantize.calib is not None and precision not in ("int8", "fp16"):
        raise click.UsageError(
            "--calib is for int8, and for the range check of float16. Leave it out, or say --int8 or --fp16 "
            "(build: --precision int8 or fp16)."
        )
    idle = given_options(_IMAGES)
    if idle and quantize.calib is None:
        raise click.UsageError(f"{', '.join(idle)} say how to calibrate, which needs images: give --calib.")
    if quantize.policy is not None and not quantize.has_scales:
        raise click.UsageError(
            "--policy needs scales to quantise with: give a table (--scales) or calibration images (--calib)."
        )
    idle = given_options(ENGINE)
    if idle and not any(target.startswith("tensorrt") for target in targets):
        built = ", ".join(dict.fromkeys(targets)) or "the exported model"
        raise click.UsageError(
            f"{', '.join(idle)} belong to --target tensorrt or tensorrt-rtx; what is built is {built}."
        )
    if given_options(["timing_cache"]) and "tensorrt" not in targets:
        raise click.UsageError("--timing-cache belongs to --target tensorrt: TensorRT-RTX times nothing.")
    if max_map_drop is not None and (quantize.data is None or not (targets or gated_export)):
        raise click.UsageError(
            "--max-map-drop limits what fp16 or int8 loses on labelled images: give --data and --dataset too."
        )


def fraction(points: float | None) -> float | None:
    """Convert hundredths to a fraction; None stays None."""
    return None if points is None else points / 100


def given_options(names: Iterable[str]) -> list[str]:
    """Return the options that the user gave, as written; an option left at its default is not reported as unused."""
    context = click.get_current_context()
    written = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    defaults = (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    return [written[name] for name in names if context.get_parameter_source(name) not in defaults]


def asked_precision(fp16: bool, bf16: bool, int8: bool) -> str:
    """Return the precision of the flags --fp16, --bf16 and --int8; "fp32" without any.

    Raises:
        click.UsageError: several of them.
    """
    asked = [name for name, flag in (("fp16", fp16), ("bf16", bf16), ("int8", int8)) if flag]
    if len(asked) > 1:
        raise click.UsageError(f"--{' and --'.join(asked)} exclude each other; build several with mambapro build.")
    return asked[0] if asked else "fp32"


def wanted_targets(targets: tuple[str, ...], precision: str) -> tuple[str, ...]:
    """Return the targets that an export builds besides the exported model, which is ONNX Runtime's fp32 or fp16.

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
