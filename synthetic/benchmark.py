"""Writing of a synthetic benchmark to disk, in the folders and file names of the real one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..common.files.atomic import staged_folder
from ..common.foreign_text import escaped
from ..common.progress import Track, silent
from ..common.records import Report
from ..errors import InputError
from ..runtime.data.readers.benchmarks import benchmark_info
from . import settings
from .drawn_folder import is_drawn, write_marks
from .layout import names_of, parts_of
from .observation import draw_sample
from .shot_list import check_numbers, placed_shots, splits_of

DEFAULT_IDENTITIES = (60, 40)
DEFAULT_VIEWS = 8


@dataclass(frozen=True)
class DrawnReport(Report):
    """Result of drawing a benchmark. The counts of `train`, `query` and `gallery` are samples of three images each."""

    dataset: str
    path: str
    seed: int
    version: int
    train_identities: int
    test_identities: int
    views: int
    train: int
    query: int
    gallery: int

    def __str__(self) -> str:
        rows = (
            ("train", self.train_identities, self.train),
            ("query", self.test_identities, self.query),
            ("gallery", self.test_identities, self.gallery),
        )
        lines = [f"{split:<8} {identities:>10} {samples:>8}" for split, identities, samples in rows]
        head = f"{self.dataset}, drawn with seed {self.seed}, in {escaped(self.path)}"
        return "\n".join([head, f"{'split':<8} {'identities':>10} {'samples':>8}", *lines])


def draw_benchmark(
    out: str | os.PathLike[str],
    name: str,
    *,
    seed: int = 0,
    identities: tuple[int, int] = DEFAULT_IDENTITIES,
    views: int = DEFAULT_VIEWS,
    overwrite: bool = False,
    track: Track = silent,
) -> DrawnReport:
    """Draw a benchmark into the new folder `out`, which can then be read as the data folder of `name`.

    `identities` are the numbers of training and test identities, `views` the images of each. The same seed draws the
    same bytes (with the same Pillow); additional identities or views do not change the others. Nothing is left behind
    on failure.

    Raises:
        InputError: unknown name, numbers out of range, `out` exists and `overwrite` is false.
        SetupError: no room or no permission.
    """
    info = benchmark_info(name)
    if seed < 0:
        raise InputError(f"The seed is {seed}; give 0 or more.")
    check_numbers(identities, views)
    train, test, query = splits_of(info, identities, views)
    report = DrawnReport(
        dataset=info.name,
        path=str(out),
        seed=seed,
        version=settings.VERSION,
        train_identities=identities[0],
        test_identities=identities[1],
        views=views,
        train=len(train),
        query=len(query),
        gallery=len(test),
    )
    placed = placed_shots(info, identities, views)
    with staged_folder(out, overwrite=overwrite, replaceable=is_drawn) as stage:
        for shot, folders in track(placed, f"Drawing {info.title}", len(placed)):
            images = draw_sample(info.name, seed, shot.identity, shot.camera, shot.view)
            parts = parts_of(info.name, images)
            for folder in folders:
                for name, part in zip(names_of(info.name, shot), parts, strict=True):
                    _save_jpeg(stage / folder / name, part)
        content = f"{identities[0]} training and {identities[1]} test identities, {views} views of"
        content += "\neach by the three sensors."
        write_marks(stage, info.title, content, report, seed=seed, version=settings.VERSION)
    return report


def _save_jpeg(path: Path, image: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=settings.JPEG_QUALITY)
