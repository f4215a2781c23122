"""Labeled images of noise as a benchmark for attributes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mambapro.runtime.bundle.tasks import ATTRIBUTES
from mambapro.runtime.data.readers.benchmarks import BENCHMARKS, BenchmarkInfo
from mambapro.runtime.data.sample import AttributeNames, Benchmark, ImageSource, Sample
from PIL import Image

#: Labels of the images, as many as the tiny models have.
NAMES = tuple(f"label {i}" for i in range(10))


@contextmanager
def noise_benchmark(folder: Path) -> Iterator[Benchmark]:
    """Twelve test and twelve validation images with random labels, known as the data set "noise" meanwhile."""
    rng, samples = np.random.default_rng(0), []
    for number in range(24):
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
        truth = dict(zip(NAMES, rng.integers(0, 2, 10).tolist(), strict=True))
        samples.append(Sample(path.name, {"rgb": ImageSource(path)}, labels=truth))
    names = AttributeNames(NAMES, NAMES)
    benchmark = Benchmark("noise", (), tuple(samples[:12]), (), "", (64, 64), tuple(samples[12:]), names)
    BENCHMARKS["noise"] = BenchmarkInfo("noise", "Noise", (64, 64), 0, 0, "", lambda *_: benchmark, ATTRIBUTES)
    try:
        yield benchmark
    finally:
        del BENCHMARKS["noise"]
