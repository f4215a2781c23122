"""Folders and file names of a synthetic benchmark, equal to those of the real one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.data.readers import msvr310, rgbnt100, rgbnt201
from .sensors import Images


@dataclass(frozen=True)
class Shot:
    """One observation to draw: identity, camera, and the number of the image."""

    identity: int
    camera: int
    scene: int
    view: int


def names_of(dataset: str, shot: Shot) -> tuple[str, ...]:
    """Return the names of a shot's files below the folder of its split."""
    if dataset == "rgbnt100":
        return (f"{shot.identity:04d}_c{shot.camera + 1:04d}_{shot.view:03d}.jpg",)
    if dataset == "rgbnt201":
        name = f"{shot.identity:06d}_cam{shot.camera + 1}_0_{shot.view:02d}.jpg"
        return tuple(f"{modality}/{name}" for modality in rgbnt201.MODALITY_FOLDERS)
    identity = f"{shot.identity:04d}"
    name = f"{identity}_s{shot.scene:03d}_v{shot.camera}_{shot.view:03d}.jpg"
    return tuple(f"{identity}/{modality}/{name}" for modality in msvr310.MODALITY_FOLDERS)


def parts_of(dataset: str, images: Images) -> tuple[np.ndarray[Any, Any], ...]:
    """Return the images of a shot's files: one per sensor, or one with all sensors side by side.

    Returns:
        uint8 (H, W, 3) each.
    """
    return (np.concatenate(images, axis=1),) if dataset == "rgbnt100" else tuple(images)


def _split_folders(nesting: tuple[str, ...], train: str, query: str, gallery: str) -> dict[str, Path]:
    parent = Path(*nesting)
    return {"train": parent / train, "query": parent / query, "gallery": parent / gallery}


FOLDERS = {
    # The real test folder is both query and gallery.
    "rgbnt201": _split_folders(rgbnt201.NESTING, rgbnt201.SPLITS[0], rgbnt201.SPLITS[1], rgbnt201.SPLITS[1]),
    "rgbnt100": _split_folders(rgbnt100.NESTING, *rgbnt100.SPLITS),
    "msvr310": _split_folders(msvr310.NESTING, *msvr310.SPLITS),
}
