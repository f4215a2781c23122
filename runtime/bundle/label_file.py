"""Files about labels: their names in JSON, and the token ids or vectors of their words as an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...common.foreign_text import shown_text
from ...common.formats.json_files import read_json
from ...common.formats.npz_files import read_npy, read_npz
from ...common.records import decode
from ...errors import InputError
from .labels import Labels

_ARRAY = "array of the labels' words"
_LARGEST = 2**28
_FORM = (
    'Give a JSON list of names, such as ["hat", "glasses"], an attributes.json with "attributes" and "words", or the '
    '"labels" of a bundle\'s metadata.json.'
)


def read_label_file(path: Path) -> Labels:
    """Read a label list; attributes without thresholds get the released one.

    Raises:
        InputError: missing, not JSON, of another form, or names that cannot be used.
    """
    value = read_json(path, "list of labels", InputError, advice=_FORM)
    try:
        return _labels(value)
    except (ValueError, TypeError, KeyError) as error:
        problem = f": {error}".rstrip(".") if isinstance(error, ValueError) else ""
        raise InputError(f"{shown_text(path)} is no list of labels{problem}. {_FORM}") from error


def read_label_array(path: Path) -> np.ndarray:
    """Read one row of numbers for each label, from an npy file, an npz file of one array, or a JSON list of lists.

    Returns:
        (labels, ...), of the file's type; of JSON int64 or float32.

    Raises:
        InputError: missing, damaged, or of another form.
    """
    if path.suffix == ".npy":
        return read_npy(path, _ARRAY, InputError, limit=_LARGEST)
    if path.suffix == ".npz":
        arrays = read_npz(path, _ARRAY, InputError, content=_LARGEST)
        if len(arrays) != 1:
            raise InputError(
                f"{shown_text(path)} holds {len(arrays)} arrays; give a file of one, with a row per label."
            )
        return next(iter(arrays.values()))
    try:
        array = np.array(read_json(path, _ARRAY, InputError))
    except ValueError:
        array = np.array(None)
    if array.ndim != 2 or array.dtype.kind not in "if":
        raise InputError(f"{shown_text(path)} is no JSON list of equally long lists of numbers, one for each label.")
    return array.astype(np.int64 if array.dtype.kind == "i" else np.float32)


def _labels(value: Any) -> Labels:
    if isinstance(value, dict) and isinstance(value.get("labels"), dict):
        # the metadata of a bundle
        value = value["labels"]
    if isinstance(value, dict) and "names" in value:
        return decode(Labels, value)
    if isinstance(value, dict):
        groups = value.get("exclusive", [])
        return Labels.of_attributes(
            _texts(value["attributes"]), _texts(value.get("words", [])), [_texts(group) for group in groups]
        )
    return Labels.of_attributes(_texts(value))


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("no list of texts")
    return values
