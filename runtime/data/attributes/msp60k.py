"""MSP60K: 60,122 images of eight scenes, 57 attributes (https://arxiv.org/abs/2408.09720).

    MSP60K/random_split.json      {"train": {image: [57 labels]}, "val": {...}, "test": {...}}
    MSP60K/Multi_Sences2.json     {"split": {"split_1": {"trainval": [scenes], "test": [scenes]}, ...},
                                   "image_names": {scene: [images]}}; other entries are not read
    MSP60K/merged_labels.json     {image: [57 labels]}
    MSP60K/images/...

Partition 0 is the random one, of random_split.json alone; 1 and 2 are those across scenes, split_1 and split_2 of
Multi_Sences2.json, which have no validation part.

The columns of the files are FILE_ORDER; the set has the order of the published evaluation. The column list there has 9
in the place of 19, by which "short sleeves" is "black hair" a second time; here it is column 19.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....common.foreign_text import shown_text
from ....common.formats.json_files import read_json
from ....common.formats.size_limits import size_limit
from ....errors import InputError
from ..readers.listing import descend, shown
from .annotation import as_labels, successive, tell_not_judged
from .attribute_set import PARTITIONS, TEST, TRAIN, VALIDATION, AttributeSet
from .published_folder import annotation_file
from .vocabulary import Word, names_of, phrases_of

log = logging.getLogger("mambapro")

RANDOM, SCENES, LABELS, IMAGES, PARTITION_COUNT = (
    "random_split.json",
    "Multi_Sences2.json",
    "merged_labels.json",
    "images",
    3,
)
#: Bytes of a file; indented ones take 60 MB.
LARGEST = 2**29

#: Attributes in the order of the files' columns.
FILE_ORDER = tuple(
    Word(*pair)
    for pair in (
        ("Female", "female"),
        ("Child", "child"),
        ("Adult", "adult"),
        ("Elderly", "elderly"),
        ("Fat", "fat body"),
        ("Normal", "normal body"),
        ("Thin", "thin body"),
        ("Bald", "bald head"),
        ("Long hair", "long hair"),
        ("Black hair", "black hair"),
        ("Hat", "hat"),
        ("Glasses", "glasses"),
        ("Mask", "mask"),
        ("Helmet", "helmet"),
        ("Scarf", "scarf"),
        ("Gloves", "gloves"),
        ("Front", "front"),
        ("Back", "back"),
        ("Side", "side"),
        ("Short sleeves", "short sleeve"),
        ("Long sleeves", "long sleeve"),
        ("Shirt", "shirt"),
        ("Jacket", "jacket"),
        ("Suit", "suit"),
        ("Vest", "vest"),
        ("Cotton-padded coat", "cotton coat"),
        ("Coat", "coat"),
        ("Graduation gown", "graduation gown"),
        ("Chef uniform", "chef uniform"),
        ("Trousers", "trousers"),
        ("Shorts", "shorts"),
        ("Jeans", "jeans"),
        ("Long skirt", "long skirt"),
        ("Short skirt", "short skirt"),
        ("Dress", "dress"),
        ("Leather shoes", "leather shoes"),
        ("Casual shoes", "casual shoes"),
        ("Boots", "boots"),
        ("Sandals", "sandals"),
        ("Other shoes", "other shoes"),
        ("Backpack", "backpack"),
        ("Shoulder bag", "shoulder bag"),
        ("Handbag", "hand bag"),
        ("Plastic bag", "plastic bag"),
        ("Paper bag", "paper bag"),
        ("Suitcase", "suitcase"),
        ("Others", "other things carried"),
        ("Making a phone call", "calling"),
        ("Smoking", "smoking"),
        ("Hands behind back", "hands behind back"),
        ("Arms crossed", "arms crossed"),
        ("Walking", "walking"),
        ("Running", "running"),
        ("Standing", "standing"),
        ("Riding a bicycle", "riding a bicycle"),
        ("Riding an scooter", "riding a scooter"),
        ("Riding a skateboard", "riding a skateboard"),
    )
)
#: Columns of the files in the order of the set: head, upper and lower body, shoes, bags, sex, age, body, view, action.
COLUMNS = (*range(7, 16), *range(19, 47), *range(7), *range(16, 19), *range(47, 57))
WORDS = tuple(FILE_ORDER[column] for column in COLUMNS)
EXCLUSIVE = (("child", "adult", "elderly"), ("fat_body", "normal_body", "thin_body"), ("front", "back", "side"))


def read_msp60k(root: Path, partition: int = 0) -> AttributeSet:
    """Read the annotation of MSP60K: the random partition, or one across scenes.

    Raises:
        InputError: no such files, cut short, of another set, or inconsistent.
    """
    folder, path = annotation_file(root, "MSP60K", SCENES if partition else RANDOM)
    content = _read(path)
    images, rows, labels = _across_scenes(path, content, partition) if partition else _random(path, content)
    log.info(
        "%s: short sleeves are column 19 of the file; the published list of columns has 9 there, black hair again",
        shown_text(path),
    )
    tell_not_judged(labels, shown_text(path))
    return AttributeSet(
        "msp60k",
        descend(folder, IMAGES),
        tuple(images),
        labels,
        names_of(WORDS),
        phrases_of(WORDS),
        EXCLUSIVE,
        rows,
        source=f"{path}, partition {partition}",
    )


Parts = tuple[list[str], dict[str, npt.NDArray[np.int64]], npt.NDArray[np.uint8]]


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path, "annotation of MSP60K", InputError, limit=size_limit(LARGEST), unique=True)
    if not isinstance(content, dict):
        raise InputError(f"{shown_text(path)} holds a {type(content).__name__}; an object is expected.")
    return content


def _random(path: Path, content: Mapping[str, Any]) -> Parts:
    where = shown_text(path)
    parts = [_entry(content, part, dict, where) for part in PARTITIONS]
    images = [image for part in parts for image in part]
    rows = dict(zip(PARTITIONS, successive([len(part) for part in parts]), strict=True))
    return images, rows, _labels([labels for part in parts for labels in part.values()], images, where)


def _across_scenes(path: Path, content: Mapping[str, Any], partition: int) -> Parts:
    where, name = shown_text(path), f"split_{partition}"
    split = _entry(_entry(content, "split", dict, where), name, dict, f"split in {where}")
    by_scene = _entry(content, "image_names", dict, where)
    parts = [
        [image for scene in _entry(split, part, list, f"{name} in {where}") for image in _scene(by_scene, scene, where)]
        for part in ("trainval", "test")
    ]
    images = [image for part in parts for image in part]
    train, test = successive([len(part) for part in parts])
    rows = {TRAIN: train, VALIDATION: train[:0], TEST: test}
    source = descend(path.parent, LABELS)
    labels = _read(source)
    missing = [image for image in images if image not in labels]
    if missing:
        raise InputError(f"{shown_text(source)} has no labels of {len(missing):,} images: {shown(missing)}.")
    return images, rows, _labels([labels[image] for image in images], images, shown_text(source))


def _scene(by_scene: Mapping[str, Any], scene: Any, where: str) -> list[str]:
    images = _entry(by_scene, scene, list, f"image_names in {where}")
    if not all(type(image) is str for image in images):
        raise InputError(f"{where}: the images of {shown_text(scene, 60)} are no list of texts.")
    return images


def _entry(content: Mapping[str, Any], key: Any, kind: type, where: str) -> Any:
    value = content.get(key) if isinstance(key, str) else None
    if type(value) is not kind:
        what = "list" if kind is list else "object"
        raise InputError(
            f"{where} has no {what} {shown_text(key, 60)}, and holds {shown(list(content))}. It is of another set, or "
            "cut short."
        )
    return value


def _labels(rows: Sequence[Any], images: Sequence[str], where: str) -> npt.NDArray[np.uint8]:
    width = len(FILE_ORDER)
    for image, row in zip(images, rows, strict=True):
        if type(row) is not list or len(row) != width:
            has = f"{len(row)} labels" if isinstance(row, list) else "no list of labels"
            raise InputError(f"{where}: {shown_text(image)} has {has}; there are {width} attributes.")
    # values that are no small whole numbers are rejected with the others
    values = [label if type(label) is int and 0 <= label < 100 else 100 for row in rows for label in row]
    labels = np.array(values, np.int64).reshape(len(rows), width)
    return as_labels(labels[:, list(COLUMNS)], len(rows), width, where)
