"""RGBNT201: persons, four cameras, one file of the same name per modality; all test images are queries."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..sample import Benchmark, Sample
from .listing import descend, find_dataset, paired_images, parse_names, require_samples

IMAGE_SIZE = (256, 128)
NESTING = ("RGBNT201",)
SPLITS = ("train_171", "test")
MODALITY_FOLDERS = ("RGB", "NI", "TI")

# Six digits of identity; the camera is the fourth character of the second field.
_NAME = re.compile(r"(\d{6})_[^_]{3}([1-9])(?!\d)")
_RULE = "six digits of identity and a camera counted from 1, like 000258_cam1_0_00.jpg"


def read_rgbnt201(root: str | os.PathLike[str], test_only: bool = False) -> Benchmark:
    """Read `root`/RGBNT201/{train_171,test}/{RGB,NI,TI}; `root` may be the RGBNT201 folder itself.

    `test_only` omits the training part, which may be missing.

    Raises:
        InputError: wrong layout, a name that cannot be parsed, a missing modality file, an empty folder.
    """
    folders = find_dataset(root, "RGBNT201", NESTING, SPLITS, SPLITS[1:] if test_only else SPLITS)
    train, test = (_read_split(folders[split]) if split in folders else () for split in SPLITS)
    return Benchmark("rgbnt201", train=train, query=test, gallery=test, junk="camera", image_size=IMAGE_SIZE)


def parse_name(name: str) -> tuple[int, int] | None:
    """Return (identity, zero-based camera) of a file name, or None."""
    match = _NAME.match(name)
    return (int(match[1]), int(match[2]) - 1) if match else None


def _read_split(folder: Path) -> tuple[Sample, ...]:
    pairs = paired_images([descend(folder, modality) for modality in MODALITY_FOLDERS])
    labels = parse_names((name for name, _ in pairs), parse_name, folder, _RULE)
    samples = [
        Sample(Path(name).stem, sources, identity, camera)
        for (name, sources), (identity, camera) in zip(pairs, labels, strict=True)
    ]
    return require_samples(samples, folder, "images in RGB/, NI/ and TI/, like RGB/000258_cam1_0_00.jpg")
