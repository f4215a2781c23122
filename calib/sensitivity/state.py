"""Checkpoint of an analysis: the measurements so far, in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ...common.files.atomic import json_text, write_atomically
from ...common.foreign_text import shown_text
from ...common.formats.json_files import read_json
from ...common.records import RecordError, decode, encode
from ...errors import ArtifactError, InputError

SCHEMA = "mambapro.sensitivity-state/1"

T = TypeVar("T")


class State:
    """Results by kind and name; every new one is on the disk before `put` returns.

    Args:
        path: the file; need not exist.
        key: what the results depend on: hashes of the model, the images and the scales, options, versions.
        overwrite: begin anew where the file holds results of another key.

    Attributes:
        path, key: as given.

    Raises:
        InputError: the file holds results of another key, and `overwrite` is false; names what differs.
        ArtifactError: the file is not such a file.
    """

    def __init__(self, path: Path, key: Mapping[str, Any], overwrite: bool = False) -> None:
        self.path, self.key = path, dict(key)
        self._results: dict[str, dict[str, Any]] = {}
        # what appears where there was no file is not replaced
        self._own = path.exists()
        if not os.path.lexists(path):
            return
        found = _read(path)
        if found["key"] == self.key:
            self._results = found["results"]
        elif not overwrite:
            names = sorted({*found["key"], *self.key})
            other = ", ".join(shown_text(name, 60) for name in names if found["key"].get(name) != self.key.get(name))
            raise InputError(
                f"{path.parent} holds measurements that differ in: {other}. Give another folder with --out, or replace "
                "them with --overwrite."
            )

    def get(self, kind: str, name: str, cls: type[T]) -> T | None:
        """Return the result of that name as the dataclass `cls`; None where there is none yet.

        Raises:
            ArtifactError: the file holds something else under this name.
        """
        value = self._results.get(kind, {}).get(name)
        if value is None:
            return None
        try:
            return decode(cls, value, f"{kind}.{name}")
        except RecordError as error:
            raise _damaged(self.path, str(error)) from error

    def put(self, kind: str, name: str, value: Any) -> None:
        """Store a dataclass; the file is replaced as a whole.

        Raises:
            SetupError: no room or no permission.
        """
        self._results.setdefault(kind, {})[name] = encode(value)
        text = json_text({"schema": SCHEMA, "key": self.key, "results": self._results})
        write_atomically(self.path, lambda path: path.write_text(text, encoding="utf-8"), overwrite=self._own)
        self._own = True


def _read(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path, "state", advice="")
    except ArtifactError as error:
        raise _damaged(path, str(error).rstrip(". ")) from error
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise _damaged(path, f"it does not follow the schema {SCHEMA}")
    results = value.get("results")
    right = isinstance(results, dict) and all(isinstance(named, dict) for named in results.values())
    if not right or not isinstance(value.get("key"), dict):
        raise _damaged(path, "key or results are missing")
    return value


def _damaged(path: Path, why: str) -> ArtifactError:
    return ArtifactError(f"{shown_text(path)} cannot be used: {why}. Remove it to measure anew.")
