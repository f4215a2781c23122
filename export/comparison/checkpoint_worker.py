"""Worker that times a checkpoint in PyTorch, see `runtime.evaluation.timing_worker`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...common.worker_process import serve
from ...runtime.data.batch import Batch
from ...runtime.evaluation.timing_worker import Opened, TimingWorker
from ...train.engine.feature_function import torch_feature_function
from ...train.engine.image_ranges import model_preprocessing
from ...train.models.checkpoints.weights import load_checkpoint


def plain(value: Any) -> Any:
    """Return a switch for a job: an array as a dict of plain values."""
    return {"dtype": str(value.dtype), "values": value.tolist()} if isinstance(value, np.ndarray) else value


def _value(value: Any) -> Any:
    return np.array(value["values"], value["dtype"]) if isinstance(value, dict) else value


def open_checkpoint(job: dict[str, Any]) -> Opened:
    """Return the checkpoint's model on one sample; the job has `checkpoint`, `image_size` and `switches`."""
    height, width = job["image_size"]
    model = load_checkpoint(
        job["checkpoint"], (height, width), **{name: _value(value) for name, value in job["switches"].items()}
    )
    pre, function, rng = model_preprocessing(model), torch_feature_function(model), np.random.default_rng(0)
    images = {m: rng.integers(0, 256, (1, pre.height, pre.width, 3), dtype=np.uint8) for m in model.spec.modalities}
    batch = Batch.of(images, cameras=np.zeros(1, np.int64))
    return Opened(lambda: function(batch))


if __name__ == "__main__":
    serve(TimingWorker(open_checkpoint))
