"""Old names of modules and of their contents, from release 0.1.0, with a DeprecationWarning; to go with 0.3.0."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

#: Old name -> new name, both below `mambapro`.
MOVED = {
    "calib.run": "calib.calibrate_bundle",
    "calib.table": "graph.scales",
    "calib.sensitivity.run": "calib.sensitivity.analysis",
    "export.build": "export.artifacts.build_artifact",
    "export.build_options": "export.artifacts.build_options",
    "export.compare": "export.comparison.compare",
    "export.parity": "export.pytorch.parity",
    "export.plan": "export.pytorch.plan",
    "export.report.run": "export.report.write_report",
    "plugins.cuda_compiler": "plugins.cuda.compiler",
    "plugins.selective_scan.cpu_op": "plugins.selective_scan.cpu.kernel",
    "plugins.selective_scan.cuda_driver": "plugins.selective_scan.cuda.launch",
    "plugins.selective_scan.faces": "plugins.selective_scan.status",
    "plugins.selective_scan.onnx_function": "plugins.selective_scan.onnx.function",
    "plugins.selective_scan.onnx_op": "plugins.selective_scan.onnx.node",
    "plugins.selective_scan.onnxruntime_op": "plugins.selective_scan.onnxruntime.custom_op",
    "plugins.selective_scan.openvino_op": "plugins.selective_scan.openvino.extension",
    "plugins.selective_scan.tensorrt_aot": "plugins.selective_scan.tensorrt.aot_plugin",
    "plugins.selective_scan.tensorrt_fronts": "plugins.selective_scan.tensorrt.variants",
    "plugins.selective_scan.tensorrt_library": "plugins.selective_scan.tensorrt.plugin_library",
    "plugins.selective_scan.tensorrt_python": "plugins.selective_scan.tensorrt.python_plugin",
    "plugins.selective_scan.tensorrt_rtx": "plugins.tensorrt.rtx",
    "runtime.artifacts": "runtime.bundle.catalog",
    "runtime.bootstrap": "runtime.evaluation.bootstrap",
    "runtime.check": "runtime.verification.check",
    "runtime.data.benchmarks": "runtime.data.readers.benchmarks",
    "runtime.distances": "runtime.evaluation.retrieval.distances",
    "runtime.evaluate": "runtime.evaluation.retrieval.evaluate",
    "runtime.folders": "runtime.extraction",
    "runtime.image_files": "runtime.data.image_files",
    "runtime.latency": "runtime.evaluation.latency",
    "runtime.metadata": "runtime.bundle.metadata",
    "runtime.metrics": "runtime.evaluation.retrieval.metrics",
    "runtime.modalities": "runtime.data.modalities",
    "runtime.opening": "runtime.selection",
    "runtime.preprocess": "runtime.data.preprocess",
    "runtime.reranking": "runtime.evaluation.retrieval.reranking",
    "runtime.samples": "runtime.data.inputs",
    "runtime.sidecar": "runtime.bundle.artifact",
    "runtime.verdict": "runtime.compatibility",
    "train.config": "train.engine.training_config",
    "train.evaluate": "train.reid.evaluate",
    "train.loop": "train.engine.loop",
    "train.losses": "train.reid.losses",
    "train.models.clip": "train.models.checkpoints.clip",
    "train.models.config": "train.models.mambapro.model_config",
    "train.models.imagenet": "train.models.checkpoints.imagenet",
    "train.models.sizes": "train.models.mambapro.sizes",
    "train.models.vit": "train.models.parts.vit",
    "train.models.weights": "train.models.checkpoints.weights",
    "train.recipes": "train.engine.recipes",
    "train.sampler": "train.reid.sampler",
    "train.trainer": "train.engine.trainer",
}
#: What left a module of release 0.1.0: old name -> new name.
MOVED_NAMES = {
    "export.build.Quantization": "export.artifacts.quantizer.QuantizedModel",
    "export.parity.TOP": "runtime.evaluation.gates.agreement.TOP",
    "plugins.selective_scan.cuda_driver.LIBRARY": "plugins.cuda.driver.LIBRARY",
    "plugins.selective_scan.cuda_driver.call": "plugins.cuda.driver.call",
    "plugins.selective_scan.cuda_driver.check": "plugins.cuda.driver.check",
    "plugins.selective_scan.cuda_driver.library": "plugins.cuda.driver.library",
    "plugins.selective_scan.cuda_driver.multiprocessors": "plugins.cuda.driver.multiprocessors",
    "plugins.selective_scan.cuda_driver.primary_context": "plugins.cuda.driver.primary_context",
    "plugins.selective_scan.faces.Checked": "plugins.selective_scan.status.BackendCheck",
    "plugins.selective_scan.faces.FaceList": "plugins.selective_scan.status.BackendList",
    "plugins.selective_scan.faces.Row": "plugins.selective_scan.status.BackendStatus",
    "plugins.selective_scan.faces.list_faces": "plugins.selective_scan.status.list_backends",
    "plugins.selective_scan.tensorrt_fronts.MODULES": "plugins.tensorrt.importing.MODULES",
    "plugins.selective_scan.tensorrt_fronts.import_module": "plugins.tensorrt.importing.import_module",
    "runtime.artifacts.base_artifact": "runtime.bundle.catalog.exported_model",
    "runtime.artifacts.scratch_copy": "runtime.bundle.stage.scratch_copy",
    "runtime.artifacts.scratch_folder": "runtime.bundle.stage.scratch_folder",
    "runtime.backends.tensorrt.TensorRtBackend": "runtime.backends.tensorrt.backend.TensorRtBackend",
    "runtime.bundle.MODEL": "runtime.bundle.checksums.MODEL",
    "runtime.bundle.files_below": "runtime.bundle.checksums.files_below",
    "runtime.bundle.sums_text": "runtime.bundle.checksums.sums_text",
    "runtime.bundle.write_sums": "runtime.bundle.checksums.write_sums",
    "runtime.check.cosine_departures": "runtime.evaluation.gates.agreement.cosine_departures",
    "runtime.check.replay": "runtime.verification.replay.replay",
    "runtime.check.why_other_type": "runtime.verification.replay.why_other_type",
    "runtime.evaluation.EvaluationOptions": "runtime.evaluation.retrieval.analysis.EvaluationOptions",
    "runtime.evaluation.evaluate_model": "runtime.evaluation.retrieval.analysis.evaluate_model",
    "runtime.evaluation.feature_parts": "runtime.evaluation.retrieval.analysis.feature_parts",
    "runtime.extractor.DEFAULT_BATCH": "runtime.session.DEFAULT_BATCH",
    "runtime.folders.IMAGE_SUFFIXES": "runtime.data.image_files.SUFFIXES",
    "runtime.folders.image_files": "runtime.data.pairing.image_files",
    "runtime.metadata.ATTRIBUTES": "runtime.bundle.tasks.ATTRIBUTES",
    "runtime.metadata.BATCH": "runtime.bundle.tensors.BATCH",
    "runtime.metadata.DTYPES": "runtime.bundle.tensors.DTYPES",
    "runtime.metadata.FEATURE_SPACE_RULE": "runtime.bundle.metadata_parts.FEATURE_SPACE_RULE",
    "runtime.metadata.MODALITY_MASK": "runtime.data.batch.MODALITY_MASK",
    "runtime.metadata.ONNXRUNTIME": "runtime.bundle.metadata_parts.ONNXRUNTIME",
    "runtime.metadata.ONNXRUNTIME_OPS": "runtime.bundle.metadata_parts.ONNXRUNTIME_OPS",
    "runtime.metadata.PRECISIONS": "runtime.bundle.metadata_parts.PRECISIONS",
    "runtime.metadata.RE_IDENTIFICATION": "runtime.bundle.tasks.RE_IDENTIFICATION",
    "runtime.metadata.UNVERIFIED": "runtime.bundle.metadata_parts.UNVERIFIED",
    "runtime.metadata.VERIFIED": "runtime.bundle.metadata_parts.VERIFIED",
    "runtime.metadata.check_file_name": "runtime.bundle.field_checks.check_file_name",
    "runtime.opening.LATENCY": "runtime.run_options.LATENCY",
    "runtime.opening.MODES": "runtime.run_options.MODES",
    "runtime.opening.Opening": "runtime.run_options.RunOptions",
    "runtime.opening.THROUGHPUT": "runtime.run_options.THROUGHPUT",
    "runtime.opening.open_backend": "runtime.loader.open_backend",
    "runtime.opening.open_fastest": "runtime.loader.open_fastest",
    "runtime.preprocess.check_sixteen_bit_range": "runtime.data.sixteen_bit.as_range",
    "runtime.samples.UNKNOWN_CAMERA": "runtime.data.sample.UNKNOWN",
    "train.loop.FILES": "train.engine.run_folder.FILES",
    "train.losses.alone": "train.reid.losses.no_gather",
}
_NAMES = {f"{__package__}.{old}": f"{__package__}.{new}" for old, new in MOVED.items()}


class _Finder(MetaPathFinder):
    """Finds the old names, after everything else has failed to."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, _Alias(fullname)) if fullname in _NAMES else None


class _Alias(Loader):
    """Loads the module that an old name means."""

    def __init__(self, old: str) -> None:
        self._old, self._name = old.partition(".")[2], _NAMES[old]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        warnings.warn(f"{spec.name} is called {self._name} now", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # the import system has put the old name's spec into the module
        module.__spec__ = self._spec
        vars(module).setdefault("__getattr__", old_names_of(self._old))


def old_names_of(module: str, fallback: str | None = None) -> Callable[[str], Any]:
    """Return a `__getattr__` (PEP 562) for the names in MOVED_NAMES that stood in `module`.

    All other names are those of the module `fallback`, if there is one.
    """

    def attribute(name: str) -> Any:
        new = MOVED_NAMES.get(f"{module}.{name}")
        if new:
            warnings.warn(f"{__package__}.{module}.{name} is {__package__}.{new} now", DeprecationWarning, stacklevel=2)
            source, _, name = new.rpartition(".")
        elif fallback and not name.startswith("__"):
            source = fallback
        else:
            raise AttributeError(f"module '{__package__}.{module}' has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__package__}.{source}"), name)

    return attribute


def install() -> None:
    """Make the old names importable."""
    sys.meta_path.append(_Finder())
