"""PETA: 19,000 images, 35 of 105 attributes (https://doi.org/10.1145/2647868.2654966).

PETA/PETA.mat     one MATLAB struct 1 x 1 of four fields, `peta`; by position:
    [0]  19000 x (4 + 105): labels 0 and 1 from column 4 on, columns 0 to 3 are not read
    [1]  names, cells 105 x 1 (of the columns from 4 on)
    [3]  five partitions, cells 5 x 1, each a struct 1 x 1 of three fields, by position train, val, test:
         columns N x 1 of image numbers from 1
PETA/images/00001.png ...     image n of the matrix's row n - 1
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ....common.foreign_text import shown_text
from ..readers.listing import descend
from .annotation import as_labels
from .attribute_set import PARTITIONS, AttributeSet
from .matlab_files import cell_of, columns_of, field_of, read_matlab, rows_of, texts
from .published_folder import annotation_file
from .vocabulary import Word, names_of, phrases_of, require_names

FILE, IMAGES, PARTITION_COUNT = "PETA.mat", "images", 5
#: Columns of the matrix in front of the labels.
FIRST_COLUMN = 4
#: Columns of the evaluated attributes, in the order of head, upper and lower body, shoes, carried things, age and sex.
COLUMNS = (
    *(10, 18, 19, 30, 15),
    *(7, 9, 11, 14, 21, 26, 29, 32, 33, 34),
    *(6, 8, 12, 25, 27, 31),
    *(13, 23, 24, 28),
    *(4, 5, 17, 20, 22),
    *(0, 1, 2, 3),
    16,
)

WORDS = tuple(
    Word(*pair)
    for pair in (
        ("accessoryHat", "hat"),
        ("accessoryMuffler", "muffler"),
        ("accessoryNothing", "nothing on the head"),
        ("accessorySunglasses", "sunglasses"),
        ("hairLong", "long hair"),
        ("upperBodyCasual", "casual upper wear"),
        ("upperBodyFormal", "formal upper wear"),
        ("upperBodyJacket", "jacket"),
        ("upperBodyLogo", "upper logo"),
        ("upperBodyPlaid", "upper plaid"),
        ("upperBodyShortSleeve", "short sleeve"),
        ("upperBodyThinStripes", "upper thin stripes"),
        ("upperBodyTshirt", "t-shirt"),
        ("upperBodyOther", "other upper wear"),
        ("upperBodyVNeck", "v-neck"),
        ("lowerBodyCasual", "casual lower wear"),
        ("lowerBodyFormal", "formal lower wear"),
        ("lowerBodyJeans", "jeans"),
        ("lowerBodyShorts", "shorts"),
        ("lowerBodyShortSkirt", "short skirt"),
        ("lowerBodyTrousers", "trousers"),
        ("footwearLeatherShoes", "leather shoes"),
        ("footwearSandals", "sandals"),
        ("footwearShoes", "other shoes"),
        ("footwearSneaker", "sneakers"),
        ("carryingBackpack", "backpack"),
        ("carryingOther", "carries other things"),
        ("carryingMessengerBag", "messenger bag"),
        ("carryingNothing", "carries nothing"),
        ("carryingPlasticBags", "plastic bags"),
        ("personalLess30", "age less 30"),
        ("personalLess45", "age 30 to 45"),
        ("personalLess60", "age 45 to 60"),
        ("personalLarger60", "age over 60"),
        ("personalMale", "male"),
    )
)
EXCLUSIVE = (("age_less_30", "age_30_to_45", "age_45_to_60", "age_over_60"),)


class Matrix(NamedTuple):
    """Labels of all images, uint8 (images, 35), in the order of WORDS; the file's partitions; the set's folder."""

    labels: npt.NDArray[np.uint8]
    partitions: Any
    folder: Path
    path: Path


def read_peta(root: Path, partition: int = 0) -> AttributeSet:
    """Read the annotation of PETA with one of its five random partitions.

    Raises:
        InputError: no such file, damaged, of another set, or inconsistent.
        SetupError: SciPy is not installed.
    """
    matrix = read_matrix(root)
    where = f"partition {partition} in {shown_text(matrix.path)}"
    chosen = cell_of(matrix.partitions, partition, where)
    rows = {
        part: rows_of(field_of(chosen, number, where), f"{part} of {where}") for number, part in enumerate(PARTITIONS)
    }
    return peta_set("peta", matrix, rows, f"{matrix.path}, partition {partition}")


def read_matrix(root: Path) -> Matrix:
    """Read labels and partitions of PETA.mat; errors as `read_peta`."""
    folder, path = annotation_file(root, "PETA", FILE)
    where = shown_text(path)
    content = read_matlab(path, ("peta",), "PETA")["peta"]
    names = texts(field_of(content, 1, where), f"names in {where}")
    require_names([names[column] for column in COLUMNS if column < len(names)], WORDS, where)
    matrix = f"the label matrix in {where}"
    columns = [FIRST_COLUMN + column for column in COLUMNS]
    labels = columns_of(field_of(content, 0, where), columns, FIRST_COLUMN + len(names), matrix)
    return Matrix(as_labels(labels, len(labels), len(COLUMNS), matrix), field_of(content, 3, where), folder, path)


def peta_set(name: str, matrix: Matrix, partitions: dict[str, npt.NDArray[np.int64]], source: str) -> AttributeSet:
    """Return the set of PETA's labels with the rows of a partition."""
    return AttributeSet(
        name,
        descend(matrix.folder, IMAGES),
        tuple(f"{number:05d}.png" for number in range(1, len(matrix.labels) + 1)),
        matrix.labels,
        names_of(WORDS),
        phrases_of(WORDS),
        EXCLUSIVE,
        partitions,
        source=source,
    )
