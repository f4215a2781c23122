"""The toolkit's own format of labeled images: one JSON file beside or above the images.

    {
      "format": "mambapro.attributes/1",
      "name": "pa100k",
      "root": ".",                          folder of the images, seen from the file's folder
      "attributes": ["female", "hat"],
      "words": ["female", "hat"],           phrases for models with text; default: the names with spaces
      "exclusive": [["front", "back"]],     groups of which a person has at most one; default: none
      "images": ["data/000001.jpg"],        below root
      "labels": ["01"],                     for each image a digit for each attribute: 1, 0, or 2 = not judged
      "partitions": {"train": [0], "val": [], "test": []},    rows of images, from 0
      "conversion": {"partition": 0, "trainval": false, "skipped": 0}    options of mambapro convert; default: these
    }

A list of whole numbers for an image's labels is read as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....common.files.atomic import write_atomically
from ....common.foreign_text import json_text_escaped, shown_text
from ....common.formats.json_files import read_json
from ....common.formats.size_limits import size_limit
from ....common.records import RecordError, decode, first_lines
from ....errors import InputError
from ..readers.listing import shown
from .attribute_set import PARTITIONS, AttributeSet, Conversion

FILE_NAME = "attributes.json"
FORMAT = "mambapro.attributes/1"
#: Bytes of a file; 100,000 images take 7 MB.
LARGEST = 2**28


@dataclass(frozen=True)
class _Content:
    """Fields of the file but the labels."""

    format: str
    name: str
    attributes: tuple[str, ...]
    images: tuple[str, ...]
    partitions: dict[str, tuple[int, ...]]
    root: str = "."
    words: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = field(default=())
    source: str = ""
    conversion: Conversion = field(default_factory=Conversion)


def read_attribute_file(path: str | os.PathLike[str]) -> AttributeSet:
    """Read an attributes.json strictly.

    Raises:
        InputError: no such file, too large, not JSON, another format or version, unknown or missing fields, wrong
            values, or what AttributeSet rejects.
    """
    path = Path(path)
    value = read_json(path, "attribute file", InputError, limit=size_limit(LARGEST))
    where = shown_text(path)
    if not isinstance(value, dict):
        raise InputError(f"{where} holds a {type(value).__name__}; an attribute file is an object, see the docs.")
    if value.get("format") != FORMAT:
        raise InputError(
            f"{where} is of the format {shown_text(value.get('format'), 60)}; {FORMAT} is read. Write such a file with "
            "mambapro convert."
        )
    labels = value.pop("labels", None)
    try:
        content = decode(_Content, value)
    except RecordError as error:
        lines = "\n  ".join(first_lines(error.problems))
        raise InputError(f"{where} is no attribute file that can be read:\n  {lines}") from None
    if unknown := sorted(set(content.partitions) - set(PARTITIONS)):
        raise InputError(f"{where} has the partition {shown(unknown)}; there are {', '.join(PARTITIONS)}.")
    return AttributeSet(
        content.name,
        path.parent / content.root,
        content.images,
        _labels(labels, content.attributes, len(content.images), where),
        content.attributes,
        content.words or tuple(name.replace("_", " ") for name in content.attributes),
        content.exclusive,
        {name: np.array(content.partitions.get(name, ()), np.int64) for name in PARTITIONS},
        source=f"{path} ({content.source})" if content.source else str(path),
        conversion=content.conversion,
    )


def write_attribute_file(path: str | os.PathLike[str], images: AttributeSet, *, overwrite: bool = False) -> None:
    """Write a set as an attributes.json, whole or not at all.

    Raises:
        InputError: the file exists and `overwrite` is false, or cannot be a file.
        SetupError: no room or no permission.
    """
    target = Path(os.path.abspath(path))
    root = os.path.relpath(images.root.resolve(), target.parent.resolve())
    write_atomically(target, lambda file: file.write_text(_text(images, root), encoding="utf-8"), overwrite=overwrite)


def _text(images: AttributeSet, root: str) -> str:
    digits = (images.labels + ord("0")).tobytes().decode("ascii")
    width = len(images.attributes)
    rows = [digits[start : start + width] for start in range(0, len(digits), width)]
    fields: dict[str, str] = {
        "format": _json(FORMAT),
        "name": _json(images.name),
        "source": _json(Path(images.source).name),
        "conversion": _json(asdict(images.conversion)),
        "root": _json(Path(root).as_posix()),
        "attributes": _json(images.attributes),
        "words": _json(images.words),
        "exclusive": _json(images.exclusive),
        "partitions": _json({name: images.partitions[name].tolist() for name in PARTITIONS}),
        "images": _lines(images.images),
        "labels": _lines(rows),
    }
    return "{\n" + ",\n".join(f'"{name}": {text}' for name, text in fields.items()) + "\n}\n"


def _json(value: Any) -> str:
    return json_text_escaped(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _lines(texts: Sequence[str]) -> str:
    """Format a long list with one line for each entry."""
    return "[\n" + ",\n".join(map(_json, texts)) + "\n]"


def _labels(value: object, names: Sequence[str], count: int, where: str) -> npt.NDArray[np.uint8]:
    """Return the labels as uint8 (images, attributes); digits or lists of whole numbers."""
    if not isinstance(value, list) or len(value) != count:
        has = f"{len(value):,} rows" if isinstance(value, list) else "no list"
        raise InputError(f"{where} has {has} of labels for {count:,} images; labels is a list with a row for each.")
    width = len(names)
    if all(type(row) is str for row in value):
        for number, row in _wrong_length(value, width):
            raise InputError(f"{where}: the labels of image {number} are {len(row)} digits for {width} attributes.")
        content = "".join(value).encode("utf-8", "replace")
        labels = np.frombuffer(content, np.uint8) - np.uint8(ord("0"))
        return _shaped(labels, count, width, where)
    if not all(type(row) is list for row in value):
        raise InputError(f"{where}: the labels of an image are a text of digits, such as '0120', or a list of numbers.")
    for number, row in _wrong_length(value, width):
        raise InputError(f"{where}: the labels of image {number} are {len(row)} numbers for {width} attributes.")
    flat = [label if type(label) is int and 0 <= label < 256 else 255 for row in value for label in row]
    return _shaped(np.array(flat, np.uint8), count, width, where)


def _wrong_length(rows: Sequence[Any], width: int) -> Iterator[tuple[int, Any]]:
    return ((number, row) for number, row in enumerate(rows) if len(row) != width)


def _shaped(labels: npt.NDArray[np.uint8], count: int, width: int, where: str) -> npt.NDArray[np.uint8]:
    wrong = np.flatnonzero(labels > 2)
    if len(wrong) or len(labels) != count * width:
        first = f"; the first is of image {int(wrong[0]) // max(width, 1)}" if len(wrong) else ""
        raise InputError(f"{where} has {len(wrong):,} labels other than 0, 1 and 2 (not judged){first}.")
    return labels.reshape(count, width)
