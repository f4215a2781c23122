"""Comparison of the numbers that two commits wrote: arrays, JSON, CSV and checkpoints, bit for bit."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

#: Fields of JSON files that later commits call otherwise: old name -> new name.
RENAMED: dict[str, str] = {}
#: Fields that are no result: names of formats, places and versions, times and sizes.
IGNORED = frozenset({"schema", "versions", "created", "images", "model", "seconds", "memory_mib", "images_per_second"})


@dataclass(frozen=True)
class Row:
    """Comparison of one quantity.

    Attributes:
        quantity: its name.
        values: numbers and texts that both commits have.
        differing: how many of them are not equal bit for bit.
        largest: the largest absolute difference of numbers; NaN where a number became NaN or another shape.
        texts: texts that differ, as "path: a -> b".
        lost: paths that only the first commit has.
        added: paths that only the second commit has; no difference.
    """

    quantity: str
    values: int
    differing: int
    largest: float
    texts: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """True if the second commit has all values of the first, with the same bits."""
        return not self.differing and not self.lost and self.values > 0


def compare(quantity: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Row:
    """Compare values by path: arrays and numbers bit for bit, everything else by equality."""
    values, differing, largest, texts = 0, 0, 0.0, []
    for path in [path for path in first if path in second]:
        a, b = (_array(side[path]) for side in (first, second))
        if a is None or b is None:
            same = type(first[path]) is type(second[path]) and first[path] == second[path]
            values, differing = values + 1, differing + (not same)
            texts += [] if same else [f"{path}: {first[path]!r} -> {second[path]!r}"]
            continue
        count, difference = _differences(a, b)
        values, differing = values + a.size, differing + count
        largest = float(np.maximum(largest, difference))
    lost, added = (tuple(p for p in x if p not in y) for x, y in ((first, second), (second, first)))
    return Row(quantity, values, differing, largest, tuple(texts), lost, added)


def _array(value: Any) -> np.ndarray | None:
    """An array as it is, a number as an array, None for everything else."""
    if isinstance(value, np.ndarray):
        return value
    return np.array(value, np.float64) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _differences(a: np.ndarray, b: np.ndarray) -> tuple[int, float]:
    """Count the elements whose bits differ, and give their largest absolute difference."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return max(a.size, 1), float("nan")
    bits = [np.frombuffer(x.tobytes(), np.uint8).reshape(-1, x.dtype.itemsize) for x in (a, b)]
    different = (bits[0] != bits[1]).any(axis=1)
    with np.errstate(invalid="ignore"):
        distances = np.abs(a.astype(np.float64).ravel() - b.astype(np.float64).ravel())[different]
    return int(different.sum()), float(distances.max(initial=0.0))


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten JSON to (path, leaf) with the fields' newest names, without those that are no result."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name not in IGNORED:
                yield from flat(item, f"{path}.{RENAMED.get(name, name)}".lstrip("."))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from flat(item, f"{path}.{number}")
    else:
        yield path, value


def read(path: Path) -> dict[str, Any]:
    """Read what a file holds as values by path: .json, .csv, .npz, or the tensors of a .pth."""
    if path.suffix == ".json":
        return dict(flat(json.loads(path.read_text())))
    if path.suffix == ".csv":
        with open(path, newline="") as file:
            return {
                f"{number}.{name}": float(text)
                for number, row in enumerate(csv.DictReader(file), 1)
                for name, text in row.items()
                if text and name not in IGNORED
            }
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            # texts beside the numbers are names of files and artifacts
            return {name: arrays[name] for name in arrays.files if arrays[name].dtype.kind in "fiub"}
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return {name: tensor.numpy() for name, tensor in state.items()}


def markdown(rows: list[Row]) -> str:
    """Format rows as a Markdown table, with a line for each text and path that is not on both sides."""
    lines = ["| quantity | values | equal bit for bit | largest difference |", "| --- | ---: | --- | ---: |"]
    notes = []
    for row in rows:
        equal = "yes" if row.equal else f"no, {row.differing:,} differ" + (f", {len(row.lost)} lost" * bool(row.lost))
        lines.append(f"| {row.quantity} | {row.values:,} | {equal} | {row.largest:.1e} |".replace("0.0e+00", "0"))
        sides = {"differs": row.texts, "lost": row.lost, "added": row.added}
        notes += [f"{row.quantity}: {what} {_few(paths)}" for what, paths in sides.items() if paths]
    return "\n".join([*lines, "", *notes]).rstrip()


def _few(paths: tuple[str, ...], limit: int = 5) -> str:
    more = f" and {len(paths) - limit} more" if len(paths) > limit else ""
    return ", ".join(paths[:limit]) + more
