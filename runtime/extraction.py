"""Extraction of embeddings of image folders into one file."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..common.foreign_text import shown_text
from ..common.progress import Track, silent
from ..common.records import Report
from ..errors import InputError
from .attribute_recognizer import AttributeRecognizer
from .data.image_files import SUFFIXES
from .data.pairing import ImageFiles, PairedFiles, paired_files
from .data.skipped import Skipped, told_skipped
from .extractor import Extractor
from .pipeline import Pipeline
from .records.recording import Outputs, Recording

log = logging.getLogger("mambapro")


@dataclass(frozen=True)
class AttributePart:
    """Attributes beside embeddings: of `samples` samples, those with an RGB image, for `labels` labels."""

    samples: int
    labels: int
    artifact: str

    def __str__(self) -> str:
        return f"{self.labels} attributes of {self.samples} with an RGB image, by {self.artifact}"


@dataclass(frozen=True)
class ExtractionReport(Report):
    """Report of an extraction.

    `missing` counts, by sensor, the samples without its image; `skipped` are the skipped samples, listed in the file
    `skipped_list` (None if nothing may be skipped). `attributes` are None without a recognizer.
    """

    out: str
    samples: int
    dim: int
    missing: dict[str, int]
    fingerprint: str
    artifact: str
    provider: str
    skipped: tuple[Skipped, ...] = ()
    skipped_list: str | None = None
    attributes: AttributePart | None = None

    def __str__(self) -> str:
        missing = ", ".join(f"{modality} {count}" for modality, count in self.missing.items() if count)
        skipped = told_list(self.samples, self.skipped, self.skipped_list)
        attributes = "" if self.attributes is None else f"; {self.attributes}"
        return (
            f"{shown_text(self.out)}: {self.samples} embeddings of {self.dim}, feature space {self.fingerprint[:16]}, "
            f"by {self.artifact} on {self.provider}; missing images: {missing or 'none'}{attributes}{skipped}"
        )


def extract_folders(
    extractor: Extractor,
    folders: Mapping[str, ImageFiles],
    out: str | os.PathLike[str],
    cameras_from: Callable[[str], int] | None = None,
    strict_cameras: bool = False,
    overwrite: bool = False,
    track: Track = silent,
    skip_bad: bool = False,
    unpaired: bool = False,
    recognizer: AttributeRecognizer | None = None,
) -> ExtractionReport:
    r"""Embed the images of up to three folders and write `out`: .npz, .parquet, .csv or .jsonl.

    Images belong together if their file names agree up to the suffix. A sensor may be omitted; if a folder has no file
    for a name, that sensor is missing for that sample, which the report counts.

    Args:
        extractor: the opened bundle.
        folders: by modality; files in subfolders and files that are not images are ignored.
        out: an .npz file receives `names` (N,), `files` (N,), `embeddings` float32 (N, dim) of length 1, `cameras`
            int64 (N,), `fingerprint`, and `artifact`: the artifact that computed them; with attributes also `labels`,
            `thresholds`, `probabilities` float32 (N, labels), `assigned` and `present`. The other formats have the
            columns of `records.columns`, and are written in constant memory.
        cameras_from: the camera number of a name, for example `camera_from_name("cam(\d)")`; None = unknown.
        strict_cameras: reject cameras that the model does not know.
        overwrite: replace an existing `out`.
        track: shows progress.
        skip_bad: skip samples with an unusable image, and list them in `list_beside(out)`.
        unpaired: accept sensors without common names, each image as a sample of its own.
        recognizer: adds the attributes of the RGB images, which are decoded once for both.

    Raises:
        InputError: no images, two images of one name in a folder, an unreadable image (with `skip_bad`: no sample
            without one), sensors without a common name, `out` exists.
        SetupError: the disk is full, permission is missing, or pyarrow where `out` is .parquet.
    """
    outputs = Outputs(Path(out), overwrite, skip_bad)
    outputs.require_writable()
    paired = paired_files(folders, unpaired, odd=skip_bad)
    require_images(paired, folders)
    cameras = _cameras(paired.names, cameras_from, extractor.metadata.cameras)
    pipeline = Pipeline([extractor] if recognizer is None else [extractor, recognizer])
    recorded = Recording(pipeline, paired, cameras, outputs).run(strict_cameras, track)
    part = None
    if recognizer is not None:
        part = AttributePart(recorded.present, len(recognizer.labels), recognizer.artifact.stem)
    return ExtractionReport(
        str(outputs.out),
        len(recorded.kept),
        extractor.dim,
        {modality: _missing(paired, modality, recorded.kept) for modality in extractor.metadata.modalities},
        extractor.fingerprint,
        extractor.artifact.stem,
        extractor.provider,
        recorded.skipped,
        None if outputs.listing is None else str(outputs.listing),
        part,
    )


def _cameras(names: Sequence[str], cameras_from: Callable[[str], int] | None, known: int) -> np.ndarray:
    """Camera numbers of file names, int64 (N,), -1 where they have none; warns of those that the model lacks."""
    if cameras_from is None:
        return np.full(len(names), -1, np.int64)
    cameras = np.array([cameras_from(name) for name in names], np.int64)
    outside = int(((cameras < 0) | (cameras >= known)).sum())
    if known and outside:
        log.warning(
            "%d of %d camera numbers are none of the model's, which are 0 to %d; they count as unknown. If the names "
            "count from 1, say --first-camera 1.",
            outside,
            len(cameras),
            known - 1,
        )
    return cameras


def require_images(paired: PairedFiles, folders: Mapping[str, ImageFiles]) -> None:
    """Raise InputError if there are no images."""
    if paired.names:
        return
    looked = "; ".join(f"{modality} {given}" for modality, given in folders.items()) or "nothing was given"
    raise InputError(
        f"There are no images to extract ({shown_text(looked)}). Give folders that hold image files "
        f"({', '.join(sorted(SUFFIXES))}) directly, with the same name for the same sample."
    )


def _missing(paired: PairedFiles, modality: str, kept: np.ndarray) -> int:
    files = paired.files.get(modality)
    return len(kept) if files is None else sum(files[i] is None for i in kept)


def camera_from_name(pattern: str, first: int = 0) -> Callable[[str], int]:
    """Return a function from a file name to the zero-based camera number in the pattern's one group.

    `first` is the number of the first camera in the names: 1 for `cam1`.

    Raises:
        InputError: here for a bad pattern; in the function for a name without a number.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(f"The camera pattern {pattern!r} is not a regular expression: {error}.") from error
    if expression.groups != 1:
        raise InputError(f"The camera pattern {pattern!r} must have one group around the number, like 'cam(\\d+)'.")

    def camera(name: str) -> int:
        """Return the camera number of a file name."""
        match = expression.search(name)
        if match is None or not (match[1] or "").isdecimal():
            raise InputError(f"The camera pattern {pattern!r} finds no number in the file name {name!r}.")
        if int(match[1]) < first:
            raise InputError(f"The file name {name!r} has camera {match[1]}, but the first camera is {first}.")
        return int(match[1]) - first

    return camera


def told_list(samples: int, skipped: tuple[Skipped, ...], listing: str | None) -> str:
    """Format the skipped samples, and the file that lists them, as the end of a report; empty without a list."""
    if listing is None:
        return ""
    return f"; {told_skipped(samples + len(skipped), skipped)}; listed in {shown_text(listing)}"
