"""Options of building artifacts, the checks before anything is built, and the report of a built artifact."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...calib.images import holds_images
from ...common.foreign_text import escaped
from ...errors import InputError
from ...graph.cast import require_runs_on
from ...plugins.tensorrt.importing import import_module
from ...plugins.tensorrt.versions import generation_of
from ...runtime.backends.openvino import import_openvino
from ...runtime.bundle.artifact import OPENVINO, TARGETS, TENSORRT, TENSORRT_RTX, Sidecar, stem
from ...runtime.bundle.field_checks import one_of
from ...runtime.bundle.metadata_parts import PRECISIONS
from ..engines.engine_options import EngineOptions
from ..engines.gpu import gpu_at_hand

ENGINES = (TENSORRT, TENSORRT_RTX)


@dataclass(frozen=True)
class QuantizeOptions:
    """Source of the int8 scales, and of the images that the range check of float16 runs on.

    Attributes:
        calib: folder of calibration images, or the root of `dataset`; None = no images.
        scales: table of an earlier calibration, in place of `calib`.
        calib_images: number of samples to take.
        algorithm: of the activation ranges.
        policy: file that lists the layers that stay in float.
        allow_test_images: calibrate on query and gallery images too.
        unpaired: accept folders of sensors whose file names have nothing in common.
        dataset: benchmark that `calib` or `data` holds.
        data: root of `dataset` where that is not `calib`; its test images are refused for calibration.

    Raises:
        InputError: `calib` is not a folder, or both images and a table were given.
    """

    calib: Path | None = None
    scales: Path | None = None
    calib_images: int = 256
    algorithm: str = "auto"
    policy: Path | None = None
    allow_test_images: bool = False
    unpaired: bool = False
    dataset: str | None = None
    data: Path | None = None

    def __post_init__(self) -> None:
        if self.calib is not None and self.scales is not None:
            raise InputError(
                f"Both calibration images ({escaped(self.calib)}) and a table ({self.scales}) were given; give one of "
                "them."
            )
        # with a benchmark's name also a file, an attributes.json
        if self.calib is not None and not (self.calib.exists() if self.dataset else self.calib.is_dir()):
            raise InputError(f"There is no folder {escaped(self.calib)} of calibration images.")

    @property
    def has_scales(self) -> bool:
        """True if scales are given, or can be calibrated."""
        return self.calib is not None or self.scales is not None

    @property
    def benchmark_root(self) -> Path | None:
        """`calib` if it is the root of `dataset`, whose test part can gate accuracy; None for a plain folder."""
        plain = self.calib is None or holds_images(self.calib, self.data)
        return None if plain or self.dataset is None else self.calib


@dataclass(frozen=True)
class BuildOptions:
    """Options of one artifact.

    Attributes:
        target: "onnxruntime", "openvino", "tensorrt" or "tensorrt-rtx".
        precision: None = int8 if there are scales, else that of the exported model.
        engine: for TensorRT and TensorRT-RTX; its `library` is that of the target.
        quantize: scales of int8, images of the range check.
        max_departure: largest 1 - cosine to PyTorch; None = LIMITS of the precision.
        max_map_drop: largest drop of mAP, a fraction; None = MAP_DROPS of the precision.
        data, dataset: labeled images for the accuracy gate; without them it is not run, and the report states that.
        force: keep an int8 artifact that is not faster than the next higher precision.
        overwrite: replace an artifact of the same target and precision.
    """

    target: str
    precision: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    quantize: QuantizeOptions = field(default_factory=QuantizeOptions)
    max_departure: float | None = None
    max_map_drop: float | None = None
    data: Path | None = None
    dataset: str | None = None
    force: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        one_of("target", self.target, TARGETS)
        if self.precision is not None:
            one_of("precision", self.precision, PRECISIONS)
        if (self.data is None) != (self.dataset is None):
            raise InputError("The accuracy gate needs --data and --dataset together: give both, or none.")
        for name, value, most in (("cosine-distance", self.max_departure, 2.0), ("map-drop", self.max_map_drop, 1.0)):
            if value is not None and not 0 < value <= most:
                raise InputError(f"--max-{name} must be above 0, not {value}.")
        if self.target in ENGINES:
            engine = replace(self.engine, library=self.target.replace("-", "_"))
            object.__setattr__(self, "engine", engine)

    def precision_for(self, base: str) -> str:
        """Return the precision of the artifact, for an exported model of the precision `base`."""
        return self.precision or ("int8" if self.quantize.has_scales else base)


def require_buildable(options: BuildOptions, base: str, stored: bool = False) -> None:
    """Reject an artifact that cannot be built on this machine, before any long step.

    Args:
        options: of the artifact.
        base: precision of the exported model, "fp32" or "fp16".
        stored: the bundle holds the graph already, so that int8 needs no scales.

    Raises:
        InputError: the target does not compute in the precision or has no such options, the precision cannot be derived
            from the exported model, or int8 has no source of scales.
        SetupError: the target's library is missing, of an unsupported version, or (TensorRT) there is no GPU.
    """
    target, precision = options.target, options.precision_for(base)
    require_pair(target, precision, base)
    if not stored:
        require_scales(options, precision)
    if target == OPENVINO:
        import_openvino()
    if target in ENGINES:
        options.engine.require_consistent()
        generation_of(import_module(options.engine.library))
        if not options.engine.rtx:
            gpu_at_hand()


def require_pair(target: str, precision: str, base: str) -> None:
    """Reject a precision that the target lacks, or that is not derived from a model of the precision `base`.

    Raises:
        InputError: names the alternative.
    """
    require_runs_on(target, precision)
    if target == OPENVINO and precision == "fp16":
        raise InputError(
            "OpenVINO computes in bf16 or float32 on CPUs: a float16 file gains nothing. Build bf16 from a float32 "
            "bundle (mambapro build BUNDLE --target openvino --precision bf16)."
        )
    if base != "fp32" and precision != base and not (precision == "int8" and target in ENGINES):
        raise InputError(
            f"The exported model is {base}; {target} in {precision} is made from float32. Export the checkpoint "
            "without --fp16 and build from that bundle."
        )


def require_scales(options: BuildOptions, precision: str) -> None:
    """Raise InputError for int8 without images and without a table."""
    if precision == "int8" and not options.quantize.has_scales:
        raise InputError("int8 needs calibration images (--calib) or a table of scales (--scales).")


def builds_in_words(builds: tuple[BuildOptions, ...], base: str) -> tuple[str, ...]:
    """Return the names of the artifacts, such as "openvino-int8"."""
    return tuple(stem(options.target, options.precision_for(base)) for options in builds)


@dataclass(frozen=True)
class BuildReport:
    """Report of a finished artifact and its bundle."""

    bundle: Path
    artifact: Sidecar

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict."""
        return {"bundle": str(self.bundle), "artifact": self.artifact.to_json()}

    def __str__(self) -> str:
        artifact, build = self.artifact, self.artifact.build
        place = f"{artifact.stem} in {escaped(self.bundle)}, {build.bytes / 1e6:.1f} MB, {build.seconds:.0f} s"
        rows = [("artifact", place)]
        if build.layers is not None:
            rows.append(("network", f"{build.layers} layers, {build.plugin_layers} of them scan plugins"))
        if artifact.quantized:
            rows.append(("int8", f"{len(artifact.quantized)} modules"))
        if artifact.widened:
            rows.append(("kept fp32", ", ".join(artifact.widened)))
        rows += _gate_rows(artifact)
        return "\n".join(f"{head:11} {text}" for head, text in rows)


def _gate_rows(artifact: Sidecar) -> list[tuple[str, str]]:
    cosine, accuracy, speed = artifact.cosine, artifact.accuracy, artifact.speed
    if cosine is None:
        return [("state", "unverified: not proven on this machine; run mambapro check on the one it is for")]
    departure = f"at most {cosine.largest:.2e} in {cosine.samples} goldens, limit {cosine.limit:.0e}"
    not_gated = "not gated: no labelled images were given (--data, --dataset)"
    rows = [(cosine.measure, departure)]
    rows += [("accuracy", not_gated) if accuracy is None else (accuracy.metric, str(accuracy))]
    return rows if speed is None else [*rows, ("speed", str(speed))]
