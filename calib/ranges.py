"""Statistics of the inputs of all layers over the calibration images.

A run that is killed goes on from its last saved batch with the same result to the bit: what is remembered depends on
the order of the batches alone, and it is saved as a whole.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from ..common.files.atomic import write_atomically
from ..common.files.locks import temporary_folder
from ..common.foreign_text import shown_text
from ..common.formats.npz_files import read_npz
from ..common.progress import Track, silent
from ..errors import ArtifactError
from ..runtime.backends.base import Backend
from ..runtime.backends.onnxruntime import OnnxRuntimeBackend
from .batches import Feeds
from .memory import require_memory
from .statistics import Tensor, TensorStatistics

log = logging.getLogger("mambapro")

#: The file, its parsed form in the session, and the session's own copy of the weights.
COPIES_OF_MODEL = 3
#: A batch's values, their magnitudes, and the numbers of their bins in two widths.
_COPIES_OF_VALUES = 5
#: Arrays of a saved calibration: four of a tensor.
_MOST_ARRAYS = 2**16
#: Bytes of outputs of one run, where memory is not short.
_MOST_OUTPUTS = 2**30


@dataclass(frozen=True)
class Save:
    """File and interval of the checkpoints of unfinished statistics; `file` None = none are saved."""

    file: Path | None = None
    seconds: float = 20.0


def groups_of(tensors: Sequence[Tensor], batch: int, model_bytes: int) -> tuple[tuple[Tensor, ...], ...]:
    """Split the tensors into groups whose values of one batch fit into memory together, one for each pass.

    Raises:
        SetupError: not enough memory for the largest tensor alone.
    """
    sizes = [4 * batch * tensor.values for tensor in tensors]
    fixed = COPIES_OF_MODEL * model_bytes
    available = require_memory(fixed + (1 + _COPIES_OF_VALUES) * max(sizes), "Calibration")
    room = (
        _MOST_OUTPUTS if available is None else min(_MOST_OUTPUTS, available - fixed - _COPIES_OF_VALUES * max(sizes))
    )
    groups: list[list[Tensor]] = [[]]
    filled = 0
    for tensor, size in zip(tensors, sizes, strict=True):
        if groups[-1] and filled + size > room:
            groups.append([])
            filled = 0
        groups[-1].append(tensor)
        filled += size
    return tuple(tuple(group) for group in groups)


@contextmanager
def session_with(model: onnx.ModelProto, tensors: Sequence[Tensor]) -> Iterator[Backend]:
    """Open the model on the CPU with some of its inner tensors as outputs; the model is restored afterwards."""
    before = len(model.graph.output)
    # a killed run leaves the whole model: the next one removes it
    with temporary_folder("calibrate") as folder:
        path = folder / "model.onnx"
        inputs = {value.name for value in model.graph.input}
        for tensor in tensors:
            if tensor.name not in inputs:
                model.graph.output.append(onnx.helper.make_tensor_value_info(tensor.name, onnx.TensorProto.FLOAT, None))
        try:
            # a file, because the library would hold bytes and what it parsed from them at the same time
            onnx.save_model(model, path)
        finally:
            del model.graph.output[before:]
        backend = OnnxRuntimeBackend(path, "cpu")
    try:
        yield backend
    finally:
        backend.close()


def collect(
    model: onnx.ModelProto,
    groups: Sequence[Sequence[Tensor]],
    feeds: Feeds,
    save: Save,
    track: Track = silent,
) -> dict[str, TensorStatistics]:
    """Return the statistics of every tensor over all batches, by its name.

    Args:
        model: float32.
        groups: from `groups_of`.
        feeds: the batches.
        save: what an earlier run saved is taken up; the file stays when all is done, and then nothing is run.
        track: shows the batches.

    Raises:
        ArtifactError: NaN or infinity in a tensor.
        SetupError: no memory or no room.
    """
    statistics = {tensor.name: TensorStatistics(tensor) for group in groups for tensor in group}
    layout = [[tensor.name for tensor in group] for group in groups]
    position = _load_checkpoint(save.file, statistics, layout)
    if (0, 0) < position < (len(groups) - 1, len(feeds)):
        log.info("Going on with pass %d of %d, batch %d.", position[0] + 1, len(groups), position[1] + 1)
    for number, group in enumerate(groups):
        start = 0 if number > position[0] else position[1] if number == position[0] else len(feeds)
        if start == len(feeds):
            continue
        saved = time.monotonic()
        what = "Calibrating" if len(groups) == 1 else f"Calibrating, pass {number + 1} of {len(groups)}"
        with session_with(model, group) as backend:
            for batch in track(range(start, len(feeds)), what, len(feeds) - start):
                values = backend.run(feeds[batch])
                for tensor in group:
                    statistics[tensor.name].update(values[tensor.name])
                del values
                due = batch + 1 == len(feeds) or time.monotonic() - saved >= save.seconds
                if save.file is not None and due:
                    _save_checkpoint(save.file, statistics, layout, (number, batch + 1))
                    saved = time.monotonic()
    return statistics


def _save_checkpoint(
    file: Path, statistics: dict[str, TensorStatistics], layout: list[list[str]], position: tuple[int, int]
) -> None:
    arrays = {"position": np.array(position), "sizes": np.array([len(group) for group in layout])}
    arrays["names"] = np.array([name for group in layout for name in group])
    for number, name in enumerate(arrays["names"]):
        arrays.update({f"{number}/{key}": value for key, value in statistics[str(name)].arrays().items()})
    write_atomically(file, lambda path: _save(path, arrays))


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    # an open file, because savez would add .npz to a name that lacks it
    with open(path, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _load_checkpoint(
    file: Path | None, statistics: dict[str, TensorStatistics], layout: list[list[str]]
) -> tuple[int, int]:
    """Fill the statistics from a checkpoint; returns (pass, batch) to resume at, (0, 0) without one."""
    if file is None or not os.path.lexists(file):
        return 0, 0
    try:
        return _load(read_npz(file, "saved calibration", members=_MOST_ARRAYS), statistics, layout)
    except (ArtifactError, ValueError, KeyError) as error:
        log.warning(
            "The saved calibration %s cannot be used (%s); starting anew.", shown_text(file), shown_text(error, 500)
        )
        for name in statistics:
            statistics[name] = TensorStatistics(statistics[name].tensor)
        return 0, 0


def _load(
    arrays: dict[str, np.ndarray], statistics: dict[str, TensorStatistics], layout: list[list[str]]
) -> tuple[int, int]:
    """Fill the statistics from a file's arrays.

    Raises:
        ValueError, KeyError: they are of another model or amount of memory, or no such arrays.
    """
    names = [str(name) for name in np.atleast_1d(arrays["names"])]
    if names != [name for group in layout for name in group]:
        raise ValueError("it is of another model")
    if arrays["sizes"].tolist() != [len(group) for group in layout]:
        # other outputs let the runtime fuse other nodes, and then the last bits may differ
        raise ValueError("it was made with another amount of memory")
    for number, name in enumerate(names):
        keys = ("range", "counts", "sensors", "channels")
        statistics[name].load({key: arrays[f"{number}/{key}"] for key in keys})
    if arrays["position"].shape != (2,) or arrays["position"].dtype.kind not in "iu":
        raise ValueError("it does not say where it stopped")
    number, batch = (int(value) for value in arrays["position"])
    if not 0 <= number < len(layout) or batch < 0:
        raise ValueError("it stopped where there is nothing")
    return number, batch
