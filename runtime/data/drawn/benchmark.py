"""Writes a drawn benchmark to disk, in the folders and file names of the real one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ....errors import InputError
from ...files import json_text, staged_folder
from ...foreign_text import escaped
from ...progress import Track, silent
from .. import msvr310, rgbnt100, rgbnt201
from ..benchmarks import BenchmarkInfo, benchmark_info
from . import settings
from .samples import draw_sample, scene_of
from .sensors import Images

#: Test identities are numbered from here on, so that more training identities leave them as they are.
TEST_FROM = 301
MOST_IDENTITIES = 300

DEFAULT_IDENTITIES = (60, 40)
_MARKER = "drawn.json"
DEFAULT_VIEWS = 8
#: Two digits in the file names.
MOST_VIEWS = 99

_NOTICE = """This is not {title}. Every image in this folder is drawn by a program; no camera took it and no person or
vehicle in it exists. Folders and file names follow {title}, so that its reader reads them.

Drawn by mambapro, drawing version {version}, seed {seed}: {train} training and {test} test identities, {views} views of
each by the three sensors.
"""


@dataclass(frozen=True)
class DrawnReport:
    """What was drawn. The counts of `train`, `query` and `gallery` are samples, of three images each."""

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

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        rows = (
            ("train", self.train_identities, self.train),
            ("query", self.test_identities, self.query),
            ("gallery", self.test_identities, self.gallery),
        )
        lines = [f"{split:<8} {identities:>10} {samples:>8}" for split, identities, samples in rows]
        head = f"{self.dataset}, drawn with seed {self.seed}, in {escaped(self.path)}"
        return "\n".join([head, f"{'split':<8} {'identities':>10} {'samples':>8}", *lines])


@dataclass(frozen=True)
class _Shot:
    """One observation to draw: which identity, from where, its how-manieth image."""

    identity: int
    camera: int
    scene: int
    view: int


_Save = Callable[[Path, _Shot, Images], None]


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
    """Draw a benchmark into the new folder `out`, which then serves as the data folder of `name`.

    `identities` are the numbers of training and test identities, `views` the images of each. The same seed draws the
    same bytes (with the same Pillow); further identities or views leave the others as they are. Nothing is left
    behind on failure.

    Raises:
        InputError: unknown name, numbers out of range, `out` exists and `overwrite` is false.
        SetupError: no room or no permission.
    """
    info = benchmark_info(name)
    _check(seed, identities, views)
    save, in_query = _WRITERS[info.name]
    train = list(_shots(info, range(1, identities[0] + 1), views))
    test = list(_shots(info, range(TEST_FROM, TEST_FROM + identities[1]), views))
    query = [shot for shot in test if in_query(shot, views)]
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
    placed: list[tuple[_Shot, tuple[str, ...]]] = [(shot, ("train",)) for shot in train]
    placed += [(shot, ("query", "gallery") if in_query(shot, views) else ("gallery",)) for shot in test]
    # the notice marks what was drawn here: nothing else is ever replaced
    with staged_folder(out, overwrite=overwrite, replaceable=lambda old: (old / _MARKER).is_file()) as stage:
        for shot, splits in track(placed, f"Drawing {info.title}", len(placed)):
            images = draw_sample(info.name, seed, shot.identity, shot.camera, shot.view)
            for folder in dict.fromkeys(_FOLDERS[info.name][split] for split in splits):
                save(stage / folder, shot, images)
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


def _shots(info: BenchmarkInfo, identities: range, views: int) -> Iterator[_Shot]:
    for identity in identities:
        for view in range(views):
            yield _Shot(identity, (identity + view) % info.cameras, scene_of(info.name, identity, view), view)


def _write_notice(root: Path, info: BenchmarkInfo, report: DrawnReport) -> None:
    facts = {"drawn": True, **report.to_json()}
    # Where it was drawn is nobody's business, and would make equal seeds differ.
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
    (root / "README.txt").write_text(notice, encoding="utf-8")


def _save_jpeg(path: Path, image: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=settings.JPEG_QUALITY)


def _save_rgbnt201(folder: Path, shot: _Shot, images: Images) -> None:
    name = f"{shot.identity:06d}_cam{shot.camera + 1}_0_{shot.view:02d}.jpg"
    for modality, image in zip(rgbnt201.MODALITY_FOLDERS, images, strict=True):
        _save_jpeg(folder / modality / name, image)


def _save_rgbnt100(folder: Path, shot: _Shot, images: Images) -> None:
    name = f"{shot.identity:04d}_c{shot.camera + 1:04d}_{shot.view:03d}.jpg"
    _save_jpeg(folder / name, np.concatenate(images, axis=1))


def _save_msvr310(folder: Path, shot: _Shot, images: Images) -> None:
    identity = f"{shot.identity:04d}"
    name = f"{identity}_s{shot.scene:03d}_v{shot.camera}_{shot.view:03d}.jpg"
    for modality, image in zip(msvr310.MODALITY_FOLDERS, images, strict=True):
        _save_jpeg(folder / identity / modality / name, image)


def _split_folders(nesting: tuple[str, ...], train: str, query: str, gallery: str) -> dict[str, Path]:
    parent = Path(*nesting)
    return {"train": parent / train, "query": parent / query, "gallery": parent / gallery}


_FOLDERS = {
    # The real test folder is query and gallery at once.
    "rgbnt201": _split_folders(rgbnt201.NESTING, rgbnt201.SPLITS[0], rgbnt201.SPLITS[1], rgbnt201.SPLITS[1]),
    "rgbnt100": _split_folders(rgbnt100.NESTING, *rgbnt100.SPLITS),
    "msvr310": _split_folders(msvr310.NESTING, *msvr310.SPLITS),
}


def _everything(shot: _Shot, views: int) -> bool:
    return True


def _first_half(shot: _Shot, views: int) -> bool:
    return shot.view < (views + 1) // 2


def _once_per_scene(shot: _Shot, views: int) -> bool:
    return shot.view < settings.SCENES_PER_IDENTITY


_WRITERS: dict[str, tuple[_Save, Callable[[_Shot, int], bool]]] = {
    "rgbnt201": (_save_rgbnt201, _everything),
    "rgbnt100": (_save_rgbnt100, _first_half),
    "msvr310": (_save_msvr310, _once_per_scene),
}
