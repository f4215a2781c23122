"""From an exported bundle to an artifact for one target and precision: built, gated, and only then listed."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from ..errors import InputError
from ..runtime.artifacts import add_artifact, artifacts_of, base_artifact, scratch_copy, scratch_folder
from ..runtime.bundle import MODEL, Bundle
from ..runtime.files import sha256_of
from ..runtime.limits import LIMITS, MAP_DROPS
from ..runtime.metadata import UNVERIFIED
from ..runtime.progress import Track, silent
from ..runtime.sidecar import OPENVINO, Build, EngineNeeds, Sidecar, stem
from .build_options import ENGINES, BuildOptions, BuildReport
from .engines.build import build_engine
from .engines.options import EngineOptions
from .engines.report import EngineReport
from .gates import gated
from .onnx_file import save_onnx
from .typed import require_runs_on, typed

log = logging.getLogger("mambapro")


@dataclass(frozen=True)
class Quantization:
    """A quantised copy of a model, the modules that compute in int8, and the table of scales as JSON text."""

    model: onnx.ModelProto
    modules: tuple[str, ...]
    table: str


#: A float model and a target's name to its quantised copy. `mambapro.calib` makes one; this floor does not know it.
Quantize = Callable[[onnx.ModelProto, str], Quantization]

#: A float32 model to the modules that must stay float32 in float16. `mambapro.calib`'s images feed it.
RangeCheck = Callable[[onnx.ModelProto], tuple[str, ...]]


def build_artifact(
    folder: Path,
    options: BuildOptions,
    quantize: Quantize | None = None,
    range_check: RangeCheck | None = None,
    track: Track = silent,
) -> BuildReport:
    """Build one artifact of a bundle, hold it to its gates, and add it. On any error the bundle stays as it was.

    Args:
        folder: the bundle.
        options: what to build.
        quantize: makes the int8 model; needed for int8.
        range_check: names what must stay float32 in float16; None = nothing but the usual islands.
        track: shows progress.

    Raises:
        InputError: options that do not fit the bundle or the target.
        SetupError: the target's library is missing, no room, or no permission.
        ExportError: the builder refused the model.
        ParityError, AccuracyError: a gate failed.
    """
    bundle = Bundle.open(folder)
    precision = options.precision or ("int8" if quantize else base_artifact(bundle).precision)
    options = replace(options, precision=precision)
    name = stem(options.target, precision)
    require_pair(options.target, precision, base_artifact(bundle).precision)
    if precision == "int8" and quantize is None:
        raise InputError("int8 needs calibration images: give --calib with a folder or a benchmark's root.")
    if base_artifact(bundle).stem == name:
        raise InputError(f"{folder} is {name} already: its {MODEL} is that. Choose another --target or --precision.")
    if not options.overwrite and any(item.stem == name for item in artifacts_of(bundle)):
        raise InputError(f"{folder} has {name} already. Replace it with --overwrite.")
    with scratch_folder(bundle) as work, scratch_copy(bundle) as stage:
        started = time.perf_counter()
        log.info("building %s", name)
        made = _make(bundle, work, options, quantize, range_check, track)
        made = replace(made, build=replace(made.build, seconds=time.perf_counter() - started))
        names = [path.name for path in work.iterdir()]
        # the gates see a bundle that holds the artifact already
        add_artifact(stage, made, {file: work / file for file in names})
        made = gated(stage, made, options, track)
        add_artifact(bundle.folder, made, {file: stage / file for file in names})
    return BuildReport(bundle.folder, made)


def require_pair(target: str, precision: str, base: str) -> None:
    """Refuse what cannot be built, before anything long is begun.

    Args:
        target, precision: of the artifact.
        base: precision of the exported model, "fp32" or "fp16".

    Raises:
        InputError: the target does not compute in the precision, or it is not made from such a model.
    """
    require_runs_on(target, precision)
    if target == OPENVINO and precision == "fp16":
        raise InputError(
            "OpenVINO computes in bf16 or float32 on CPUs: a float16 file gains nothing. Build bf16 from a float32 "
            "export (mambapro-export --bf16 --target openvino)."
        )
    if base != "fp32" and precision != base and not (precision == "int8" and target in ENGINES):
        raise InputError(
            f"The exported model is {base}; {target} in {precision} is made from float32. Export the checkpoint "
            "without --fp16 and build from that bundle."
        )


def _make(
    bundle: Bundle,
    work: Path,
    options: BuildOptions,
    quantize: Quantize | None,
    range_check: RangeCheck | None,
    track: Track,
) -> Sidecar:
    """The artifact's files, in `work`, and its sidecar, not verified yet."""
    precision = options.precision
    assert precision is not None
    name = stem(options.target, precision)
    file = bundle.file(MODEL)
    modules: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    hinted = options.target == OPENVINO and precision != "int8"
    if not hinted and base_artifact(bundle).precision != precision:
        file = work / f"{name}.onnx"
        modules, widened = _typed(bundle, file, options, quantize, range_check)
    made = Sidecar(
        file=file.name,
        target=options.target,
        precision=precision,
        state=UNVERIFIED,
        sha256=sha256_of(file),
        onnx=file.name,
        build=Build(0.0, file.stat().st_size),
        max_departure=options.max_departure or LIMITS[precision],
        max_map_drop=options.max_map_drop or MAP_DROPS[precision],
        hint=_HINTS[precision] if options.target == OPENVINO else None,
        calibration=sha256_of(work / f"{name}.scales.json") if precision == "int8" else None,
        quantized=modules,
        widened=widened,
        versions=bundle.metadata.versions,
    )
    return _engine(file, work, made, options.engine, track) if options.target in ENGINES else made


#: What OpenVINO computes the float part in.
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}


def _typed(
    bundle: Bundle, file: Path, options: BuildOptions, quantize: Quantize | None, range_check: RangeCheck | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write the typed ONNX; returns the modules in int8, and those kept in float32."""
    model = onnx.load(bundle.file(MODEL))
    precision = options.precision
    # the engines compute in float16 what is not in int8
    floating = "fp16" if precision == "int8" and options.target in ENGINES else precision
    modules: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    if floating in ("fp16", "bf16") and base_artifact(bundle).precision == "fp32":
        widened = range_check(model) if range_check is not None and floating == "fp16" else ()
        model = typed(model, floating, widened)
    if precision == "int8":
        assert quantize is not None
        found = quantize(model, options.target)
        model, modules = found.model, found.modules
        file.with_suffix(".scales.json").write_text(found.table, encoding="utf-8")
    save_onnx(model, file)
    return modules, widened


def _engine(source: Path, work: Path, made: Sidecar, options: EngineOptions, track: Track) -> Sidecar:
    """The same artifact as an engine built from its ONNX."""
    file = work / f"{made.stem}.engine"
    options = replace(options, library=made.target.replace("-", "_"))
    report = build_engine(source, file, options, track)
    return replace(
        made,
        file=file.name,
        sha256=sha256_of(file),
        build=report.build,
        engine=_with_library(report, work, made.stem),
        profile=report.profile,
    )


def _with_library(report: EngineReport, work: Path, name: str) -> EngineNeeds:
    """What the engine needs; a plugin library that goes beside it gets the artifact's name."""
    if report.plugin_library is None:
        return report.needs
    library = work / f"{name}.so"
    shutil.copyfile(report.plugin_library, library)
    plugin = replace(report.needs.plugin, file=library.name, sha256=sha256_of(library))
    return replace(report.needs, plugin=plugin)
