"""Export pipeline from a checkpoint to a verified bundle, as run by `mambapro-export`."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ..common.files.atomic import is_partial, json_text, staged_folder
from ..common.files.litter import is_litter
from ..common.files.targets import require_free
from ..common.foreign_text import escaped
from ..common.progress import Track, silent
from ..errors import InputError, SetupError
from ..graph.cast import typed
from ..graph.onnx_file import save_onnx, stamp
from ..runtime.backends.onnxruntime import OnnxRuntimeBackend
from ..runtime.bundle.artifact import AccuracyGate
from ..runtime.bundle.catalog import is_leftover
from ..runtime.bundle.checksums import CARD, CHECKS, GOLDEN, METADATA, MODEL, PARITY, REQUIRED, SIGNATURE, write_sums
from ..runtime.bundle.folder import BundleFolder
from ..runtime.bundle.limits import LIMITS, MAP_DROPS
from ..runtime.bundle.metadata import BundleMetadata
from ..runtime.bundle.metadata_parts import Precision
from ..runtime.bundle.model_card import card_of
from ..runtime.bundle.tasks import TASKS
from ..runtime.data.batch import MODALITY_MASK
from ..runtime.data.readers.benchmarks import require_benchmark_of
from ..train.engine.image_ranges import model_preprocessing
from ..train.models.model_spec import Model, ModelSpec
from .artifacts.build_artifact import build_artifacts
from .artifacts.build_options import BuildReport, builds_in_words, require_buildable
from .artifacts.quantizer import Quantizer
from .pytorch.accuracy import export_accuracy
from .pytorch.bundle_metadata import describe
from .pytorch.onnx_graph import check_graph, onnx_from_model
from .pytorch.parity import compare, require_parity, require_probabilities
from .pytorch.parity_images import ParityBatch, ParityImages, batches_of_subsets, parity_images
from .pytorch.parity_report import ParityReport
from .pytorch.plan import ExportOptions, ExportPlan
from .pytorch.precision_summary import precision_map
from .pytorch.trace import first_departure, trace_stages

log = logging.getLogger("mambapro")

#: Samples kept as goldens: with all sensors, and for each other set of sensors.
GOLDEN_COMPLETE, GOLDEN_INCOMPLETE = 8, 1


@dataclass(frozen=True)
class ExportReport:
    """Report of a finished export: folder, plan, parity, size in bytes, and the artifacts built from the bundle."""

    bundle: Path
    plan: ExportPlan
    parity: ParityReport
    size: int
    built: tuple[BuildReport, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict."""
        values = {"bundle": str(self.bundle), "bytes": self.size, "plan": self.plan.to_json()}
        artifacts = [report.artifact.to_json() for report in self.built]
        return {**values, "parity": self.parity.to_json(), "artifacts": artifacts}

    def __str__(self) -> str:
        built = "".join(f"\n{report}" for report in self.built)
        return f"{self.parity}{built}\nwrote {escaped(self.bundle)} ({self.size / 1e6:.1f} MB)"


def plan_export(options: ExportOptions) -> ExportPlan:
    """Describe the steps of `export_bundle`; reads the checkpoint, writes nothing.

    Raises:
        InputError, ArtifactError: the checkpoint or the options do not fit, or the output exists.
        SetupError: a target of `options.builds` cannot be built for on this machine.
    """
    quantizer, model = _prepared(options), options.load_model()
    quantizer.suit(model.spec.modules, model.spec.modalities)
    return _plan(options, model)


def _prepared(options: ExportOptions, track: Track = silent) -> Quantizer:
    """Check everything possible before the checkpoint is loaded; return the quantizer of the artifacts."""
    for build in options.builds:
        require_buildable(build, options.precision)
    quantizer = Quantizer(options.quantize, track)
    require_free(options.bundle, options.overwrite, is_bundle)
    return quantizer


def _plan(options: ExportOptions, model: Model) -> ExportPlan:
    if options.data is not None and options.dataset is None:
        raise InputError(f"--data {options.data} needs --dataset, to know how to read it.")
    images = f"{options.dataset} in {options.images}" if options.images else "drawn images"
    # a part of a model has no spec, and nothing to fold
    spec, folded = model.spec, model.inference()
    if options.dataset is not None:
        require_benchmark_of(spec.task, options.dataset)
    return ExportPlan(
        checkpoint=str(options.checkpoint),
        bundle=str(options.bundle),
        config=model.config,
        spec=spec,
        precision=options.precision,
        parameters=sum(tensor.numel() for tensor in model.parameters()),
        exported_parameters=sum(t.numel() for t in (*folded.parameters(), *folded.buffers())),
        limit=options.max_departure(spec.output.role),
        images=images,
        builds=builds_in_words(options.builds, options.precision),
    )


def export_bundle(options: ExportOptions, track: Track = silent) -> ExportReport:
    """Export a checkpoint, verify the file against PyTorch, and write the bundle with its artifacts.

    On any error, Ctrl-C included, nothing is left behind. A failed artifact of `options.builds` is an error of the
    export.

    Raises:
        InputError: the output exists, or options that do not fit the checkpoint.
        SetupError: no room on the disk, ONNX Runtime missing.
        ArtifactError: the checkpoint is corrupt or of another model.
        ExportError: torch could not export the model.
        ParityError: the exported file departs from PyTorch.
        AccuracyError: a float16 file loses too much mAP on the labelled images of `options.data`.
    """
    quantizer = _prepared(options, track)
    model = options.load_model()
    quantizer.suit(model.spec.modules, model.spec.modalities)
    plan = _plan(options, model)
    log.info("%s", plan)
    _require_room(options.bundle, plan)
    preprocessing = model_preprocessing(model, options.sixteen_bit_range)
    # read first, so that a wrong folder is reported at once
    spec = model.spec
    images = parity_images(preprocessing, model.cameras, options.images, options.dataset, spec.modalities)
    with staged_folder(options.bundle, overwrite=options.overwrite, replaceable=is_bundle) as stage:
        batches = batches_of_subsets(images, spec.has(MODALITY_MASK))
        metadata = describe(model, options, preprocessing)
        metadata = _write_graph(model, metadata, stage / MODEL, quantizer, batches)
        report, expected = _gate(options, model, stage / MODEL, images, batches, track)
        _write_goldens(stage / GOLDEN, model, batches, expected)
        (stage / METADATA).write_text(json_text(metadata.to_json()), encoding="utf-8")
        _write_report(stage, report)
        if options.precision == "fp16":
            report = replace(report, accuracy=_accuracy(options, model, stage, track))
            _write_report(stage, report)
        reports = build_artifacts(stage, options.builds, track, quantizer)
    size = sum(file.stat().st_size for file in options.bundle.iterdir())
    built = tuple(replace(each, bundle=options.bundle) for each in reports)
    return ExportReport(options.bundle, plan, report, size, built)


def _write_report(stage: Path, report: ParityReport) -> None:
    """Write parity.json, the model card, and the list of files, which completes the bundle."""
    (stage / PARITY).write_text(json_text(report.to_json()), encoding="utf-8")
    (stage / CARD).write_text(card_of(BundleFolder(stage), {}), encoding="utf-8", newline="\n")
    write_sums(stage)


def _accuracy(options: ExportOptions, model: Model, stage: Path, track: Track) -> AccuracyGate | None:
    """Return float16's loss of accuracy; None without labeled images, with a warning."""
    if options.data is None or options.dataset is None:
        metric = TASKS[model.spec.task].accuracy
        log.warning("the %s of the float16 model is not gated: no labelled images (--data, --dataset)", metric)
        return None
    limit = MAP_DROPS["fp16"] if options.max_map_drop is None else options.max_map_drop
    return export_accuracy(model, stage, options.dataset, options.data, limit, track)


def _write_graph(
    model: Model, metadata: BundleMetadata, path: Path, quantizer: Quantizer, batches: Sequence[ParityBatch]
) -> BundleMetadata:
    """Write the ONNX file; return its metadata. The file's hundreds of MB are freed on return.

    Float16 keeps in float32 the modules required by the calibration images, or the parity images if there are none.
    """
    log.info("exporting to ONNX")
    graph = onnx_from_model(model)
    if metadata.precision.label == "fp16":
        few = (batches[0], batches[-1])
        kept_fp32 = quantizer.kept_fp32(graph, metadata, lambda: _few(model.spec, few, 2))
        graph = typed(graph, "fp16", kept_fp32)
        parts = precision_map("fp16", (*model.spec.float32_parts, *kept_fp32))
        metadata = replace(metadata, precision=Precision("fp16", parts))
    check_graph(graph, model.spec)
    stamp(graph, metadata)
    save_onnx(graph, path)
    return metadata


def is_bundle(folder: Path) -> bool:
    """Return True if a folder holds only a bundle, so that --overwrite may replace it."""
    names, files = {*REQUIRED, CHECKS, SIGNATURE}, BundleFolder(folder)
    foreign = [
        path
        for path in folder.iterdir()
        if path.name not in names
        and not (is_leftover(files, path.name) or is_litter(path.name) or is_partial(path.name))
    ]
    return not foreign and (folder / METADATA).is_file()


def _require_room(bundle: Path, plan: ExportPlan) -> None:
    """Check location and size of the bundle before the export."""
    needed = plan.exported_parameters * (2 if plan.precision == "fp16" else 4) * 1.1
    folder = next(parent for parent in bundle.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise InputError(f"Cannot write {bundle}: {folder} is a file, not a folder. Choose another --output.")
    if not os.access(folder, os.W_OK):
        raise SetupError(f"Cannot write {bundle}: no permission in {folder}. Choose another --output.")
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SetupError(
            f"The bundle needs about {needed / 1e6:.0f} MB, {folder} has {free / 1e6:.0f} MB left. "
            "Free some space or choose another place with --output."
        )


def _gate(
    options: ExportOptions,
    model: Model,
    file: Path,
    images: ParityImages,
    batches: list[ParityBatch],
    track: Track,
) -> tuple[ParityReport, dict[str, dict[str, np.ndarray]]]:
    """Compare, trace if requested or failed, and raise if the outputs differ from PyTorch's.

    Returns:
        The report, and PyTorch's outputs by batch and name.
    """
    spec = model.spec
    name, role = spec.output.name, spec.output.role
    outputs = model.run_subsets(images.samples, [(batch.subset, batch.rows) for batch in batches], track)
    expected = {batch.name: values for batch, values in zip(batches, outputs, strict=True)}
    backend = OnnxRuntimeBackend(file, device="cpu")

    def exported(batch: ParityBatch) -> np.ndarray:
        """Return the outputs of the exported file."""
        feeds = batch.samples.feeds(spec.inputs)
        values = backend.run({name: value for name, value in feeds.items() if name in backend.inputs})
        require_probabilities(spec, values, options.max_departure(role))
        return values[name]

    report, _ = compare(
        lambda batch: expected[batch.name][name],
        exported,
        batches,
        precision=options.precision,
        limit=options.max_departure(role),
        images=images.source,
        provider=backend.provider,
        role=role,
        labels=spec.labels,
        track=track,
    )
    backend.close()
    if options.trace or not report.passed:
        log.info("comparing stage by stage")
        # the ratio of the limits of stages and embeddings equals that of the outputs
        limit = report.limit * LIMITS[options.precision] / report.agreement.limits[options.precision]
        stages = trace_stages(model, onnx.load(file), batches[0], limit)
        if options.trace:
            report = report.with_stages(stages)
        require_parity(report, first_departure(stages))
    return report, expected


def _write_goldens(
    path: Path, model: Model, batches: list[ParityBatch], expected: dict[str, dict[str, np.ndarray]]
) -> None:
    """Write inputs and PyTorch's outputs of a few samples of every set of sensors, for `mambapro check`."""
    spec = model.spec
    values = _few(spec, batches, GOLDEN_COMPLETE, expected)
    arrays: dict[str, Any] = {name: values[name] for name in (*spec.input_names, *spec.output_names)}
    np.savez_compressed(path, **arrays)


def _few(
    spec: ModelSpec,
    batches: Sequence[ParityBatch],
    complete: int,
    expected: dict[str, dict[str, np.ndarray]] | None = None,
) -> dict[str, np.ndarray]:
    """Return some samples with all sensors and a few of every other set: inputs and, if given, outputs."""
    parts: list[dict[str, np.ndarray]] = []
    for batch in batches:
        count = complete if batch is batches[0] else GOLDEN_INCOMPLETE
        step = len(batch.samples) // count
        feeds = batch.samples.feeds(spec.inputs)
        values = {**feeds, **({} if expected is None else expected[batch.name])}
        parts.append({name: value[::step][:count] for name, value in values.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
