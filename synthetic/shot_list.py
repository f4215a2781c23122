"""Shots of a synthetic benchmark: which identity is taken by which camera, and the folders of the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import InputError
from ..runtime.data.readers.benchmarks import BenchmarkInfo
from . import settings
from .layout import FOLDERS, Shot
from .observation import scene_of

#: First number of test identities, so that more training identities do not change them.
TEST_FROM = 301
MOST_IDENTITIES = 300
#: Two digits in the file names.
MOST_VIEWS = 99


def check_numbers(identities: tuple[int, int], views: int) -> None:
    """Check numbers of training and test identities and of images of each.

    Raises:
        InputError: a number is out of range.
    """
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


def splits_of(
    info: BenchmarkInfo, identities: tuple[int, int], views: int
) -> tuple[list[Shot], list[Shot], list[Shot]]:
    """Return the shots of the training part, of the gallery, and the gallery shots that are queries."""
    train = list(_shots(info, range(1, identities[0] + 1), views))
    test = list(_shots(info, range(TEST_FROM, TEST_FROM + identities[1]), views))
    return train, test, [shot for shot in test if _IN_QUERY[info.name](shot, views)]


def placed_shots(info: BenchmarkInfo, identities: tuple[int, int], views: int) -> list[tuple[Shot, tuple[Path, ...]]]:
    """Return every shot with its destination folders."""
    train, test, query = splits_of(info, identities, views)
    queries, folders = set(query), FOLDERS[info.name]
    placed: list[tuple[Shot, tuple[Path, ...]]] = [(shot, (folders["train"],)) for shot in train]
    for shot in test:
        splits = ("query", "gallery") if shot in queries else ("gallery",)
        placed.append((shot, tuple(dict.fromkeys(folders[split] for split in splits))))
    return placed


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
