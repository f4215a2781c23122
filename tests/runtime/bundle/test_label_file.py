"""Label lists in JSON files: the forms that are read, and the errors of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.bundle.label_file import read_label_array, read_label_file
from mambapro.runtime.bundle.labels import Labels

LABELS = Labels(("hat", "bag"), "sigmoid", (0.45, 0.45), ("a hat", "a bag"), (("hat", "bag"),))


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        (["hat", "bag"], Labels(("hat", "bag"), thresholds=(0.45, 0.45))),
        ({"attributes": ["hat", "bag"], "words": ["a hat", "a bag"], "exclusive": [["hat", "bag"]], "x": 1}, LABELS),
        ({"task": "attributes", "labels": LABELS.to_json()}, LABELS),
        ({"names": ["hat"], "activation": "none", "thresholds": [1.5]}, Labels(("hat",), "none", (1.5,))),
    ],
)
def test_forms(tmp_path: Path, value: Any, labels: Labels) -> None:
    """A list of names, an attributes.json, and labels or metadata of a bundle; attributes get the threshold 0.45."""
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(value))

    assert read_label_file(file) == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "no list of labels. Give a JSON list"),
        ('{"images": []}', "no list of labels"),
        ('["hat", "hat"]', "none of them twice"),
        ('["hat"', "it is not JSON"),
        ('{"names": ["hat"], "thresholds": [2]}', r"thresholds must be between 0 and 1 .* \[2\.0\]\. Give a JSON list"),
        ('{"names": ["hat", 1]}', r"no list of labels: names\[1\] must be a string, not 1\. Give a JSON list"),
        ('{"attributes": ["hat"], "words": ["a", "b"]}', "one for each of 1 labels, not 2"),
    ],
)
def test_other_files(tmp_path: Path, text: str, message: str) -> None:
    """InputError names the file, the problem and the forms."""
    file = tmp_path / "labels.json"
    file.write_text(text)

    with pytest.raises(InputError, match=message) as caught:
        read_label_file(file)

    assert "labels.json" in str(caught.value) and ".." not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    """A file that does not exist is named."""
    with pytest.raises(InputError, match=r"labels\.json"):
        read_label_file(tmp_path / "labels.json")


def test_arrays(tmp_path: Path) -> None:
    """Rows of numbers come from npy, npz and JSON, whole ones as int64."""
    rows = np.arange(6).reshape(2, 3)
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "a.npz", vectors=rows / 2)
    (tmp_path / "a.json").write_text("[[0, 1, 2], [3, 4, 5]]")

    found = [read_label_array(tmp_path / f"a.{suffix}") for suffix in ("npy", "npz", "json")]

    assert [array.dtype.name for array in found] == ["int64", "float64", "int64"]
    np.testing.assert_array_equal(found[1], rows / 2)
    np.testing.assert_array_equal(found[2], rows)


@pytest.mark.parametrize("text", ["[[1, 2], [3]]", "[1, 2]", '[["a"]]', "{}"])
def test_no_rows(tmp_path: Path, text: str) -> None:
    """JSON of another form than equally long lists of numbers is refused."""
    (tmp_path / "a.json").write_text(text)

    with pytest.raises(InputError, match="no JSON list of equally long lists"):
        read_label_array(tmp_path / "a.json")


def test_no_array(tmp_path: Path) -> None:
    """InputError names an npy file of objects, of another content, and one that is missing."""
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object))
    (tmp_path / "text.npy").write_text("no array")

    for name in ("objects", "text", "missing"):
        with pytest.raises(InputError, match=f"array of the labels' words .*{name}.npy"):
            read_label_array(tmp_path / f"{name}.npy")
