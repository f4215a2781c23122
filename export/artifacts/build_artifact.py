"""From an exported bundle to an artifact for one target and precision: built, gated, and only then listed."""

from __future__ import annotations

import functools
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from ...common.files.atomic import sha256_of
from ...common.foreign_text import escaped, shown_text
from ...common.progress import Track, silent
from ...errors import ArtifactError, InputError
from ...graph.cast import typed
from ...graph.onnx_file import save_onnx
from ...runtime.bundle.artifact import OPENVINO, Build, EngineNeeds, Sidecar, stem
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.catalog import (
    add_artifact,
    artifacts_of,
    base_artifact,
    has_already,
    scratch_copy,
    scratch_folder,
)
from ...runtime.bundle.checksums import MODEL
from ...runtime.bundle.graph_check import require_safe_graph
from ...runtime.bundle.limits import LIMITS, MAP_DROPS, believed
from ...runtime.bundle.metadata import UNVERIFIED
from ...runtime.environment import versions_of
from ..engines.build_engine import build_engine
from ..engines.engine_options import EngineOptions
from ..engines.engine_report import EngineReport
from .build_checks import require_pair, require_target
from .build_options import ENGINES, BuildOptions, BuildReport
from .gates import gated
from .range_check import RangeCheck, modules_to_keep

log = logging.getLogger("mambapro")


@dataclass(frozen=True)
class Quantization:
    """A quantised copy of a model, the modules that compute in int8, and the table of scales as JSON text."""

    model: onnx.ModelProto
    modules: tuple[str, ...]
    table: str


#: A float model and a target's name to its quantised copy. `mambapro.calib` makes one; this floor does not know it.
Quantize = Callable[[onnx.ModelProto, str], Quantization]

#: Names of the modules that must stay float32 in float16.
Widened = Callable[[], tuple[str, ...]]


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
        range_check: names what must stay float32 in float16; None = what the bundle's own samples say.
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
    old = next((item for item in artifacts_of(bundle) if item.stem == name), None)
    _require(bundle, options, old, quantize)

    @functools.cache
    def widened() -> tuple[str, ...]:
        return _widened(bundle, range_check, track)

    with scratch_folder(bundle) as work, scratch_copy(bundle) as stage:
        started = time.perf_counter()
        log.info("building %s", name)
        kept = _kept(bundle, work, old, quantize, range_check)
        made = kept or _typed_artifact(bundle, work, options, quantize, widened)
        made = _finished(bundle, work, made, options, track)
        made = replace(made, build=replace(made.build, seconds=time.perf_counter() - started))
        names = _enter(stage, work, made)

        def rival(precision: str) -> Sidecar:
            """The same target in another precision, in the stage alone."""
            other = replace(options, precision=precision)
            with scratch_folder(bundle) as place:
                float_one = _typed_artifact(bundle, place, other, None, widened)
                float_one = _finished(bundle, place, float_one, other, track)
                _enter(stage, place, float_one)
            return float_one

        made = gated(stage, made, options, rival, track)
        add_artifact(bundle.folder, made, {file: stage / file for file in names}, overwrite=options.overwrite)
    return BuildReport(bundle.folder, made)


def _enter(stage: Path, work: Path, made: Sidecar) -> list[str]:
    """Move what was built into a copy of the bundle, so that the gates see it there; returns the files' names."""
    names = [path.name for path in work.iterdir()]
    add_artifact(stage, made, {file: work / file for file in names})
    return names


def _require(bundle: Bundle, options: BuildOptions, old: Sidecar | None, quantize: Quantize | None) -> None:
    """What can be known before anything is built, beside `require_pair` and `require_target`."""
    name, folder = stem(options.target, options.precision or ""), bundle.folder
    if base_artifact(bundle).stem == name:
        raise InputError(
            f"{escaped(folder)} is {name} already: its {MODEL} is that. Choose another --target or --precision."
        )
    if old is not None and not options.overwrite:
        raise has_already(folder, name)
    if options.precision == "int8" and quantize is None and old is None:
        raise InputError("int8 needs calibration images (--calib) or a table of scales (--scales).")
    require_target(options)


def _kept(
    bundle: Bundle, work: Path, old: Sidecar | None, quantize: Quantize | None, range_check: RangeCheck | None
) -> Sidecar | None:
    """The typed ONNX that is in the bundle already, where nothing new was given to make another: an engine is rebuilt
    for this machine from the same numbers."""
    if old is None or old.onnx == MODEL or quantize is not None or range_check is not None:
        return None
    log.info("taking %s as it is in the bundle", old.onnx)
    _copy(bundle, old.onnx, work)
    if old.calibration is not None:
        _copy(bundle, f"{old.stem}.scales.json", work)
    fresh = replace(
        old,
        cosine=None,
        accuracy=None,
        speed=None,
        engine=None,
        profile=None,
        verified_on=None,
        source=bundle.sums[MODEL],
    )
    return replace(fresh, file=old.onnx, sha256=bundle.sums[old.onnx], state=UNVERIFIED)


def _copy(bundle: Bundle, name: str, work: Path) -> Path:
    """A file of the bundle that was opened, its hash compared, under its name in `work`."""
    with bundle.loadable(name) as copy:
        return Path(shutil.copyfile(copy.path, work / name))


def _typed_artifact(
    bundle: Bundle,
    work: Path,
    options: BuildOptions,
    quantize: Quantize | None,
    widened: Widened,
) -> Sidecar:
    """The artifact's typed ONNX in `work`, where it is not the exported model itself, and its sidecar."""
    precision = options.precision or base_artifact(bundle).precision
    name = stem(options.target, precision)
    made, size, sha256 = MODEL, bundle.size(MODEL), bundle.sums[MODEL]
    modules: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    hinted = options.target == OPENVINO and precision != "int8"
    if not hinted and base_artifact(bundle).precision != precision:
        file = work / f"{name}.onnx"
        modules, kept = _typed(bundle, file, options, quantize, widened)
        made, size, sha256 = file.name, file.stat().st_size, sha256_of(file)
    return Sidecar(
        file=made,
        target=options.target,
        precision=precision,
        state=UNVERIFIED,
        sha256=sha256,
        onnx=made,
        build=Build(0.0, size),
        max_departure=LIMITS[precision],
        max_map_drop=MAP_DROPS[precision],
        hint=_HINTS[precision] if options.target == OPENVINO else None,
        calibration=sha256_of(work / f"{name}.scales.json") if precision == "int8" else None,
        quantized=modules,
        widened=kept,
        source=bundle.sums[MODEL],
    )


def _finished(bundle: Bundle, work: Path, made: Sidecar, options: BuildOptions, track: Track) -> Sidecar:
    """The artifact with the limits that count, as an engine where its target wants one."""
    # what is kept from the bundle brings its own limits
    made = replace(
        made,
        max_departure=_limit(made, made.max_departure, LIMITS, options.max_departure, "--max-departure"),
        max_map_drop=_limit(made, made.max_map_drop, MAP_DROPS, options.max_map_drop, "--max-map-drop"),
        # of what is kept, those that made it
        versions=made.versions or versions_of(_PACKAGES),
    )
    if options.target not in ENGINES:
        return made
    if made.onnx != MODEL:
        return _engine(work / made.onnx, work, made, options.engine, track)
    # the builder is another process: it needs a file with a name
    with scratch_folder(bundle) as place:
        return _engine(_copy(bundle, MODEL, place), work, made, options.engine, track)


def _limit(made: Sidecar, stored: float, own: Mapping[str, float], asked: float | None, option: str) -> float:
    limit, notes = believed(stored, own[made.precision], asked, option)
    if asked is None and notes:
        log.warning("%s: %s", made.stem, *notes)
    return limit


#: Packages that decide what an artifact is.
_PACKAGES = ("mambapro", "numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "tensorrt-rtx")

#: What OpenVINO computes the float part in.
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}


def _typed(
    bundle: Bundle, file: Path, options: BuildOptions, quantize: Quantize | None, widened: Widened
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write the typed ONNX; returns the modules in int8, and those kept in float32."""
    model = _model(bundle)
    precision = options.precision
    # the engines compute in float16 what is not in int8
    floating = "fp16" if precision == "int8" and options.target in ENGINES else precision
    modules: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    if floating in ("fp16", "bf16") and base_artifact(bundle).precision == "fp32":
        kept = widened() if floating == "fp16" else ()
        model = typed(model, floating, kept)
    if precision == "int8":
        if quantize is None:
            raise InputError("int8 needs calibration images (--calib) or a table of scales (--scales).")
        found = quantize(model, options.target)
        model, modules = found.model, found.modules
        file.with_suffix(".scales.json").write_text(found.table, encoding="utf-8")
    save_onnx(model, file)
    return modules, kept


def _model(bundle: Bundle) -> onnx.ModelProto:
    content = bundle.read(MODEL)
    require_safe_graph(content, bundle.folder / MODEL)
    try:
        model = onnx.load_model_from_string(content)
        # passes over the graph rely on its order, its names and the attributes of its operators
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ArtifactError(
            f"{shown_text(bundle.folder / MODEL)} is no valid ONNX model: {shown_text(error)}. Export the bundle again."
        ) from error
    return model


def _widened(bundle: Bundle, range_check: RangeCheck | None, track: Track) -> tuple[str, ...]:
    model = _model(bundle)
    if range_check is not None:
        return range_check(model, bundle.metadata)
    return modules_to_keep(model, bundle.golden().inputs, track=track)


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
