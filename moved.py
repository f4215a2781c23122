"""Import of modules under their names of release 0.1.0, with a DeprecationWarning; to go with release 0.3.0."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

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
_NAMES = {f"{__package__}.{old}": f"{__package__}.{new}" for old, new in MOVED.items()}


class _Finder(MetaPathFinder):
    """Finds the old names, after everything else has failed to."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, _Alias(_NAMES[fullname])) if fullname in _NAMES else None


class _Alias(Loader):
    """Loads the module of another name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        warnings.warn(f"{spec.name} is called {self._name} now", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # the import system has put the old name's spec into the module
        module.__spec__ = self._spec


def install() -> None:
    """Make the old names importable."""
    sys.meta_path.append(_Finder())
