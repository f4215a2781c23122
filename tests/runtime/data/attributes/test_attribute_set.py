"""A set of labeled images: its samples, and what it rejects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.data.attributes.attribute_set import AttributeSet
from mambapro.runtime.data.sample import AttributeNames, ImageSource

ROWS = [np.array(rows, np.int64) for rows in ([2, 0], [], [1])]


def small(**changes: Any) -> AttributeSet:
    """Three images with two attributes."""
    labels = np.array([[0, 1], [2, 1], [1, 0]], np.uint8)
    whole: dict[str, Any] = {
        "name": "small",
        "root": Path("/images"),
        "images": ("a.jpg", "b/c.jpg", "d.jpg"),
        "labels": labels,
        "attributes": ("hat", "long_hair"),
        "words": ("hat", "long hair"),
        "partitions": dict(zip(("train", "val", "test"), ROWS, strict=True)),
    }
    return AttributeSet(**{**whole, **changes})


def test_samples() -> None:
    """Samples follow the partition's order, and have an RGB image and the labels by name."""
    samples = small().samples("train")

    assert [sample.name for sample in samples] == ["d.jpg", "a.jpg"]
    assert samples[0].sources == {"rgb": ImageSource(Path("/images/d.jpg"))}
    assert [dict(sample.labels) for sample in samples] == [{"hat": 1, "long_hair": 0}, {"hat": 0, "long_hair": 1}]


def test_what_is_not_judged_has_no_label() -> None:
    """A label 2 is missing among the labels of its sample."""
    labels = small().samples("test")[0].labels

    assert (dict(labels), len(labels), labels.get("hat"), labels.get("hat", -1)) == ({"long_hair": 1}, 1, None, -1)
    assert "hat" not in labels and "long_hair" in labels and "unknown" not in labels
    with pytest.raises(KeyError):
        labels["hat"]


def test_benchmark() -> None:
    """The test part is the query; without it and the validation part only where nothing else is asked for."""
    whole, device = small().benchmark(), small().benchmark(test_only=True)

    assert [len(part) for part in (whole.train, whole.validation, whole.query, whole.gallery)] == [2, 0, 1, 0]
    assert [len(part) for part in (device.train, device.validation, device.query)] == [0, 0, 1]
    assert whole.attributes == AttributeNames(("hat", "long_hair"), ("hat", "long hair"))
    assert whole.image_size == (224, 224)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attributes": ("hat", "hat")}, "names attributes twice: hat"),
        ({"attributes": (), "words": (), "labels": np.zeros((3, 0), np.uint8)}, "has 0 attributes"),
        ({"words": ("hat",)}, "1 words for 2 attributes"),
        ({"words": ("hat", " ")}, "is no name"),
        ({"exclusive": (("hat", "cap"),)}, "puts cap into a group"),
        ({"exclusive": (("hat", "long_hair"), ("hat",))}, "has hat as a group .* two or more different attributes"),
        ({"exclusive": (("hat", "hat"),)}, "has hat, hat as a group .* two or more different attributes"),
        ({"exclusive": ((),)}, "has no attribute as a group"),
        ({"labels": np.zeros((3, 3), np.uint8)}, r"shape \(3, 3\)"),
        ({"labels": np.array([[0, 1], [3, 1], [9, 0]], np.uint8)}, r"2 labels other than 0, 1 and 2.*3, hat of b/c"),
        ({"images": ("a.jpg", "a.jpg", "d.jpg")}, "lists 1 images twice: a.jpg"),
        ({"images": ("a.jpg", "../c.jpg", "d.jpg")}, "not below the images' folder: ../c.jpg"),
        ({"images": ("a.jpg", "/etc/c.jpg", "C:/d.jpg")}, "has 2 image paths"),
        ({"images": ("a.jpg", "b\0.jpg", "b/./d.jpg")}, "has 2 image paths"),
    ],
)
def test_rejected(changes: dict[str, Any], message: str) -> None:
    """InputError names the set and what is wrong with it."""
    with pytest.raises(InputError, match=message):
        small(**changes)


@pytest.mark.parametrize(
    ("partition", "rows", "message"),
    [
        ("train", [0, 0], "train has 1 images more than once: a.jpg"),
        ("test", [2], "1 images are in more than one of train, val and test: d.jpg"),
        ("test", [3, -1], "test has 2 rows beyond the 3 images: 3, -1"),
    ],
)
def test_rejected_partitions(partition: str, rows: list[int], message: str) -> None:
    """InputError for rows twice, rows in two partitions and rows beyond the images."""
    partitions = {**small().partitions, partition: np.array(rows, np.int64)}

    with pytest.raises(InputError, match=message):
        replace(small(), partitions=partitions)


def test_ten_are_shown() -> None:
    """Of many images in two partitions all are counted and ten are shown."""
    images = tuple(f"{number:02d}.jpg" for number in range(20))
    rows = np.arange(20, dtype=np.int64)
    labels = np.zeros((20, 2), np.uint8)

    with pytest.raises(InputError, match=r"20 images are in more than one of.*: 00.jpg, .*09.jpg and 10 more"):
        small(images=images, labels=labels, partitions={"train": rows, "val": rows[:0], "test": rows})
