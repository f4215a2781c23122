"""Ranked retrievals as pictures: which queries, what was found for them, and the folder the pictures go to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .data.sample import Benchmark, Sample
from .files import json_text, require_free, staged_folder
from .metrics import RetrievalReport
from .progress import Track, silent

TOP = 10
#: Lists the pictures; a folder that holds it was written here and may be replaced.
LISTING = "strips.json"


@dataclass(frozen=True)
class Retrieved:
    """One gallery sample in a ranking. `similarity` is the cosine to the query's feature."""

    sample: Sample
    similarity: float
    right: bool


@dataclass(frozen=True)
class Strip:
    """A query and the first of its ranking, junk left out; `first_match` is the rank of the first right one."""

    query: Sample
    average_precision: float
    first_match: int
    retrieved: tuple[Retrieved, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; samples by name, identity and camera."""
        return {
            "query": _named(self.query),
            "average_precision": self.average_precision,
            "first_match": self.first_match,
            "retrieved": [
                {**_named(found.sample), "similarity": found.similarity, "right": found.right}
                for found in self.retrieved
            ],
        }


def chosen_queries(average_precision: Sequence[float], count: int) -> list[int]:
    """Positions of `count` queries, from bad to good: half of them the worst, the others spread evenly to the best.

    Equal ones are taken in their order, so that the choice is always the same.
    """
    order = np.argsort(np.asarray(average_precision), kind="stable").tolist()
    if count >= len(order):
        return order
    worst, spread = (count + 1) // 2, count // 2
    last, rest = len(order) - 1, len(order) - 1 - worst
    places = [last - i * rest // max(spread - 1, 1) for i in reversed(range(spread))]
    return [order[place] for place in (*range(worst), *places)]


def ranked_strips(
    benchmark: Benchmark,
    report: RetrievalReport,
    positions: Sequence[int],
    distances: np.ndarray,
    similarities: np.ndarray,
    top: int = TOP,
) -> list[Strip]:
    """The first `top` of the gallery for some of the report's counted queries.

    Args:
        benchmark: whose query and gallery `report` scored.
        report: has the queries' average precisions.
        positions: places in the report's lists.
        distances: (positions, gallery), what the gallery is ranked by.
        similarities: (positions, gallery), shown beside each.
        top: at most so many columns.
    """
    identities = np.array([sample.identity for sample in benchmark.gallery])
    groups = np.array([getattr(sample, benchmark.junk) for sample in benchmark.gallery])
    strips = []
    for row, position in enumerate(positions):
        query = benchmark.query[report.query_rows[position]]
        right = identities == query.identity
        order = np.argsort(distances[row], kind="stable")
        kept = order[~(right & (groups == getattr(query, benchmark.junk)))[order]][:top]
        found = tuple(
            Retrieved(benchmark.gallery[i], float(similarities[row, i]), bool(right[i])) for i in kept.tolist()
        )
        strips.append(Strip(query, report.per_query_ap[position], report.per_query_first[position], found))
    return strips


def check_strips_folder(folder: Path, overwrite: bool) -> None:
    """Raise InputError unless strips may be written to `folder`; to be called before the work."""
    require_free(folder, overwrite, _is_ours)


def write_strips(
    folder: Path,
    strips: Sequence[Strip],
    title: str,
    image_size: tuple[int, int],
    overwrite: bool = False,
    track: Track = silent,
) -> tuple[Path, ...]:
    """One PNG for each strip, and LISTING, into the new folder `folder`; returns the pictures' paths.

    `title` stands above each picture; `image_size` (height, width) gives the proportions of the images.

    Raises:
        InputError: `folder` exists and may not be replaced, or an image cannot be read.
        SetupError: no room or no permission.
    """
    from .strip_picture import draw_strip

    names = [f"{number:03d}_{strip.query.name}.png" for number, strip in enumerate(strips, 1)]
    with staged_folder(folder, overwrite=overwrite, replaceable=_is_ours) as stage:
        for name, strip in track(list(zip(names, strips, strict=True)), "Drawing strips", len(strips)):
            draw_strip(strip, title, image_size).save(stage / name)
        listing = [{"file": name, **strip.to_json()} for name, strip in zip(names, strips, strict=True)]
        (stage / LISTING).write_text(json_text({"title": title, "strips": listing}), encoding="utf-8")
    return tuple(folder / name for name in names)


def _is_ours(folder: Path) -> bool:
    return (folder / LISTING).is_file()


def _named(sample: Sample) -> dict[str, Any]:
    return {"name": sample.name, "identity": sample.identity, "camera": sample.camera, "scene": sample.scene}
