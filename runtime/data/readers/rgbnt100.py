"""RGBNT100: vehicles, eight cameras; one file is a strip of the three images side by side."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ....common.foreign_text import escaped
from ....errors import InputError
from ..image_files import image_size
from ..modalities import NIR, RGB, TIR
from ..sample import Benchmark, ImageSource, Sample
from .listing import find_dataset, image_names, parse_names, require_samples

IMAGE_SIZE = (128, 256)
NESTING = ("RGBNT100", "rgbir")
SPLITS = ("bounding_box_train", "query", "bounding_box_test")
STRIP_SIZE = (768, 128)
BOXES = {RGB: (0, 0, 256, 128), NIR: (256, 0, 512, 128), TIR: (512, 0, 768, 128)}
MAX_IDENTITY, MAX_CAMERA = 600, 8

# Matched on the file name alone: a parent folder such as 123_c4 must not match.
_NAME = re.compile(r"(\d+)_c(\d+)")
_RULE = f"an identity 1..{MAX_IDENTITY} and a camera 1..{MAX_CAMERA}, like 0502_c0001_000.jpg"


def read_rgbnt100(root: str | os.PathLike[str], test_only: bool = False) -> Benchmark:
    """Read `root`/RGBNT100/rgbir/{bounding_box_train,query,bounding_box_test}, or from one of those two.

    Each sample's sources are boxes of one strip. The size of the first strip of each folder is checked. `test_only`
    omits the training part, which may be missing.

    Raises:
        InputError: wrong layout, a name that cannot be parsed, an empty folder, strips of another size.
    """
    folders = find_dataset(root, "RGBNT100", NESTING, SPLITS, SPLITS[1:] if test_only else SPLITS)
    train, query, gallery = (_read_split(folders[split]) if split in folders else () for split in SPLITS)
    return Benchmark("rgbnt100", train=train, query=query, gallery=gallery, junk="camera", image_size=IMAGE_SIZE)


def parse_name(name: str) -> tuple[int, int] | None:
    """Return (identity, zero-based camera) of a file name, or None."""
    match = _NAME.match(name)
    if match is None:
        return None
    identity, camera = int(match[1]), int(match[2])
    if not (1 <= identity <= MAX_IDENTITY and 1 <= camera <= MAX_CAMERA):
        return None
    return identity, camera - 1


def _read_split(folder: Path) -> tuple[Sample, ...]:
    names = image_names(folder)
    labels = parse_names(names, parse_name, folder, _RULE)
    samples = [
        Sample(Path(name).stem, {m: ImageSource(folder / name, box) for m, box in BOXES.items()}, identity, camera)
        for name, (identity, camera) in zip(names, labels, strict=True)
    ]
    found = require_samples(samples, folder, "strips of the three images, like 0502_c0001_000.jpg")
    _check_strip(found[0].sources[RGB].path)
    return found


def _check_strip(path: Path) -> None:
    size = image_size(path)
    if size != STRIP_SIZE:
        raise InputError(
            f"{escaped(path)} is {size[0]}x{size[1]} pixels. RGBNT100 strips are {STRIP_SIZE[0]}x{STRIP_SIZE[1]}: "
            "rgb, nir and tir side by side, 256x128 each. Rebuild the strips in that size."
        )
