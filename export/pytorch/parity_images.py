"""The images on which an exported model is compared with PyTorch: real ones where there are any, else drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...common.foreign_text import escaped
from ...errors import InputError
from ...runtime.data.modalities import MODALITIES, SUBSETS, subset_name
from ...runtime.data.preprocess import Preprocessing, sensor_arrays
from ...runtime.data.readers.benchmarks import BENCHMARKS, read_benchmark
from ...runtime.data.sample import Sample
from ...synthetic.observation import draw_samples

#: Samples with all sensors, and samples for each other set of sensors.
COMPLETE, INCOMPLETE = 32, 8
_SEED = 2025


@dataclass(frozen=True)
class ParityImages:
    """Samples as a deployment would see them.

    `images` (N, 3, H, W, 3) uint8, modalities rgb, nir, tir; `cameras` (N,) int64, the last ones unknown (-1);
    `source` says where they are from.
    """

    images: np.ndarray
    cameras: np.ndarray
    source: str


@dataclass(frozen=True)
class ParityBatch:
    """Samples of one set of sensors, as the exported graph takes them; images of missing sensors are black."""

    subset: tuple[str, ...]
    images: np.ndarray
    cameras: np.ndarray

    @property
    def name(self) -> str:
        """The sensors, such as "rgb+tir"."""
        return subset_name(self.subset)

    @property
    def mask(self) -> np.ndarray:
        """float32 (N, 3), 1 where the sensor is there."""
        row = [float(m in self.subset) for m in MODALITIES]
        return np.tile(np.array(row, np.float32), (len(self.images), 1))

    def feeds(self) -> dict[str, np.ndarray]:
        """Inputs of the exported graph by name."""
        images = {m: self.images[:, i] for i, m in enumerate(MODALITIES)}
        return {**images, "camera": self.cameras, "modality_mask": self.mask}


def parity_images(preprocessing: Preprocessing, cameras: int, data: str | None, dataset: str | None) -> ParityImages:
    """COMPLETE samples: from the benchmark in folder `data`, or drawn in the manner of `dataset`.

    Args:
        preprocessing: size and filter of the model's input.
        cameras: rows of the model's camera table; 0 where it has none.
        data: root folder of `dataset`, or None.
        dataset: name of a benchmark; None picks the drawn one whose images lie as the model's do.

    Raises:
        InputError: `data` without `dataset`, or a folder that is not that benchmark.
    """
    if data is not None and dataset is None:
        raise InputError(f"--data {escaped(data)} needs --dataset: one of {', '.join(BENCHMARKS)}.")
    if data is not None and dataset is not None:
        images, numbers = _from_disk(preprocessing, dataset, data)
        source = f"{dataset} in {data}"
    else:
        name = dataset or _benchmark_like(preprocessing)
        images, numbers = _drawn(preprocessing, name)
        source = f"drawn {name}, seed {_SEED}"
    numbers = np.where(numbers < cameras, numbers, -1) if cameras else np.full_like(numbers, -1)
    # a quarter comes from cameras the model does not know: that row of the table must be right as well
    numbers[-max(1, len(numbers) // 4) :] = -1
    return ParityImages(images, numbers, source)


def _benchmark_like(preprocessing: Preprocessing) -> str:
    upright = preprocessing.height >= preprocessing.width
    return next(name for name, info in BENCHMARKS.items() if (info.image_size[0] >= info.image_size[1]) == upright)


def _drawn(preprocessing: Preprocessing, name: str) -> tuple[np.ndarray, np.ndarray]:
    drawn = draw_samples(name, COMPLETE, _SEED)
    images = [sensor_arrays(dict(zip(MODALITIES, sample, strict=True)), preprocessing) for sample, _ in drawn]
    return np.array(images), np.array([camera for _, camera in drawn], np.int64)


def _from_disk(preprocessing: Preprocessing, dataset: str, root: str) -> tuple[np.ndarray, np.ndarray]:
    samples = _spread(read_benchmark(dataset, root, test_only=True).gallery, COMPLETE)
    images = [sensor_arrays(dict(zip(MODALITIES, sample.sources, strict=True)), preprocessing) for sample in samples]
    return np.array(images), np.array([sample.camera for sample in samples], np.int64)


def _spread(samples: tuple[Sample, ...], count: int) -> list[Sample]:
    """`count` samples at even distances: many identities and cameras."""
    if len(samples) < count:
        raise InputError(f"The gallery holds {len(samples)} samples; the parity run needs {count}.")
    return [samples[i * len(samples) // count] for i in range(count)]


def samples_of(subset: tuple[str, ...]) -> np.ndarray:
    """Rows of the parity samples that a set of sensors is tried on: all, or one in four for an incomplete set.

    Drawn samples take the cameras in turns, so each step goes one row further: all cameras are among them.
    """
    if len(subset) == len(MODALITIES):
        return np.arange(COMPLETE)
    step, rows = COMPLETE // INCOMPLETE, np.arange(INCOMPLETE)
    return step * rows + rows % step


def batches_of_subsets(images: ParityImages) -> list[ParityBatch]:
    """All samples with all sensors, then the first INCOMPLETE ones with every other set of sensors."""
    batches = []
    for subset in SUBSETS:
        chosen = samples_of(subset)
        pixels = images.images[chosen]
        for i, modality in enumerate(MODALITIES):
            if modality not in subset:
                pixels[:, i] = 0
        batches.append(ParityBatch(subset, pixels, images.cameras[chosen]))
    return batches
