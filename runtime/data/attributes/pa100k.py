"""PA100K: 100,000 images, 26 attributes (https://arxiv.org/abs/1709.09930).

PA100K/annotation.mat     MATLAB variables, N images of a part:
{train,val,test}_images_name    cells N x 1 of "000001.jpg"
{train,val,test}_label          N x 26 of 0 and 1
attributes                      cells 26 x 1 of names
PA100K/data/000001.jpg ...
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ....common.foreign_text import shown_text
from ..readers.listing import descend
from .annotation import as_labels, successive
from .attribute_set import PARTITIONS, AttributeSet
from .matlab_files import read_matlab, texts, whole_numbers
from .published_folder import annotation_file
from .vocabulary import Word, names_of, phrases_of, require_names

FILE, IMAGES = "annotation.mat", "data"

WORDS = tuple(
    Word(*pair)
    for pair in (
        ("Female", "female"),
        ("AgeOver60", "age over 60"),
        ("Age18-60", "age 18 to 60"),
        ("AgeLess18", "age less 18"),
        ("Front", "front"),
        ("Side", "side"),
        ("Back", "back"),
        ("Hat", "hat"),
        ("Glasses", "glasses"),
        ("HandBag", "hand bag"),
        ("ShoulderBag", "shoulder bag"),
        ("Backpack", "backpack"),
        ("HoldObjectsInFront", "hold objects in front"),
        ("ShortSleeve", "short sleeve"),
        ("LongSleeve", "long sleeve"),
        ("UpperStride", "upper stride"),
        ("UpperLogo", "upper logo"),
        ("UpperPlaid", "upper plaid"),
        ("UpperSplice", "upper splice"),
        ("LowerStripe", "lower stripe"),
        ("LowerPattern", "lower pattern"),
        ("LongCoat", "long coat"),
        ("Trousers", "trousers"),
        ("Shorts", "shorts"),
        ("Skirt&Dress", "skirt and dress"),
        ("boots", "boots"),
    )
)
EXCLUSIVE = (("age_over_60", "age_18_to_60", "age_less_18"), ("front", "side", "back"))


def read_pa100k(root: Path, partition: int = 0) -> AttributeSet:
    """Read the annotation of PA100K; its one partition is that of its publishers.

    Raises:
        InputError: no such file, damaged, of another set, or inconsistent.
        SetupError: SciPy is not installed.
    """
    folder, path = annotation_file(root, "PA100K", FILE)
    fields = [f"{part}_{kind}" for part in PARTITIONS for kind in ("images_name", "label")]
    content = read_matlab(path, (*fields, "attributes"), "PA100K")
    where = shown_text(path)
    require_names(texts(content["attributes"], f"attributes in {where}"), WORDS, where)
    images, labels = [], []
    for part in PARTITIONS:
        names = texts(content[f"{part}_images_name"], f"{part}_images_name in {where}")
        field = f"{part}_label in {where}"
        labels.append(as_labels(whole_numbers(content[f"{part}_label"], field), len(names), len(WORDS), field))
        images.append(names)
    return AttributeSet(
        "pa100k",
        descend(folder, IMAGES),
        tuple(name for part in images for name in part),
        np.concatenate(labels),
        names_of(WORDS),
        phrases_of(WORDS),
        EXCLUSIVE,
        dict(zip(PARTITIONS, successive([len(part) for part in images]), strict=True)),
        source=str(path),
    )
