"""Label list in a JSON file: names alone, an attributes.json, or labels as a bundle's metadata holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...common.foreign_text import shown_text
from ...common.formats.json_files import read_json
from ...errors import InputError
from .labels import Labels

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
    except (InputError, TypeError, KeyError) as error:
        problem = f": {error}" if isinstance(error, InputError) else ""
        raise InputError(f"{shown_text(path)} is no list of labels{problem}. {_FORM}") from error


def _labels(value: Any) -> Labels:
    if isinstance(value, dict) and isinstance(value.get("labels"), dict):
        # the metadata of a bundle
        value = value["labels"]
    if isinstance(value, dict) and "names" in value:
        return Labels.from_json(value)
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
