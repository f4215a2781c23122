"""Writing of a synthetic benchmark to disk, in the folders and file names of the real one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..common.files.atomic import json_text, staged_folder
from ..common.foreign_text import escaped
from ..common.formats.json_files import read_json
from ..common.progress import Track, silent
from ..common.records import Report
from ..errors import InputError
from ..runtime.data.readers.benchmarks import BenchmarkInfo, benchmark_info
from . import settings
from .layout import FOLDERS, Shot, names_of, parts_of
from .observation import draw_sample, scene_of

#: First number of test identities, so that more training identities do not change them.
TEST_FROM = 301
MOST_IDENTITIES = 300

DEFAULT_IDENTITIES = (60, 40)
_MARKER, _README = "drawn.json", "README.txt"
_LARGEST_MARKER = 1 << 16
DEFAULT_VIEWS = 8
#: Two digits in the file names.
MOST_VIEWS = 99

_NOTICE = """This is not {title}. Every image in this folder is drawn by a program; no camera took it and no person or
vehicle in it exists. Folders and file names follow {title}, so that its reader reads them.

Drawn by mambapro, drawing version {version}, seed {seed}: {train} training and {test} test identities, {views} views of
each by the three sensors.
"""


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
    _check(seed, identities, views)
    train, test, query = _splits(info, identities, views)
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
    placed = _placed(info, identities, views)
    with staged_folder(out, overwrite=overwrite, replaceable=is_drawn) as stage:
        for shot, folders in track(placed, f"Drawing {info.title}", len(placed)):
            images = draw_sample(info.name, seed, shot.identity, shot.camera, shot.view)
            parts = parts_of(info.name, images)
            for folder in folders:
                for name, part in zip(names_of(info.name, shot), parts, strict=True):
                    _save_jpeg(stage / folder / name, part)
        _write_notice(stage, info, report)
    return report


def _check(seed: int, identities: tuple[int, int], views: int) -> None:
    if seed < 0:
        raise InputError(f"The seed is {seed}; give 0 or more.")
    for what, count in zip(("training", "test"), identities, strict=True):
        if not 1 <= count <= MOST_IDENTITIES:
            raise InputError(f"{count} {what} identities were asked for; give 1..{MOST_IDENTITIES}.")
    if not 2 <= views <= MOST_VIEWS:
        raise InputError(
            f"{views} images per identity were asked for; give 2..{MOST_VIEWS}, since a query needs a match elsewhere."
        )


def _shots(info: BenchmarkInfo, identities: range, views: int) -> Iterator[Shot]:
    for identity in identities:
        for view in range(views):
            yield Shot(identity, (identity + view) % info.cameras, scene_of(info.name, identity, view), view)


def _splits(info: BenchmarkInfo, identities: tuple[int, int], views: int) -> tuple[list[Shot], list[Shot], list[Shot]]:
    """Return the shots of the training part, of the gallery, and the gallery shots that are queries."""
    train = list(_shots(info, range(1, identities[0] + 1), views))
    test = list(_shots(info, range(TEST_FROM, TEST_FROM + identities[1]), views))
    return train, test, [shot for shot in test if _IN_QUERY[info.name](shot, views)]


def _placed(info: BenchmarkInfo, identities: tuple[int, int], views: int) -> list[tuple[Shot, tuple[Path, ...]]]:
    """Return every shot with its destination folders."""
    train, test, query = _splits(info, identities, views)
    queries, folders = set(query), FOLDERS[info.name]
    placed: list[tuple[Shot, tuple[Path, ...]]] = [(shot, (folders["train"],)) for shot in train]
    for shot in test:
        splits = ("query", "gallery") if shot in queries else ("gallery",)
        placed.append((shot, tuple(dict.fromkeys(folders[split] for split in splits))))
    return placed


def is_drawn(folder: Path) -> bool:
    """Return True if a folder holds only a synthetic benchmark: nothing else is ever replaced."""
    try:
        facts = read_json(folder / _MARKER, kind=InputError, limit=_LARGEST_MARKER)
        info = benchmark_info(facts["dataset"])
        identities, views = (int(facts["train_identities"]), int(facts["test_identities"])), int(facts["views"])
        _check(0, identities, views)
        placed = _placed(info, identities, views)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    names = {place / name for shot, places in placed for place in places for name in names_of(info.name, shot)}
    ours = {Path(_MARKER), Path(_README), *names}
    return all(path.is_dir() or path.relative_to(folder) in ours for path in folder.rglob("*"))


def _save_jpeg(path: Path, image: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=settings.JPEG_QUALITY)


def _write_notice(root: Path, info: BenchmarkInfo, report: DrawnReport) -> None:
    facts = {"drawn": True, **report.to_json()}
    # The path is omitted so that equal seeds give equal files.
    del facts["path"]
    (root / _MARKER).write_text(json_text(facts), encoding="utf-8")
    notice = _NOTICE.format(
        title=info.title,
        version=report.version,
        seed=report.seed,
        train=report.train_identities,
        test=report.test_identities,
        views=report.views,
    )
    (root / _README).write_text(notice, encoding="utf-8")


def _everything(shot: Shot, views: int) -> bool:
    return True


def _first_half(shot: Shot, views: int) -> bool:
    return shot.view < (views + 1) // 2


def _once_per_scene(shot: Shot, views: int) -> bool:
    return shot.view < settings.SCENES_PER_IDENTITY


_IN_QUERY: dict[str, Callable[[Shot, int], bool]] = {
    "rgbnt201": _everything,
    "rgbnt100": _first_half,
    "msvr310": _once_per_scene,
}
