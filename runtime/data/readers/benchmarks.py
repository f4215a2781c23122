"""The three benchmarks by name: image sizes, junk rules, readers."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ....errors import InputError
from ..sample import Benchmark
from . import msvr310, rgbnt100, rgbnt201


@dataclass(frozen=True)
class BenchmarkInfo:
    """Fixed properties of a benchmark.

    `image_size` is (height, width). `cameras` and `identities` are the published numbers of the training part, which
    set the sizes of a model's camera table and classifier; without identities it is not for re-identification. `junk`
    is "camera" or "scene".
    """

    name: str
    title: str
    image_size: tuple[int, int]
    cameras: int
    identities: int
    junk: str
    reader: Callable[[str | os.PathLike[str], bool], Benchmark]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, without the reader."""
        return {
            "name": self.name,
            "title": self.title,
            "image_size": list(self.image_size),
            "cameras": self.cameras,
            "identities": self.identities,
            "junk": self.junk,
        }


BENCHMARKS: dict[str, BenchmarkInfo] = {
    info.name: info
    for info in (
        BenchmarkInfo("rgbnt201", "RGBNT201", rgbnt201.IMAGE_SIZE, 4, 171, "camera", rgbnt201.read_rgbnt201),
        BenchmarkInfo("rgbnt100", "RGBNT100", rgbnt100.IMAGE_SIZE, 8, 50, "camera", rgbnt100.read_rgbnt100),
        BenchmarkInfo("msvr310", "MSVR310", msvr310.IMAGE_SIZE, 8, 155, "scene", msvr310.read_msvr310),
    )
}


def benchmark_info(name: str) -> BenchmarkInfo:
    """Return the properties of a benchmark.

    Raises:
        InputError: no benchmark has that name; the nearest one is suggested.
    """
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    near = difflib.get_close_matches(name.lower(), BENCHMARKS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"There is no benchmark {name!r}. Known: {', '.join(BENCHMARKS)}.{hint}")


def read_benchmark(name: str, root: str | os.PathLike[str], test_only: bool = False) -> Benchmark:
    """Read the benchmark `name` from the folder `root`, in a fixed order.

    `test_only` omits the training part, which evaluation on a device does not need.

    Raises:
        InputError: unknown name, or the folder does not hold that benchmark; the message describes the expected layout.
    """
    return benchmark_info(name).reader(root, test_only)
