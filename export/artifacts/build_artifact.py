"""Builder of artifacts: types and file format of one target, gates, publication in the bundle."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

from ...common.files.atomic import sha256_of
from ...common.foreign_text import escaped
from ...common.machine.packages import installed_versions
from ...common.progress import Track, silent
from ...errors import InputError
from ...graph.cast import typed
from ...graph.onnx_file import parse_model, save_onnx
from ...runtime.bundle.artifact import OPENVINO, Build, EngineNeeds, Profile, Sidecar, stem
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.catalog import add_artifact, has_already, require_own_card
from ...runtime.bundle.checksums import MODEL
from ...runtime.bundle.limits import MAP_DROPS, believed
from ...runtime.bundle.metadata_parts import UNVERIFIED
from ...runtime.bundle.module_roles import MAMBAPRO
from ...runtime.bundle.stage import files_of, list_artifact, make_room, own_copy, scratch_copy
from ...runtime.evaluation.gates.agreement import agreement_of
from ..engines.build_engine import build_engine
from .build_options import ENGINES, BuildOptions, BuildReport, require_buildable, require_scales
from .gates import Gates, run_gates
from .quantizer import Quantizer

log = logging.getLogger("mambapro")

#: Packages that affect the content of an artifact.
_PACKAGES = (
    "python", "mambapro", "numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "tensorrt-rtx",
)  # fmt: skip
#: OpenVINO's type of the part that is not int8.
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}


def build_artifacts(
    folder: Path, builds: Sequence[BuildOptions], track: Track = silent, quantizer: Quantizer | None = None
) -> list[BuildReport]:
    """Build several artifacts of a bundle, see `build_artifact`."""
    counted = track(builds, "Building artifacts", len(builds)) if len(builds) > 1 else builds
    return [build_artifact(folder, options, track, quantizer) for options in counted]


def build_artifact(
    folder: Path, options: BuildOptions, track: Track = silent, quantizer: Quantizer | None = None
) -> BuildReport:
    """Build one artifact of a bundle, run its gates, and add it. On any error the bundle is unchanged.

    Args:
        folder: the bundle.
        options: of the artifact.
        track: shows progress.
        quantizer: for several artifacts of one bundle; None = from `options.quantize`.

    Raises:
        InputError: options that do not fit the bundle or the target.
        SetupError: the target's library is missing, the disk is full, or permission is missing.
        ExportError: the builder rejected the model.
        ParityError, AccuracyError: a gate failed.
    """
    return ArtifactBuilder(folder, options, track, quantizer).build()


@dataclass(frozen=True)
class TypedModel:
    """Exported model in the types of a precision, and the modules that stay float32."""

    model: onnx.ModelProto
    kept_fp32: tuple[str, ...] = ()


@dataclass(frozen=True)
class GraphFile:
    """ONNX file of an artifact, or the source of its compilation.

    Attributes:
        name: in the stage.
        sha256, bytes: of the file.
        quantized: names of the modules in int8.
        kept_fp32: names of the modules that stay float32.
        calibration: SHA-256 of the table of scales.
        max_departure, max_map_drop: limits that are stored with the artifact; None = those of the precision.
        versions: packages that wrote the file.
    """

    name: str
    sha256: str
    bytes: int
    quantized: tuple[str, ...] = ()
    kept_fp32: tuple[str, ...] = ()
    calibration: str | None = None
    max_departure: float | None = None
    max_map_drop: float | None = None
    versions: dict[str, str] = field(default_factory=lambda: installed_versions(_PACKAGES))


@dataclass(frozen=True)
class CompiledFile:
    """File loaded by a runtime; `needs` and `profile` are those of an engine."""

    name: str
    sha256: str
    build: Build
    needs: EngineNeeds | None = None
    profile: Profile | None = None


class ArtifactBuilder:
    """Steps from a bundle to one of its artifacts: type, quantize, compile, gate, publish.

    Everything is built in a stage, a linked copy of the bundle; only `publish` changes the bundle itself.

    Args:
        folder, options, track, quantizer: as for `build_artifact`.

    Raises:
        InputError, SetupError, ArtifactError: as `build_artifact`, before anything is built.
    """

    def __init__(
        self, folder: Path, options: BuildOptions, track: Track = silent, quantizer: Quantizer | None = None
    ) -> None:
        self.bundle, self.track = Bundle.open(folder), track
        self.quantizer = quantizer or Quantizer(options.quantize, track)
        metadata = self.bundle.metadata
        self.quantizer.suit(metadata.modules or MAMBAPRO, metadata.modalities)
        options = replace(options, quantize=self.quantizer.options)
        self.base = self.bundle.base
        self.precision = options.precision_for(self.base.precision)
        self.options = replace(options, precision=self.precision)
        name = stem(options.target, self.precision)
        #: the artifact that is replaced
        self.old = next((item for item in self.bundle.artifacts if item.stem == name), None)
        if self.base.stem == name:
            raise InputError(
                f"{escaped(folder)} is {name} already: its {MODEL} is that. Choose another --target or --precision."
            )
        if self.old is not None and not options.overwrite:
            raise has_already(folder, name)
        require_buildable(self.options, self.base.precision, stored=self.old is not None)

    def build(self) -> BuildReport:
        """Run all steps."""
        require_own_card(self.bundle.files, self.bundle.sums)
        log.info("building %s", stem(self.options.target, self.precision))
        with scratch_copy(self.bundle) as stage:
            artifact = self.make(stage, self.precision)
            return self.publish(stage, artifact, self.gate(stage, artifact))

    def make(self, stage: Path, precision: str) -> Sidecar:
        """Type, quantize and compile; list the unverified artifact in the stage and return it."""
        started = time.perf_counter()
        others = make_room(stage, stem(self.options.target, precision))
        graph = self._stored(stage, precision) or self.quantize(stage, precision, self.type(precision))
        compiled = self.compile(stage, precision, graph)
        limits = agreement_of(self.bundle.metadata).limits
        artifact = Sidecar(
            file=compiled.name,
            target=self.options.target,
            precision=precision,
            state=UNVERIFIED,
            sha256=compiled.sha256,
            onnx=graph.name,
            build=replace(compiled.build, seconds=time.perf_counter() - started),
            max_departure=self._limit(
                precision, graph.max_departure, limits, self.options.max_departure, "--max-cosine-distance"
            ),
            max_map_drop=self._limit(
                precision, graph.max_map_drop, MAP_DROPS, self.options.max_map_drop, "--max-map-drop"
            ),
            hint=_HINTS[precision] if self.options.target == OPENVINO else None,
            profile=compiled.profile,
            engine=compiled.needs,
            calibration=graph.calibration,
            quantized=graph.quantized,
            widened=graph.kept_fp32,
            versions=graph.versions,
            source=self.bundle.sums[MODEL],
        )
        list_artifact(stage, artifact, others)
        return artifact

    def type(self, precision: str) -> TypedModel | None:
        """Convert the exported model to the types of a precision (step 1); None if it is used unchanged."""
        target, base = self.options.target, self.base.precision
        if base == precision or (target == OPENVINO and precision != "int8"):
            return None
        # the engines compute in float16 what is not in int8
        floating = "fp16" if precision == "int8" and target in ENGINES else precision
        model = parse_model(self.bundle.read(MODEL), self.bundle.folder / MODEL)
        if base != "fp32" or floating not in ("fp16", "bf16"):
            return TypedModel(model)
        kept_fp32: tuple[str, ...] = ()
        if floating == "fp16":
            kept_fp32 = self.quantizer.kept_fp32(model, self.bundle.metadata, lambda: self.bundle.golden().inputs)
        return TypedModel(typed(model, floating, kept_fp32), kept_fp32)

    def quantize(self, stage: Path, precision: str, source: TypedModel | None) -> GraphFile:
        """Quantize the model if the precision is int8 (step 2); write the ONNX file and the table of scales."""
        if source is None:
            return GraphFile(MODEL, self.bundle.sums[MODEL], self.bundle.size(MODEL))
        name = stem(self.options.target, precision)
        file, scales = stage / f"{name}.onnx", stage / f"{name}.scales.json"
        if precision != "int8":
            save_onnx(source.model, file)
            return GraphFile(file.name, sha256_of(file), file.stat().st_size, kept_fp32=source.kept_fp32)
        require_scales(self.options, precision)
        quantized = self.quantizer.quantize(source.model, self.options.target, self.bundle)
        scales.write_text(quantized.table, encoding="utf-8")
        save_onnx(quantized.model, file)
        sizes = sha256_of(file), file.stat().st_size
        return GraphFile(file.name, *sizes, quantized.modules, source.kept_fp32, sha256_of(scales))

    def compile(self, stage: Path, precision: str, graph: GraphFile) -> CompiledFile:
        """Compile an engine if the target needs one, else return the ONNX file itself (step 3)."""
        target = self.options.target
        if target not in ENGINES:
            return CompiledFile(graph.name, graph.sha256, Build(0.0, graph.bytes))
        if graph.name == MODEL:
            own_copy(self.bundle, MODEL, stage)
        file = stage / f"{stem(target, precision)}.engine"
        report = build_engine(stage / graph.name, file, self.options.engine, self.track)
        needs = report.needs
        if report.plugin_library is not None:
            library = Path(shutil.copyfile(report.plugin_library, file.with_suffix(".so")))
            needs = replace(needs, plugin=replace(needs.plugin, file=library.name, sha256=sha256_of(library)))
        return CompiledFile(file.name, sha256_of(file), report.build, needs, report.profile)

    def gate(self, stage: Path, artifact: Sidecar) -> Gates:
        """Check outputs and accuracy, and for int8 the speed against higher precisions of the target (step 4).

        Raises:
            ParityError, AccuracyError: a gate failed.
        """
        bundle = Bundle.open(stage, verify=False)
        return run_gates(bundle, artifact, self.options, lambda half: self.make(stage, half), self.track)

    def publish(self, stage: Path, artifact: Sidecar, gates: Gates) -> BuildReport:
        """Move the artifact into the bundle, with its gates (step 5)."""
        artifact = replace(artifact, **vars(gates))
        files = {path.name: path for path in files_of(stage, artifact.stem)}
        add_artifact(self.bundle.folder, artifact, files, overwrite=self.options.overwrite)
        return BuildReport(self.bundle.folder, artifact)

    def _stored(self, stage: Path, precision: str) -> GraphFile | None:
        """Return the bundle's ONNX file if no new inputs were given: an engine is rebuilt from the same numbers."""
        old = self.old
        if old is None or old.precision != precision or old.onnx == MODEL or self.options.quantize.has_scales:
            return None
        log.info("taking %s as it is in the bundle", old.onnx)
        file = own_copy(self.bundle, old.onnx, stage)
        if old.calibration is not None:
            own_copy(self.bundle, f"{old.stem}.scales.json", stage)
        return GraphFile(
            name=old.onnx,
            sha256=self.bundle.sums[old.onnx],
            bytes=file.stat().st_size,
            quantized=old.quantized,
            kept_fp32=old.widened,
            calibration=old.calibration,
            max_departure=old.max_departure,
            max_map_drop=old.max_map_drop,
            versions=old.versions or installed_versions(_PACKAGES),
        )

    def _limit(
        self, precision: str, stored: float | None, usual: Mapping[str, float], asked: float | None, option: str
    ) -> float:
        default = usual[precision]
        limit, notes = believed(default if stored is None else stored, default, asked, option)
        if asked is None and notes:
            log.warning("%s: %s", stem(self.options.target, precision), *notes)
        return limit
