"""The toolkit's format: what is written is read, and what is wrong is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.data.attributes.attribute_file import read_attribute_file, write_attribute_file
from mambapro.runtime.data.readers.benchmarks import read_benchmark

CONTENT = {
    "format": "mambapro.attributes/1",
    "name": "streets",
    "attributes": ["hat", "long_hair", "boots"],
    "images": ["a.jpg", "b/c.jpg"],
    "labels": ["012", "100"],
    "partitions": {"train": [1], "test": [0]},
}


def written(folder: Path, **changes: Any) -> Path:
    """The file with some fields changed, or removed where the value is None."""
    content = {key: value for key, value in {**CONTENT, **changes}.items() if value is not None}
    path = folder / "attributes.json"
    path.write_text(json.dumps(content))
    return path


def test_fields(tmp_path: Path) -> None:
    """Digits are labels; words, groups and root have defaults; a partition that is not there is empty."""
    images = read_attribute_file(written(tmp_path))

    assert images.labels.tolist() == [[0, 1, 2], [1, 0, 0]] and images.labels.dtype == np.uint8
    assert (images.name, images.root, images.images) == ("streets", tmp_path, ("a.jpg", "b/c.jpg"))
    assert images.words == ("hat", "long hair", "boots") and images.exclusive == ()
    assert {name: rows.tolist() for name, rows in images.partitions.items()} == {"train": [1], "val": [], "test": [0]}


def test_lists_of_numbers(tmp_path: Path) -> None:
    """Labels may be lists of whole numbers."""
    images = read_attribute_file(written(tmp_path, labels=[[0, 1, 2], [1, 0, 0]]))

    assert images.labels.tolist() == [[0, 1, 2], [1, 0, 0]]


def test_round_trip(tmp_path: Path) -> None:
    """A set that is written into another folder is read as it was, its images where they are."""
    changes = {"words": ["a hat", "lange Haare, größer", "boots"], "exclusive": [["hat", "boots"]], "root": "images"}
    first = read_attribute_file(written(tmp_path, **changes))

    write_attribute_file(tmp_path / "other" / "streets.json", first)
    second = read_attribute_file(tmp_path / "other" / "streets.json")

    assert (second.name, second.images, second.attributes) == (first.name, first.images, first.attributes)
    assert (second.words, second.exclusive) == (first.words, first.exclusive)
    assert np.array_equal(second.labels, first.labels)
    assert all(np.array_equal(second.partitions[part], rows) for part, rows in first.partitions.items())
    assert second.root.resolve() == (tmp_path / "images").resolve()


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    """Without overwrite nothing is replaced."""
    images = read_attribute_file(written(tmp_path))

    with pytest.raises(InputError, match="exists"):
        write_attribute_file(tmp_path / "attributes.json", images)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "mambapro.attributes/2"}, r"format mambapro.attributes/2; mambapro.attributes/1 is read"),
        ({"format": None}, "format None"),
        ({"name": None}, "name is missing"),
        ({"surprise": 1}, "surprise is unknown"),
        ({"attributes": ["hat", 2, "boots"]}, r"attributes\[1\] must be a string, not 2"),
        ({"labels": None}, "no list of labels for 2 images"),
        ({"labels": ["012"]}, "1 rows of labels for 2 images"),
        ({"labels": ["012", "10"]}, "labels of image 1 are 2 digits for 3 attributes"),
        ({"labels": [[0, 1, 2], [1, 0]]}, "labels of image 1 are 2 numbers for 3 attributes"),
        ({"labels": ["012", "130"]}, "1 labels other than 0, 1 and 2.*of image 1"),
        ({"labels": ["012", "1é0"]}, "labels other than 0, 1 and 2"),
        ({"labels": [[0, 1, 2], [1, -1, True]]}, "2 labels other than 0, 1 and 2.*of image 1"),
        ({"labels": ["012", [1, 0, 0]]}, "a text of digits"),
        ({"partitions": {"train": [0], "test": [1], "extra": []}}, "partition extra"),
        ({"partitions": {"train": [0.5]}}, r"partitions.train\[0\] must be a whole number"),
        ({"partitions": {"train": [2]}}, "1 rows beyond the 2 images"),
        ({"images": ["../a.jpg", "b.jpg"]}, "not below the images' folder"),
    ],
)
def test_rejected(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """InputError names the file, the field and the value."""
    with pytest.raises(InputError, match=message) as caught:
        read_attribute_file(written(tmp_path, **changes))
    assert "attributes.json" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"[]", "holds a list"), (b"{", "not JSON"), (b"\xff\xfe{", "not JSON"), (b'{"a":' * 5000, "nested too deep")],
)
def test_no_attribute_file(tmp_path: Path, content: bytes, message: str) -> None:
    """InputError for other JSON, damaged JSON and JSON that exhausts a parser."""
    path = tmp_path / "attributes.json"
    path.write_bytes(content)

    with pytest.raises(InputError, match=message):
        read_attribute_file(path)


def test_a_fifo_is_refused(tmp_path: Path) -> None:
    """A file that would block is not opened."""
    os.mkfifo(tmp_path / "attributes.json")

    with pytest.raises(InputError, match="FIFO"):
        read_benchmark("attributes", tmp_path)


class TestBenchmark:
    def test_read(self, tmp_path: Path) -> None:
        """The folder and the file itself are both read, and the images must be there."""
        path = written(tmp_path)
        (tmp_path / "b").mkdir()
        for name in CONTENT["images"]:
            (tmp_path / str(name)).touch()

        by_folder, by_file = read_benchmark("attributes", tmp_path), read_benchmark("attributes", path)

        assert by_folder == by_file and by_folder.name == "streets"
        assert [dict(sample.labels) for sample in by_folder.query] == [{"hat": 0, "long_hair": 1}]

    def test_missing_images_are_counted(self, tmp_path: Path) -> None:
        """InputError counts and names the images that are not there; with test_only those of training do not matter."""
        written(tmp_path)
        (tmp_path / "a.jpg").touch()

        with pytest.raises(InputError, match=r"1 of 2 images of .*attributes.json are not in .*: b/c.jpg"):
            read_benchmark("attributes", tmp_path)
        assert len(read_benchmark("attributes", tmp_path, test_only=True).query) == 1

    def test_what_is_no_file_is_missing(self, tmp_path: Path) -> None:
        """A folder or a FIFO with the name of an image is no image."""
        written(tmp_path)
        (tmp_path / "a.jpg").mkdir()
        (tmp_path / "b").mkdir()
        os.mkfifo(tmp_path / "b" / "c.jpg")

        with pytest.raises(InputError, match="2 of 2 images"):
            read_benchmark("attributes", tmp_path)

    def test_no_file(self, tmp_path: Path) -> None:
        """InputError tells how such a file is written."""
        with pytest.raises(InputError, match=r"holds no attributes.json. Write one with mambapro convert"):
            read_benchmark("attributes", tmp_path)
