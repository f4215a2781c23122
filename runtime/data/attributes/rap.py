"""RAPv1: 41,585 images, 51 of 92 attributes (https://arxiv.org/abs/1603.07054).

    RAPv1/RAP_annotation/RAP_annotation.mat     one MATLAB struct 1 x 1, `RAP_annotation`; by position:
        [0]  five partitions, cells 5 x 1, each a struct 1 x 1 of two fields, by position training, test:
             rows 1 x N of image numbers from 1
        [1]  41585 x 92 labels 0, 1 and 2; the first 51 columns are read
        [3]  names, cells 92 x 1
        [5]  image names, cells 41585 x 1
    RAPv1/RAP_dataset/*.png

There is no validation part. Labels 2 are not judged.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from ....common.foreign_text import shown_text
from ....errors import InputError
from ..readers.listing import descend
from .annotation import as_labels, tell_not_judged
from .attribute_set import TEST, TRAIN, VALIDATION, AttributeSet
from .matlab_files import cell_of, columns_of, field_of, read_matlab, rows_of, texts
from .published_folder import annotation_file
from .vocabulary import Word, names_of, phrases_of, require_names

log = logging.getLogger("mambapro")

FILE, IMAGES, PARTITION_COUNT = ("RAP_annotation", "RAP_annotation.mat"), "RAP_dataset", 5
VARIABLE = "RAP_annotation"

WORDS = tuple(
    Word(*pair)
    for pair in (
        ("Female", "female"),
        ("AgeLess16", "age less 16"),
        ("Age17-30", "age 17 to 30"),
        ("Age31-45", "age 31 to 45"),
        ("BodyFat", "fat body"),
        ("BodyNormal", "normal body"),
        ("BodyThin", "thin body"),
        ("Customer", "customer"),
        ("Clerk", "clerk"),
        ("hs-BaldHead", "bald head"),
        ("hs-LongHair", "long hair"),
        ("hs-BlackHair", "black hair"),
        ("hs-Hat", "hat"),
        ("hs-Glasses", "glasses"),
        ("hs-Muffler", "muffler"),
        ("ub-Shirt", "shirt"),
        ("ub-Sweater", "sweater"),
        ("ub-Vest", "vest"),
        ("ub-TShirt", "t-shirt"),
        ("ub-Cotton", "cotton coat"),
        ("ub-Jacket", "jacket"),
        ("ub-SuitUp", "suit"),
        ("ub-Tight", "tight top"),
        ("ub-ShortSleeve", "short sleeve"),
        ("lb-LongTrousers", "long trousers"),
        ("lb-Skirt", "skirt"),
        ("lb-ShortSkirt", "short skirt"),
        ("lb-Dress", "dress"),
        ("lb-Jeans", "jeans"),
        ("lb-TightTrousers", "tight trousers"),
        ("shoes-Leather", "leather shoes"),
        ("shoes-Sport", "sport shoes"),
        ("shoes-Boots", "boots"),
        ("shoes-Cloth", "cloth shoes"),
        ("shoes-Casual", "casual shoes"),
        ("attach-Backpack", "backpack"),
        ("attach-SingleShoulderBag", "shoulder bag"),
        ("attach-HandBag", "hand bag"),
        ("attach-Box", "box"),
        ("attach-PlasticBag", "plastic bag"),
        ("attach-PaperBag", "paper bag"),
        ("attach-HandTrunk", "hand trunk"),
        ("attach-Other", "other attachment"),
        ("action-Calling", "calling"),
        ("action-Talking", "talking"),
        ("action-Gathering", "gathering"),
        ("action-Holding", "holding"),
        ("action-Pusing", "pushing"),
        ("action-Pulling", "pulling"),
        ("action-CarrybyArm", "carrying by arm"),
        ("action-CarrybyHand", "carrying by hand"),
    )
)
EXCLUSIVE = (("age_less_16", "age_17_to_30", "age_31_to_45"), ("fat_body", "normal_body", "thin_body"))


def read_rapv1(root: Path, partition: int = 0) -> AttributeSet:
    """Read the annotation of RAPv1 with one of its five random partitions.

    Raises:
        InputError: no such file, damaged, of another set, or inconsistent.
        SetupError: SciPy is not installed.
    """
    folder, path = annotation_file(root, "RAPv1", *FILE)
    where = shown_text(path)
    content = read_matlab(path, (VARIABLE,), "RAPv1")[VARIABLE]
    if "selected_attribute" in (content.dtype.names or ()):
        raise InputError(f"{where} is the annotation of RAPv2, not of RAPv1. Give --dataset rapv2 or rap-zs.")
    names = texts(field_of(content, 3, where), f"names in {where}")
    require_names(names[: len(WORDS)], WORDS, where)
    images = texts(field_of(content, 5, where), f"image names in {where}")
    matrix = f"the label matrix in {where}"
    values = columns_of(field_of(content, 1, where), range(len(WORDS)), len(names), matrix)
    labels = as_labels(values, len(images), len(WORDS), matrix)
    tell_not_judged(labels, where)
    chosen = cell_of(field_of(content, 0, where), partition, f"partitions in {where}")
    train, test = (
        rows_of(field_of(chosen, number, where), f"{part} of partition {partition} in {where}")
        for number, part in enumerate((TRAIN, TEST))
    )
    return AttributeSet(
        "rapv1",
        descend(folder, IMAGES),
        images,
        labels,
        names_of(WORDS),
        phrases_of(WORDS),
        EXCLUSIVE,
        {TRAIN: train, VALIDATION: np.zeros(0, np.int64), TEST: test},
        source=f"{path}, partition {partition}",
    )
