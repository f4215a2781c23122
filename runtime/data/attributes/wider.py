"""WIDER Attribute as crops of persons: 28,330 for training and 29,161 for test, 14 attributes.

    WIDER/Annotations/attr_name.txt             14 lines of names
    WIDER/Annotations/trainval_name.txt         a line for each crop, its path below split_image/
    WIDER/Annotations/trainval_gt_label.txt     a line for each crop: [1, -1, 0, ...], 14 numbers
    WIDER/Annotations/test_name.txt, test_gt_label.txt     the same
    WIDER/split_image/...

1 is positive, -1 negative and 0 not specified; as in the published evaluation the last two are negative. There is no
validation part.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ....common.files.open_files import read_limited
from ....common.foreign_text import shown_text
from ....common.formats.size_limits import size_limit
from ....errors import InputError
from ..readers.listing import descend
from .annotation import successive
from .attribute_set import TEST, TRAIN, VALIDATION, AttributeSet
from .published_folder import annotation_file
from .vocabulary import Word, names_of, phrases_of, require_names

log = logging.getLogger("mambapro")

FOLDER, IMAGES = "Annotations", "split_image"
NAMES_FILE, PARTS = "attr_name.txt", ("trainval", "test")
#: Bytes of a text file.
LARGEST = 2**26

WORDS = tuple(
    Word(*pair)
    for pair in (
        ("Male", "male"),
        ("longHair", "long hair"),
        ("sunglass", "sunglasses"),
        ("Hat", "hat"),
        ("tShirt", "t-shirt"),
        ("longSleeve", "long sleeve"),
        ("formal", "formal suit"),
        ("shorts", "shorts"),
        ("jeans", "jeans"),
        ("longPants", "long pants"),
        ("skirt", "skirt"),
        ("faceMask", "face mask"),
        ("logo", "logo"),
        ("stripe", "plaid"),
    )
)


def read_wider(root: Path, partition: int = 0) -> AttributeSet:
    """Read the annotation of WIDER; its one partition is that of its publishers.

    Raises:
        InputError: no such files, cut short, of another set, or inconsistent.
    """
    folder, path = annotation_file(root, "WIDER", FOLDER, NAMES_FILE)
    require_names(_lines(path), WORDS, shown_text(path))
    names, labels = [], []
    for part in PARTS:
        names.append(_lines(descend(path.parent, f"{part}_name.txt")))
        labels.append(_labels(descend(path.parent, f"{part}_gt_label.txt"), len(names[-1])))
    train, test = successive([len(part) for part in names])
    return AttributeSet(
        "wider",
        descend(folder, IMAGES),
        tuple(name.replace("\\", "/") for part in names for name in part),
        np.concatenate(labels),
        names_of(WORDS),
        phrases_of(WORDS),
        (),
        {TRAIN: train, VALIDATION: train[:0], TEST: test},
        source=str(path.parent),
    )


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file without the white space around them, and without empty ones at its end."""
    content = read_limited(path, size_limit(LARGEST), "annotation of WIDER")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown_text(path)} is not UTF-8 text ({shown_text(error)}). Convert it to UTF-8.") from error
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if not all(lines):
        raise InputError(f"{shown_text(path)} has an empty line, number {lines.index('') + 1}.")
    return lines


def _labels(path: Path, count: int) -> npt.NDArray[np.uint8]:
    lines, where, width = _lines(path), shown_text(path), len(WORDS)
    if len(lines) != count:
        raise InputError(f"{where} has {len(lines):,} lines for {count:,} names. One of the files is cut short.")
    rows = [line.removeprefix("[").removesuffix("]").split(",") for line in lines]
    for line, numbers in enumerate(rows, 1):
        if len(numbers) != width:
            raise InputError(f"{where}, line {line}: {len(numbers)} numbers for {width} attributes.")
    values = np.array([_number(text) for row in rows for text in row], np.int8).reshape(count, width)
    wrong = np.argwhere(values > 1)
    if len(wrong):
        row, column = (int(i) for i in wrong[0])
        raise InputError(
            f"{where} has {len(wrong):,} labels other than 1, 0 and -1; the first is "
            f"{shown_text(rows[row][column].strip(), 40)}, line {row + 1}, column {column + 1}."
        )
    unknown = int((values == 0).sum())
    if unknown:
        log.info("%s: %d labels are 0, not specified; they count as negative, as published", where, unknown)
    return (values > 0).astype(np.uint8)


def _number(text: str) -> int:
    """Return -1, 0 or 1; 2 for everything else."""
    return {"-1": -1, "0": 0, "1": 1}.get(text.strip(), 2)
