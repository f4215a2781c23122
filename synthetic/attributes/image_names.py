"""Folders and names of the images of the drawn sets, as published."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .traits import quotas

#: Scenes of MSP60K: the prefix of their images, and the published number of images.
SCENES = {
    "Constuction Site": ("part1_", 4_403),
    "Market": ("part5_", 17_384),
    "Kitchens": ("part7_", 1_665),
    "Ski Resort": ("part16_", 5_780),
    "School": ("part4_", 5_896),
    "Outdoors1": ("part15_", 8_788),
    "Outdoors2": ("part9_", 4_657),
    "Outdoors3": ("part17_", 11_549),
}


def _pa100k(row: int, count: int) -> str:
    return f"{row + 1:06d}.jpg"


def _peta(row: int, count: int) -> str:
    return f"{row + 1:05d}.png"


def _rapv1(row: int, count: int) -> str:
    return f"CAM{1 + row % 26:02d}-2013-12-23-20131223120147-20131223120735-tarid{row}-frame{1000 + 7 * row}-line1.png"


def _rapv2(row: int, count: int) -> str:
    return f"CAM{1 + row % 25:02d}_2014-02-15_20140215161032-20140215162620_tarid{row}_frame{1000 + 7 * row}_line1.png"


def _wider(row: int, count: int) -> str:
    return f"{row + 1:06d}.jpg"


def _msp60k(row: int, count: int) -> str:
    return f"{SCENES[scene_of_image(row, count)][0]}{row + 1:05d}.jpg"


def scene_of_image(row: int, count: int) -> str:
    """Return the scene of MSP60K that the image of a row shows."""
    ends = np.cumsum(quotas([size for _, size in SCENES.values()], count))
    return list(SCENES)[int(np.searchsorted(ends, row, side="right"))]


#: Folder of the images, and the name of each by its row and the number of images.
IMAGES: dict[str, tuple[str, Callable[[int, int], str]]] = {
    "pa100k": ("data", _pa100k),
    "peta": ("images", _peta),
    "rapv1": ("RAP_dataset", _rapv1),
    "rapv2": ("RAP_dataset", _rapv2),
    "wider": ("split_image", _wider),
    "peta-zs": ("images", _peta),
    "rap-zs": ("RAP_dataset", _rapv2),
    "msp60k": ("images", _msp60k),
}


def image_names(name: str, count: int) -> tuple[str, list[str]]:
    """Return the folder of a set's images and their names in it."""
    folder, naming = IMAGES[name]
    return folder, [naming(row, count) for row in range(count)]
