"""MSVR310: vehicles in eight views and several scenes; gallery images of the query's own scene are junk."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..sample import Benchmark, Sample
from .listing import descend, find_dataset, is_foreign, paired_images, parse_names, require_samples

IMAGE_SIZE = (128, 256)
NESTING = ("msvr310",)
SPLITS = ("bounding_box_train", "query3", "bounding_box_test")
MODALITY_FOLDERS = ("vis", "ni", "th")

# Identity in characters 0..3, scene in 6..8, view in 11.
_NAME = re.compile(r"(\d{4})_.(\d{3})_.([0-7])(?!\d)")
_RULE = "identity, scene and view 0..7, like 0002_s002_v0_000.jpg"


def read_msvr310(root: str | os.PathLike[str], test_only: bool = False) -> Benchmark:
    """Read `root`/msvr310/{bounding_box_train,query3,bounding_box_test}/{id}/{vis,ni,th}, or msvr310 itself.

    The view, 0..7 as in the name, is used as the camera. `test_only` omits the training part, which may be missing.

    Raises:
        InputError: wrong layout, a name that cannot be parsed, a missing modality file, an empty folder.
    """
    folders = find_dataset(root, "MSVR310", NESTING, SPLITS, SPLITS[1:] if test_only else SPLITS)
    train, query, gallery = (_read_split(folders[split]) if split in folders else () for split in SPLITS)
    return Benchmark("msvr310", train=train, query=query, gallery=gallery, junk="scene", image_size=IMAGE_SIZE)


def parse_name(name: str) -> tuple[int, int, int] | None:
    """Return (identity, view, scene) of a file name, or None."""
    match = _NAME.match(name)
    return (int(match[1]), int(match[3]), int(match[2])) if match else None


def _read_split(folder: Path) -> tuple[Sample, ...]:
    samples: list[Sample] = []
    for identity in sorted(e for e in folder.iterdir() if e.is_dir() and not is_foreign(e.name)):
        samples += _read_identity(identity)
    return require_samples(
        samples, folder, "a folder per identity with vis/, ni/ and th/, like 0002/vis/0002_s002_v0_000.jpg"
    )


def _read_identity(folder: Path) -> list[Sample]:
    pairs = paired_images([descend(folder, modality) for modality in MODALITY_FOLDERS])
    labels = parse_names((name for name, _ in pairs), parse_name, folder, _RULE)
    return [
        Sample(Path(name).stem, sources, identity, view, scene)
        for (name, sources), (identity, view, scene) in zip(pairs, labels, strict=True)
    ]
