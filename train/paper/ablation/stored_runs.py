"""Trainings and results of a comparison's runs on disk: what is finished is read, what was interrupted goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from ....common.files.atomic import json_text, write_atomically
from ....common.foreign_text import shown_text
from ....common.formats.json_files import read_json
from ....common.progress import Track
from ....common.records import decode
from ....errors import ArtifactError, InputError
from ...engine.loop import fit
from ...engine.recipe import Recipe
from ...engine.state import NAME as STATE

#: Version of a result's layout; others are not read.
VERSION = 1


class Run(Protocol):
    """One training of a comparison."""

    @property
    def fingerprint(self) -> str:
        """Hash of the settings that affect the result."""

    def result(self, folder: Path) -> Path:
        """Return the path of its result."""


class Result(Protocol):
    """Stored result of a run, a dataclass; `largest_file` is the limit of its file in bytes."""

    largest_file: ClassVar[int]

    @property
    def fingerprint(self) -> str:
        """Hash of the settings that affect it."""


R = TypeVar("R", bound=Run)
S = TypeVar("S", bound=Result)


def write_text(path: Path, text: str, overwrite: bool = True) -> None:
    """Write a text file, atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), overwrite=overwrite)


def write_result(result: Any, path: Path) -> None:
    """Save a result, a dataclass, as JSON; replaces an existing file.

    Raises:
        SetupError: the disk is full or permission is missing.
    """
    write_text(path, json_text({"version": VERSION, **asdict(result)}))


def read_result(kind: type[S], path: Path) -> S:
    """Read a result of this kind.

    Raises:
        ArtifactError: not a result of this version.
    """
    try:
        values = read_json(path, "result", limit=kind.largest_file)
        if not isinstance(values, dict) or values.pop("version", None) != VERSION:
            raise ValueError("another version")
        return decode(kind, values)
    except (ValueError, ArtifactError) as error:
        raise ArtifactError(
            f"{shown_text(path)} is no result of this version ({shown_text(error, 500)}). Remove it, and its row runs "
            "again."
        ) from error


def without_result(runs: Iterable[R], kind: type[Result], out: Path, overwrite: bool, start: str) -> list[R]:
    """Return the runs without a result; results of other settings count only if they may be overwritten.

    Args:
        runs: all runs.
        kind: of their results.
        out: folder of the comparison.
        overwrite: run all again.
        start: noun for what the trainings start from, for the message.

    Raises:
        InputError: results of other settings, without `overwrite`.
        ArtifactError: a damaged result.
    """
    pending, foreign = [], []
    for run in runs:
        path = run.result(out)
        if not path.exists():
            pending.append(run)
        elif overwrite or read_result(kind, path).fingerprint != run.fingerprint:
            pending.append(run)
            foreign.append(path.name)
    if foreign and not overwrite:
        raise InputError(
            f"{out} holds results of another recipe, data set or {start}: {', '.join(foreign)}. Choose another --out, "
            "or replace them with --overwrite."
        )
    return pending


def train_once(
    config: Recipe,
    data: Path,
    dataset: str,
    folder: Path,
    initialise: Callable[[Any], Any] | None,
    device: str,
    overwrite: bool,
    track: Track,
) -> tuple[int, float]:
    """Train into `folder`, or resume there, unless finished.

    Returns:
        The number of trained values, and the seconds.

    Raises:
        ArtifactError: a damaged report of a finished training.
    """
    if overwrite and folder.exists():
        shutil.rmtree(folder)
    path = folder / "report.json"
    if path.exists():
        return _finished(path)
    # without a state the training stopped too early to resume, and begins again
    resume = (folder / STATE).exists()
    report = fit(
        config, data, dataset, folder, initialise=initialise, device=device, resume=resume, overwrite=True, track=track
    )
    write_text(path, json_text(report.to_json()))
    return report.trainable, report.seconds


def _finished(path: Path) -> tuple[int, float]:
    stored = read_json(path, "report of a training")
    values = stored if isinstance(stored, dict) else {}
    trainable, seconds = values.get("trainable"), values.get("seconds")
    # a bool is an int
    if type(trainable) is not int or not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise ArtifactError(f"{shown_text(path)} does not say how long the training took. Remove its folder.")
    return trainable, float(seconds)
