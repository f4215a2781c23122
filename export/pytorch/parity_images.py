"""Images for the comparison of an exported model with PyTorch: real ones if available, else synthetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...common.foreign_text import escaped
from ...errors import InputError
from ...runtime.data.batch import Batch
from ...runtime.data.modalities import MODALITIES, subset_name, subsets_of
from ...runtime.data.preprocess import Preprocessing, sensor_arrays
from ...runtime.data.readers.benchmarks import BENCHMARKS, benchmarks_of, read_benchmark
from ...runtime.data.sample import Sample
from ...runtime.data.task_names import RE_IDENTIFICATION
from ...synthetic.observation import draw_samples

#: Samples with all sensors, and samples for each other set of sensors.
COMPLETE, INCOMPLETE = 32, 8
_SEED = 2025


@dataclass(frozen=True)
class ParityImages:
    """Samples as in a deployment, the cameras of the last ones unknown; `source` describes their origin."""

    samples: Batch
    source: str


@dataclass(frozen=True)
class ParityBatch:
    """Samples of one set of modalities, as inputs of the exported graph; `rows` are their numbers among all.

    Images of missing modalities are black.
    """

    subset: tuple[str, ...]
    samples: Batch
    rows: np.ndarray

    @property
    def name(self) -> str:
        """Modalities, such as "rgb+tir"."""
        return subset_name(self.subset)

    def parts(self, size: int) -> Iterator[ParityBatch]:
        """Yield at most `size` samples at a time, in order."""
        for start in range(0, len(self.rows), size):
            yield self[start : start + size]

    def __getitem__(self, rows: slice) -> ParityBatch:
        return ParityBatch(self.subset, self.samples[rows], self.rows[rows])


def parity_images(
    preprocessing: Preprocessing,
    cameras: int,
    data: str | None,
    dataset: str | None,
    modalities: Sequence[str] = MODALITIES,
) -> ParityImages:
    """Return COMPLETE samples: from the benchmark in folder `data`, or synthetic ones like `dataset`.

    Args:
        preprocessing: size and filter of the model's input.
        cameras: rows of the model's camera table; 0 where it has none.
        data: root folder of `dataset`, or None.
        dataset: name of a benchmark; None and sets of attributes pick the drawn one whose images lie as the model's do.
        modalities: of the model.

    Raises:
        InputError: `data` without `dataset`, or a folder that is not that benchmark.
    """
    if data is not None and dataset is None:
        raise InputError(f"--data {escaped(data)} needs --dataset: one of {', '.join(BENCHMARKS)}.")
    if data is not None and dataset is not None:
        images, numbers = _from_disk(preprocessing, dataset, data)
        source = f"{dataset} in {data}"
    else:
        name = dataset if dataset in benchmarks_of(RE_IDENTIFICATION) else _benchmark_like(preprocessing)
        images, numbers = _drawn(preprocessing, name)
        source = f"drawn {name}, seed {_SEED}"
    numbers = np.where(numbers < cameras, numbers, -1) if cameras else np.full_like(numbers, -1)
    # a quarter comes from cameras the model does not know: that row of the table must be right as well
    numbers[-max(1, len(numbers) // 4) :] = -1
    by_name = {name: images[:, MODALITIES.index(name)] for name in modalities}
    return ParityImages(Batch.of(by_name, cameras=numbers), source)


def _benchmark_like(preprocessing: Preprocessing) -> str:
    drawn = benchmarks_of(RE_IDENTIFICATION)
    upright = preprocessing.height >= preprocessing.width
    return next(name for name, info in drawn.items() if (info.image_size[0] >= info.image_size[1]) == upright)


def _drawn(preprocessing: Preprocessing, name: str) -> tuple[np.ndarray, np.ndarray]:
    drawn = draw_samples(name, COMPLETE, _SEED)
    images = [sensor_arrays(dict(zip(MODALITIES, sample, strict=True)), preprocessing) for sample, _ in drawn]
    return np.array(images), np.array([camera for _, camera in drawn], np.int64)


def _from_disk(preprocessing: Preprocessing, dataset: str, root: str) -> tuple[np.ndarray, np.ndarray]:
    benchmark = read_benchmark(dataset, root, test_only=True)
    samples = _spread(benchmark.gallery or benchmark.query, COMPLETE)
    images = [sensor_arrays(sample.sources, preprocessing) for sample in samples]
    return np.array(images), np.array([sample.camera for sample in samples], np.int64)


def _spread(samples: tuple[Sample, ...], count: int) -> list[Sample]:
    """Return `count` samples at even distances: many identities and cameras."""
    if len(samples) < count:
        raise InputError(f"The test part holds {len(samples)} samples; the parity run needs {count}.")
    return [samples[i * len(samples) // count] for i in range(count)]


def rows_of(subset: Sequence[str], modalities: Sequence[str]) -> np.ndarray:
    """Return the rows of the parity samples for a set of modalities: all, or one in four for an incomplete set.

    Synthetic samples rotate the cameras, so each step goes one row further: all cameras are among them.

    Returns:
        int64 (rows,).
    """
    if len(subset) == len(modalities):
        return np.arange(COMPLETE)
    step, rows = COMPLETE // INCOMPLETE, np.arange(INCOMPLETE)
    return step * rows + rows % step


def batches_of_subsets(images: ParityImages, masked: bool = True) -> list[ParityBatch]:
    """Return all samples with all modalities, then INCOMPLETE ones with every other set if the model takes a mask."""
    modalities = tuple(images.samples.images)
    batches = []
    for subset in subsets_of(modalities) if masked else (modalities,):
        rows = rows_of(subset, modalities)
        batches.append(ParityBatch(subset, images.samples[rows].only(subset), rows))
    return batches
