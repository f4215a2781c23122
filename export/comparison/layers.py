"""Comparison of an artifact's layers with those of the exported model in ONNX Runtime, through Polygraphy.

An ONNX artifact is compared layer by layer: the last value of every module that both graphs have. In int8 a smoothed
LayerNorm differs by its factors, which the next layer reverses. A TensorRT engine has no such values, so its outputs
are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ...common.foreign_text import escaped
from ...common.records import Report
from ...common.tables import number, text_table
from ...errors import InputError, SetupError
from ...graph.value_types import module_of
from ...runtime.bundle.artifact import TENSORRT, TENSORRT_RTX, Sidecar
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.catalog import matching
from ...runtime.bundle.graph_check import require_safe_graph


@dataclass(frozen=True)
class LayerDifference:
    """Difference of one layer: `largest` and `mean` |difference|, `scale` the largest magnitude of the reference."""

    layer: str
    value: str
    largest: float
    mean: float
    scale: float

    @property
    def relative(self) -> float:
        """Largest difference in units of the largest magnitude."""
        return self.largest / self.scale if self.scale else math.nan if self.largest else 0.0


@dataclass(frozen=True)
class LayerComparison(Report):
    """Comparison of an artifact with the exported model, in the order of the graph, over some goldens."""

    artifact: str
    reference: str
    samples: int
    layers: tuple[LayerDifference, ...]

    def __str__(self) -> str:
        head = f"{self.artifact} against {self.reference}, {self.samples} samples, Polygraphy"
        heads = ("layer", "max |difference|", "mean", "% of range")
        cells = [
            (escaped(item.layer), f"{item.largest:.3g}", f"{item.mean:.3g}", number(100 * item.relative, 3))
            for item in self.layers
        ]
        return "\n".join([head, text_table([heads, *cells])])


def compare_layers(
    folder: Path, target: str, precision: str, samples: int = 2, load_plugins: bool = False
) -> LayerComparison:
    """Run an artifact and the exported model on goldens of the bundle, and compare the layers.

    Args:
        folder: the bundle.
        target, precision: of the artifact.
        samples: goldens to run.
        load_plugins: load the plugin library of an engine. Trust it first.

    Raises:
        InputError: the bundle has no such artifact, or it is the exported model.
        SetupError: Polygraphy is missing, TensorRT or its GPU is missing, or the target has no runner.
        ArtifactError: the bundle is damaged.
    """
    with _polygraphy():
        from polygraphy.comparator import Comparator, SimpleCompareFunc
        from polygraphy.logger import G_LOGGER

    bundle = Bundle.open(folder)
    (artifact,), reference = matching(bundle, target, precision), bundle.base
    if artifact.file == reference.file:
        raise InputError(
            f"{artifact.stem} of {escaped(folder)} runs {reference.file} itself: its layers are those of the exported "
            "model. Compare an artifact with a graph of its own, such as int8."
        )
    inputs = {name: array[:samples] for name, array in bundle.golden().inputs.items()}
    with ExitStack() as stack:
        expected, layers = _model(bundle, reference), {}
        if artifact.engine is None:
            actual = _model(bundle, artifact)
            layers = _common_layers(expected, actual)
            runner = _onnx_runner(_with_outputs(actual, layers), artifact.stem)
        else:
            runner = _engine_runner(bundle, artifact, load_plugins, stack)
        runners = [runner, _onnx_runner(_with_outputs(expected, layers), reference.stem)]
        # its log would go to standard output, which is for the report
        with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
            results = Comparator.run(runners, data_loader=[inputs])
            (actual_values,), (expected_values,) = (iterations for _, iterations in results)
            # tolerances that always pass: only the numbers are used
            differences = SimpleCompareFunc(rtol=0.0, atol=math.inf)(actual_values, expected_values)
    scales = {name: float(np.abs(value).max(initial=0)) for name, value in expected_values.items()}
    order = [name for name in (*layers, *differences) if name in differences]
    rows = tuple(
        LayerDifference(
            layers.get(name, name),
            name,
            float(differences[name].max_absdiff),
            float(differences[name].mean_absdiff),
            scales[name],
        )
        for name in dict.fromkeys(order)
    )
    return LayerComparison(artifact.stem, reference.stem, len(next(iter(inputs.values()))), rows)


@contextmanager
def _polygraphy() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise SetupError(
            f'Layers are compared by Polygraphy, which cannot be imported ({error}): pip install "mambapro[export]".'
        ) from error


def _model(bundle: Bundle, artifact: Sidecar) -> onnx.ModelProto:
    content = bundle.read(artifact.file)
    require_safe_graph(content, bundle.folder / artifact.file)
    return onnx.load_model_from_string(content)


def _common_layers(first: onnx.ModelProto, second: onnx.ModelProto) -> dict[str, str]:
    """Return the last value of each module that both graphs have, with the module's name, in graph order."""
    others = {name for node in second.graph.node for name in node.output} - {value.name for value in first.graph.output}
    modules = {name: module_of(node) for node in first.graph.node for name in node.output if name in others}
    last = {module: name for name, module in modules.items()}
    return {name: module for name, module in modules.items() if module and module[0] != "_" and last[module] == name}


def _with_outputs(model: onnx.ModelProto, layers: dict[str, str]) -> bytes:
    """Return the model with more outputs; ONNX Runtime infers their types."""
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in layers)
    return model.SerializeToString()


def _onnx_runner(model: bytes, name: str) -> Any:
    with _polygraphy():
        from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx

    return OnnxrtRunner(SessionFromOnnx(model, providers=["cpu"]), name=name)


def _engine_runner(bundle: Bundle, artifact: Sidecar, load_plugins: bool, stack: ExitStack) -> Any:
    if artifact.target == TENSORRT_RTX:
        raise SetupError("Polygraphy runs engines of TensorRT, not of TensorRT-RTX. Compare the tensorrt artifact.")
    assert artifact.target == TENSORRT and artifact.engine is not None
    plugin = artifact.engine.plugin
    if artifact.engine.code is not None and not load_plugins:
        raise SetupError(
            f"{artifact.stem} holds code ({artifact.engine.code}); pass --load-plugins where you trust the bundle."
        )
    with _polygraphy():
        import tensorrt as trt
        from polygraphy.backend.trt import EngineFromBytes, LoadPlugins, TrtRunner

    engine = EngineFromBytes(bundle.read(artifact.file))
    if plugin.file is not None:
        library = stack.enter_context(bundle.loadable(plugin.file))
        engine = LoadPlugins([str(library.path)], obj=engine)
    if not trt.init_libnvinfer_plugins(None, ""):
        raise SetupError("TensorRT could not load its plugins.")
    return TrtRunner(engine, name=artifact.stem)
