"""Stage-by-stage comparison: the first difference of an exported model from PyTorch."""

from __future__ import annotations

import numpy as np
import onnx
import torch

from ...runtime.backends.onnxruntime import OnnxRuntimeBackend
from ...runtime.evaluation.gates.agreement import cosine_departures
from ...train.models.model_spec import Model, ModelSpec
from .onnx_graph import with_stages
from .parity_images import ParityBatch
from .parity_report import StageParity

#: Number of traced samples: differences are systematic, and stages are large.
SAMPLES = 2


def trace_stages(model: Model, exported: onnx.ModelProto, batch: ParityBatch, limit: float) -> tuple[StageParity, ...]:
    """Compare every stage of the exported graph with its PyTorch module, on SAMPLES samples.

    `limit` is the largest allowed 1 - cosine of a stage.
    """
    batch, spec = batch[:SAMPLES], model.spec
    expected = _torch_stages(model, spec, batch)
    backend = OnnxRuntimeBackend(with_stages(exported, spec).SerializeToString(), device="cpu")
    outputs = backend.run({k: v for k, v in batch.samples.feeds(spec.inputs).items() if k in backend.inputs})
    return tuple(_compare(name, expected[name], outputs[name], limit) for name in expected)


def _torch_stages(model: Model, spec: ModelSpec, batch: ParityBatch) -> dict[str, np.ndarray]:
    stages: dict[str, np.ndarray] = {}

    def record(name: str, output: torch.Tensor | tuple) -> None:
        """Record a module's output."""
        value = output[0] if isinstance(output, tuple) else output
        stages[name] = value.float().numpy()

    hooks = [
        model.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: record(name, output))
        for name in spec.stages
    ]
    try:
        outputs = model.run(batch.samples)
    finally:
        for hook in hooks:
            hook.remove()
    return {**{name: stages[name] for name in spec.stages}, **outputs}


def _compare(name: str, expected: np.ndarray, actual: np.ndarray, limit: float) -> StageParity:
    # every stream or sample is a row: the first axis of tokens is streams, of features samples
    rows = [
        np.asarray(x, np.float64).reshape(-1, x.shape[-1] * x.shape[-2] if x.ndim > 2 else x.shape[-1])
        for x in (expected, actual)
    ]
    departure = float(cosine_departures(*rows).max())
    return StageParity(name, departure, float(np.abs(rows[0] - rows[1]).max()), not departure <= limit)


def first_departure(stages: tuple[StageParity, ...]) -> str | None:
    """Return the name of the first stage above the limit, None if none is."""
    return next((stage.stage for stage in stages if stage.departs), None)
