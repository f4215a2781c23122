"""Options of what builds artifacts: int8, gates, engines; for `mambapro build` and `mambapro export`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import needs, track
from .options import PATH, F, Numbers

if TYPE_CHECKING:
    from ..export.build_options import BuildReport

_CALIBRATION: dict[str, Callable[[Any], Any]] = {
    "calib": click.option(
        "--calib",
        type=PATH,
        help="Calibration images for int8: a folder with rgb/, nir/ and tir/, or the root of --dataset (its training "
        "part is taken).",
    ),
    "calib_images": click.option(
        "--calib-images", type=click.IntRange(1), default=256, show_default=True, help="Samples taken from --calib."
    ),
    "algorithm": click.option(
        "--algorithm",
        type=click.Choice(("auto", "minmax", "entropy", "percentile", "mse")),
        default="auto",
        show_default=True,
        help="Ranges of activations; auto takes the best for each layer by measured error.",
    ),
    "policy": click.option("--policy", type=PATH, help="YAML of mambapro sensitivity: which layers stay in float."),
    "insist": click.option("--insist", is_flag=True, help="Calibrate on images of the test set all the same."),
}

_GATES: dict[str, Callable[[Any], Any]] = {
    "max_map_drop": click.option(
        "--max-map-drop",
        type=click.FloatRange(0, 100, min_open=True),
        help="Largest loss of mAP, in points; default 0.5, of int8 1.0.",
    ),
    "force": click.option(
        "--force", is_flag=True, help="Keep an int8 artifact that is not faster than the next precision."
    ),
}

_ENGINE: dict[str, Callable[[Any], Any]] = {
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
    for option in reversed([*_CALIBRATION.values(), *_GATES.values(), *_ENGINE.values()]):
        command = option(command)
    return command


def asked_precision(values: dict[str, Any]) -> str:
    """One of the flags --fp16, --bf16 and --int8, taken out of a command's keyword arguments; "fp32" without any.

    Raises:
        click.UsageError: several of them.
    """
    asked = [name for name in ("fp16", "bf16", "int8") if values.pop(name)]
    if len(asked) > 1:
        raise click.UsageError(f"--{' and --'.join(asked)} exclude each other; build several with mambapro build.")
    return asked[0] if asked else "fp32"


def build_values(values: dict[str, Any]) -> dict[str, Any]:
    """Everything of `build_options`, taken out of a command's keyword arguments, for `built`."""
    return {name: values.pop(name) for name in (*_CALIBRATION, *_GATES, *_ENGINE)}


def built(
    bundle: Path,
    target: str,
    precision: str | None,
    data: Path | None,
    dataset: str | None,
    given: dict[str, Any],
    **more: Any,
) -> BuildReport:
    """Build one artifact as the options of `build_options` say.

    Args:
        bundle, target, precision: what to build; precision None is the bundle's, with calibration images int8.
        data, dataset: labelled images for the accuracy gate; None = those that calibrate, where they are a benchmark.
        given: from `build_values`.
        more: other arguments of BuildOptions.
    """
    with needs("export"):
        from ..export.build import build_artifact
        from ..export.build_options import BuildOptions
        from ..export.engines.options import EngineOptions
    from .quantizing import Quantizer

    values = dict(given)
    if data is not None and dataset is None:
        raise click.UsageError("--data needs --dataset, to know how to read it.")
    quantizer = Quantizer(bundle, dataset, data, **{name: values.pop(name) for name in _CALIBRATION})
    drop = values.pop("max_map_drop")
    root = data or quantizer.benchmark_root
    options = BuildOptions(
        target,
        precision,
        force=values.pop("force"),
        max_map_drop=None if drop is None else drop / 100,
        engine=EngineOptions(**_engine_values(values)),
        data=root,
        dataset=None if root is None else dataset,
        **more,
    )
    return build_artifact(bundle, options, quantizer.quantize, quantizer.range_check, track)


def finisher(
    targets: tuple[str, ...], precision: str, data: Path | None, dataset: str | None, given: dict[str, Any]
) -> Callable[[Path], list[BuildReport]] | None:
    """What an export still has to build of its bundle; None for nothing.

    Raises:
        click.UsageError: a precision that needs a target.
    """
    if not targets and precision == "bf16":
        raise click.UsageError(
            "--bf16 needs --target openvino, tensorrt or tensorrt-rtx: ONNX Runtime's CPU has no bfloat16 products."
        )
    wanted = targets or (("onnxruntime",) if precision == "int8" else ())
    wanted = tuple(t for t in wanted if (t, precision) not in (("onnxruntime", "fp32"), ("onnxruntime", "fp16")))
    if precision == "int8" and given["calib"] is None:
        raise click.UsageError("--int8 needs --calib: a folder with rgb/, nir/ and tir/, or the root of --dataset.")
    if not wanted:
        return None
    with needs("export"):
        from ..export.build import require_pair
    for target in wanted:
        require_pair(target, precision, "fp16" if precision == "fp16" else "fp32")
    return lambda bundle: [built(bundle, target, precision, data, dataset, given) for target in wanted]


def _engine_values(values: dict[str, Any]) -> dict[str, Any]:
    """Arguments of EngineOptions from those of the command line.

    Raises:
        click.UsageError: a profile that is not three numbers.
    """
    from ..runtime.sidecar import Profile

    sizes, workspace = values["profile"], values["workspace"]
    if len(sizes) != 3:
        raise click.UsageError(f"--profile takes three batch sizes, such as 1,8,32, not {len(sizes)}.")
    return {**values, "profile": Profile(*sizes), "workspace": None if workspace is None else workspace << 20}
