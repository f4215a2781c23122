"""The benchmarks by name: tasks, image sizes, junk rules, readers."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ....errors import InputError
from ..attributes.attribute_readers import ANY, PUBLISHED, read_attribute_benchmark
from ..attributes.attribute_set import IMAGE_SIZE
from ..sample import Benchmark
from ..task_names import ATTRIBUTES, RE_IDENTIFICATION
from . import msvr310, rgbnt100, rgbnt201


@dataclass(frozen=True)
class BenchmarkInfo:
    """Fixed properties of a benchmark.

    `image_size` is (height, width). `cameras` and `identities` are the published numbers of the training part, which
    set the sizes of a model's camera table and classifier; sets for other tasks have none. `junk` is "camera" or
    "scene", or empty without a gallery. `task` is that of the labels.
    """

    name: str
    title: str
    image_size: tuple[int, int]
    cameras: int
    identities: int
    junk: str
    reader: Callable[[str | os.PathLike[str], bool], Benchmark]
    task: str = RE_IDENTIFICATION

    def to_json(self) -> dict[str, Any]:
        """Return plain values, without the reader."""
        return {
            "name": self.name,
            "title": self.title,
            "image_size": list(self.image_size),
            "cameras": self.cameras,
            "identities": self.identities,
            "junk": self.junk,
            "task": self.task,
        }


def _of_attributes(name: str, title: str) -> BenchmarkInfo:
    return BenchmarkInfo(name, title, IMAGE_SIZE, 0, 0, "", partial(read_attribute_benchmark, name), ATTRIBUTES)


BENCHMARKS: dict[str, BenchmarkInfo] = {
    info.name: info
    for info in (
        BenchmarkInfo("rgbnt201", "RGBNT201", rgbnt201.IMAGE_SIZE, 4, 171, "camera", rgbnt201.read_rgbnt201),
        BenchmarkInfo("rgbnt100", "RGBNT100", rgbnt100.IMAGE_SIZE, 8, 50, "camera", rgbnt100.read_rgbnt100),
        BenchmarkInfo("msvr310", "MSVR310", msvr310.IMAGE_SIZE, 8, 155, "scene", msvr310.read_msvr310),
        *(_of_attributes(name, published.title) for name, published in PUBLISHED.items()),
        _of_attributes(ANY, "a set of labeled images"),
    )
}


def benchmarks_of(purpose: str) -> dict[str, BenchmarkInfo]:
    """Return the benchmarks for a task, by name."""
    return {name: info for name, info in BENCHMARKS.items() if purpose == info.task}


def require_benchmark_of(task: str, name: str, what: str = "this") -> BenchmarkInfo:
    """Return the properties of a benchmark for a task; `what` needs it, for the message.

    Raises:
        InputError: no benchmark has that name, or it is for another task.
    """
    info = benchmark_info(name)
    if name not in benchmarks_of(task):
        raise InputError(
            f"{info.title} ({name}) is a benchmark for {info.task}; {what} needs one for {task}: "
            f"{', '.join(benchmarks_of(task))}."
        )
    return info


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
