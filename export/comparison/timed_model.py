"""The process that times one model of a comparison: a job comes in as one JSON line, then one order for each turn.

Two models in one process disturb each other: the threads of one runtime spin while the other's compute.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ...common.children import tie_to_parent
from ...errors import MambaProError
from ...runtime.data.preprocess import Preprocessing
from ...runtime.evaluation.latency import timed_calls
from ...runtime.evaluation.retrieval.evaluate import SubsetFunction


def opened(job: dict[str, Any]) -> Callable[[], object]:
    """A call of the job's model with one sample, decoded and of the model's size; PyTorch is loaded for checkpoints
    alone."""
    if "checkpoint" in job:
        function, pre = _checkpoint(**job)
    else:
        function, pre = _artifact(**job)
    rng = np.random.default_rng(0)
    rgb, nir, tir = ([rng.integers(0, 256, (pre.height, pre.width, 3), dtype=np.uint8)] for _ in range(3))
    cameras = np.zeros(1, np.int64)
    return lambda: function(rgb, nir, tir, cameras)


def _checkpoint(
    checkpoint: str, image_size: list[int], switches: dict[str, Any]
) -> tuple[SubsetFunction, Preprocessing]:
    from ...train.engine.image_ranges import model_preprocessing
    from ...train.models.checkpoints.weights import load_checkpoint
    from ...train.reid.evaluate import torch_feature_function

    height, width = image_size
    model = load_checkpoint(checkpoint, (height, width), **switches)
    return torch_feature_function(model), model_preprocessing(model)


def _artifact(bundle: str, target: str, precision: str) -> tuple[SubsetFunction, Preprocessing]:
    from ...runtime.evaluation.retrieval.evaluate import feature_function
    from ...runtime.extractor import Extractor

    extractor = Extractor(bundle, "cpu", target=target, precision=precision)
    return feature_function(extractor), extractor.preprocessing


def main() -> None:
    """Open the model, then answer every order with the median milliseconds of its calls."""
    tie_to_parent()
    # libraries print: what they print goes to standard error, and the answers keep their line to themselves
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(**answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        call = opened(json.loads(sys.stdin.readline()))
        tell(ready=True)
        for line in sys.stdin:
            order = json.loads(line)
            for _ in range(order["warmup"]):
                call()
            tell(milliseconds=statistics.median(timed_calls(call, order["runs"], order["seconds"])))
    except MambaProError as error:
        tell(error=[type(error).__name__, str(error)])
    except BrokenPipeError:
        # nobody waits for the answer any more
        os._exit(1)


if __name__ == "__main__":
    main()
