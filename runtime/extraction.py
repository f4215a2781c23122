"""Extraction of embeddings of image folders into one file."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..common.files.atomic import Write, write_together
from ..common.files.targets import require_free
from ..common.foreign_text import shown_text
from ..common.progress import Track, silent
from ..common.records import Report
from ..errors import InputError
from .data.decoding import UnusableImageError
from .data.image_files import SUFFIXES
from .data.modalities import NIR, RGB, TIR
from .data.pairing import ImageFiles, PairedFiles, paired_files
from .data.skipped import Skipped, list_beside, told_skipped, writer_of_skipped
from .extractor import Extractor
from .partial import PartialEmbeddings, embed_readable

log = logging.getLogger("mambapro")


@dataclass(frozen=True)
class ExtractionReport(Report):
    """Report of an extraction.

    `missing` counts, by sensor, the samples without its image; `skipped` are the skipped samples, listed in the file
    `skipped_list` (None if nothing may be skipped).
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

    def __str__(self) -> str:
        missing = ", ".join(f"{modality} {count}" for modality, count in self.missing.items() if count)
        skipped = ""
        if self.skipped_list is not None:
            count = self.samples + len(self.skipped)
            skipped = f"; {told_skipped(count, self.skipped)}; listed in {shown_text(self.skipped_list)}"
        return (
            f"{shown_text(self.out)}: {self.samples} embeddings of {self.dim}, feature space {self.fingerprint[:16]}, "
            f"by {self.artifact} on {self.provider}; missing images: {missing or 'none'}{skipped}"
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
) -> ExtractionReport:
    r"""Embed the images of up to three folders and write `out`, an .npz file.

    Images belong together if their file names agree up to the suffix. A sensor may be omitted; if a folder has no file
    for a name, that sensor is missing for that sample, which the report counts.

    Args:
        extractor: the opened bundle.
        folders: by modality; files in subfolders and files that are not images are ignored.
        out: receives `names` (N,), `embeddings` float32 (N, dim) of length 1, `cameras` int64 (N,), `fingerprint`, and
            `artifact`: the artifact that computed them.
        cameras_from: the camera number of a name, for example `camera_from_name("cam(\d)")`; None = unknown.
        strict_cameras: reject cameras that the model does not know.
        overwrite: replace an existing `out`.
        track: shows progress.
        skip_bad: skip samples with an unusable image, and list them in `list_beside(out)`.
        unpaired: accept sensors without common names, each image as a sample of its own.

    Raises:
        InputError: no images, two images of one name in a folder, an unreadable image (with `skip_bad`: no sample
            without one), sensors without a common name, `out` exists.
        SetupError: the disk is full or permission is missing.
    """
    out = Path(out)
    require_free(out, overwrite)
    if out.suffix not in ("", ".npz"):
        raise InputError(f"Embeddings are written as .npz, not {shown_text(out.suffix)}: {shown_text(out)}. Rename it.")
    listing = list_beside(out) if skip_bad else None
    if listing is not None:
        require_free(listing, overwrite)
    paired = paired_files(folders, unpaired, odd=skip_bad)
    _require_images(paired, folders)
    cameras = _cameras(paired.names, cameras_from, extractor.metadata.cameras)
    embedded = _embed(extractor, paired, cameras, strict_cameras, skip_bad, track)
    skipped = _skipped(embedded, paired)
    content = {
        "names": np.array(paired.names)[embedded.kept],
        "embeddings": embedded.embeddings,
        "cameras": cameras[embedded.kept],
        "fingerprint": np.array(extractor.fingerprint),
        "artifact": np.array(extractor.artifact.stem),
    }
    writes: dict[Path, Write] = {out: lambda path: _save(path, content)}
    if listing is not None:
        writes[listing] = writer_of_skipped(len(paired.names), skipped)
    write_together(writes, overwrite=overwrite)
    if skipped:
        log.warning("%s", told_skipped(len(paired.names), skipped))
    return ExtractionReport(
        str(out),
        len(embedded.kept),
        extractor.dim,
        {modality: _missing(paired, modality, embedded.kept) for modality in extractor.metadata.modalities},
        extractor.fingerprint,
        extractor.artifact.stem,
        extractor.provider,
        skipped,
        None if listing is None else str(listing),
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


def _embed(
    extractor: Extractor, paired: PairedFiles, cameras: np.ndarray, strict: bool, skip_bad: bool, track: Track
) -> PartialEmbeddings:
    images = (paired.files.get(RGB), paired.files.get(NIR), paired.files.get(TIR))
    if skip_bad:
        found = embed_readable(extractor, *images, cameras, strict_cameras=strict, track=track)
        if not len(found.kept):
            raise InputError(
                f"None of the {len(paired.names)} samples can be read. The first: {found.skipped[0].reason}"
            )
        return found
    try:
        embeddings = extractor(*images, cameras, strict_cameras=strict, track=track)
    except UnusableImageError as error:
        raise InputError(f"{error}\nNothing was written. --skip-bad leaves such samples out and lists them.") from error
    return PartialEmbeddings(embeddings, np.arange(len(cameras)), ())


def _require_images(paired: PairedFiles, folders: Mapping[str, ImageFiles]) -> None:
    if paired.names:
        return
    looked = "; ".join(f"{modality} {given}" for modality, given in folders.items()) or "nothing was given"
    raise InputError(
        f"There are no images to extract ({shown_text(looked)}). Give folders that hold image files "
        f"({', '.join(sorted(SUFFIXES))}) directly, with the same name for the same sample."
    )


def _skipped(found: PartialEmbeddings, paired: PairedFiles) -> tuple[Skipped, ...]:
    return tuple(
        Skipped(
            paired.names[one.sample],
            one.sensor,
            str(paired.files[one.sensor][one.sample] if one.sensor else ""),
            one.reason,
        )
        for one in found.skipped
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


def _save(path: Path, content: dict[str, np.ndarray]) -> None:
    # An open file, because savez would add .npz to a name that lacks it.
    with open(path, "wb") as file:
        np.savez(file, **content)  # type: ignore[arg-type]
