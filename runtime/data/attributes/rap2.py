"""RAPv2: 84,928 images, 54 of 152 attributes (https://doi.org/10.1109/TIP.2018.2878349).

    RAPv2/RAP_annotation/RAP_annotation.mat     one MATLAB struct 1 x 1, `RAP_annotation`, with the fields
        name                 image names, cells 84928 x 1
        attribute            names, cells 152 x 1
        data                 84928 x 152 labels 0, 1 and 2
        selected_attribute   1 x 54 columns of the evaluated attributes, from 1
        partition_attribute  five partitions, cells 1 x 5, each a struct 1 x 1 with the fields train_index, val_index,
                             test_index: rows 1 x N of image numbers from 1
    RAPv2/RAP_dataset/*.png

Labels 2 are not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ....common.foreign_text import shown_text
from ....errors import InputError
from ..readers.listing import descend
from .annotation import as_labels, tell_not_judged
from .attribute_set import PARTITIONS, AttributeSet
from .matlab_files import cell_of, columns_of, field_of, read_matlab, rows_of, texts
from .published_folder import annotation_file
from .rap import FILE, IMAGES, VARIABLE
from .vocabulary import Word, names_of, phrases_of, require_names

PARTITION_COUNT = 5
FIELDS = ("name", "attribute", "data", "selected_attribute", "partition_attribute")
#: Order of the evaluated attributes: positions in `selected_attribute`, from 0.
ORDER = (*range(10, 45), *range(1, 5), 0, *range(5, 10), *range(45, 54))

WORDS = tuple(
    Word(*pair)
    for pair in (
        ("hs-BaldHead", "bald head"),
        ("hs-LongHair", "long hair"),
        ("hs-BlackHair", "black hair"),
        ("hs-Hat", "hat"),
        ("hs-Glasses", "glasses"),
        ("ub-Shirt", "shirt"),
        ("ub-Sweater", "sweater"),
        ("ub-Vest", "vest"),
        ("ub-TShirt", "t-shirt"),
        ("ub-Cotton", "cotton coat"),
        ("ub-Jacket", "jacket"),
        ("ub-SuitUp", "suit"),
        ("ub-Tight", "tight top"),
        ("ub-ShortSleeve", "short sleeve"),
        ("ub-Others", "other upper wear"),
        ("lb-LongTrousers", "long trousers"),
        ("lb-Skirt", "skirt"),
        ("lb-ShortSkirt", "short skirt"),
        ("lb-Dress", "dress"),
        ("lb-Jeans", "jeans"),
        ("lb-TightTrousers", "tight trousers"),
        ("shoes-Leather", "leather shoes"),
        ("shoes-Sports", "sport shoes"),
        ("shoes-Boots", "boots"),
        ("shoes-Cloth", "cloth shoes"),
        ("shoes-Casual", "casual shoes"),
        ("shoes-Other", "other shoes"),
        ("attachment-Backpack", "backpack"),
        ("attachment-ShoulderBag", "shoulder bag"),
        ("attachment-HandBag", "hand bag"),
        ("attachment-Box", "box"),
        ("attachment-PlasticBag", "plastic bag"),
        ("attachment-PaperBag", "paper bag"),
        ("attachment-HandTrunk", "hand trunk"),
        ("attachment-Other", "other attachment"),
        ("AgeLess16", "age less 16"),
        ("Age17-30", "age 17 to 30"),
        ("Age31-45", "age 31 to 45"),
        ("Age46-60", "age 46 to 60"),
        ("Female", "female"),
        ("BodyFat", "fat body"),
        ("BodyNormal", "normal body"),
        ("BodyThin", "thin body"),
        ("Customer", "customer"),
        ("Employee", "employee"),
        ("action-Calling", "calling"),
        ("action-Talking", "talking"),
        ("action-Gathering", "gathering"),
        ("action-Holding", "holding"),
        ("action-Pushing", "pushing"),
        ("action-Pulling", "pulling"),
        ("action-CarryingByArm", "carrying by arm"),
        ("action-CarryingByHand", "carrying by hand"),
        ("action-Other", "other action"),
    )
)
EXCLUSIVE = (
    ("age_less_16", "age_17_to_30", "age_31_to_45", "age_46_to_60"),
    ("fat_body", "normal_body", "thin_body"),
)


class Matrix(NamedTuple):
    """Labels of all images, uint8 (images, 54), in the order of WORDS; their names; partitions; the set's folder."""

    images: tuple[str, ...]
    labels: npt.NDArray[np.uint8]
    partitions: Any
    folder: Path
    path: Path


def read_rapv2(root: Path, partition: int = 0) -> AttributeSet:
    """Read the annotation of RAPv2 with one of its five random partitions.

    Raises:
        InputError: no such file, damaged, of another set, or inconsistent.
        SetupError: SciPy is not installed.
    """
    matrix = read_matrix(root)
    where = f"partition {partition} in {shown_text(matrix.path)}"
    chosen = cell_of(matrix.partitions, partition, where)
    rows = {part: rows_of(field_of(chosen, f"{part}_index", where), f"{part} of {where}") for part in PARTITIONS}
    return rap2_set("rapv2", matrix, rows, range(len(WORDS)), f"{matrix.path}, partition {partition}")


def read_matrix(root: Path) -> Matrix:
    """Read labels, image names and partitions of RAPv2's RAP_annotation.mat; errors as `read_rapv2`."""
    folder, path = annotation_file(root, "RAPv2", *FILE)
    where = shown_text(path)
    content = read_matlab(path, (VARIABLE,), "RAPv2")[VARIABLE]
    if "selected_attribute" not in (content.dtype.names or ()):
        raise InputError(f"{where} has no field selected_attribute, so it is not of RAPv2. Is it --dataset rapv1?")
    names, images = (texts(field_of(content, field, where), f"{field} in {where}") for field in ("attribute", "name"))
    selected = rows_of(field_of(content, "selected_attribute", where), f"selected_attribute in {where}")
    if len(selected) != len(WORDS) or selected.max() >= len(names):
        raise InputError(
            f"{where} names {len(names)} attributes and selects {len(selected)}, up to number "
            f"{int(selected.max()) + 1}; RAPv2 selects {len(WORDS)} of 152. It is of another set, or cut short."
        )
    columns = selected[list(ORDER)].tolist()
    require_names([names[column] for column in columns], WORDS, where)
    matrix = f"data in {where}"
    values = columns_of(field_of(content, "data", where), columns, len(names), matrix)
    labels = as_labels(values, len(images), len(WORDS), matrix)
    tell_not_judged(labels, where)
    return Matrix(images, labels, field_of(content, "partition_attribute", where), folder, path)


def rap2_set(
    name: str,
    matrix: Matrix,
    partitions: Mapping[str, npt.NDArray[np.int64]],
    columns: Sequence[int],
    source: str,
) -> AttributeSet:
    """Return the set of some of RAPv2's attributes with the rows of a partition."""
    words = [WORDS[column] for column in columns]
    names = names_of(words)
    return AttributeSet(
        name,
        descend(matrix.folder, IMAGES),
        matrix.images,
        matrix.labels[:, list(columns)],
        names,
        phrases_of(words),
        tuple(tuple(member for member in group if member in names) for group in EXCLUSIVE),
        partitions,
        source=source,
    )
