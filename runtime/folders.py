"""Embeddings of whole folders of images, written to one file."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .bundle import refuse_inside
from .data.folders import shown
from .extractor import Extractor
from .files import write_atomically
from .modalities import MODALITIES, NIR, RGB, TIR
from .progress import Track, silent

log = logging.getLogger("mambapro")

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})

#: A folder, or a list of files.
ImageFiles = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class ExtractionReport:
    """What was written. `missing` counts, by sensor, the samples without its image."""

    out: str
    samples: int
    dim: int
    missing: dict[str, int]
    fingerprint: str
    artifact: str
    provider: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        missing = ", ".join(f"{modality} {count}" for modality, count in self.missing.items() if count)
        return (
            f"{self.out}: {self.samples} embeddings of {self.dim}, feature space {self.fingerprint[:16]}, "
            f"by {self.artifact} on {self.provider}; missing images: {missing or 'none'}"
        )


def extract_folders(
    extractor: Extractor,
    folders: Mapping[str, ImageFiles],
    out: str | os.PathLike[str],
    cameras_from: Callable[[str], int] | None = None,
    strict_cameras: bool = False,
    overwrite: bool = False,
    track: Track = silent,
) -> ExtractionReport:
    """Embed the images of up to three folders and write `out`, an .npz file.

    Images belong together when their file names agree up to the suffix. A sensor may be left out; where a folder has no
    file for a name, that sensor is missing for that sample, which the report counts.

    Args:
        extractor: the opened bundle.
        folders: by modality; files in subfolders and files that are not images are left alone.
        out: holds `names` (N,), `embeddings` float32 (N, dim) of length 1, `cameras` int64 (N,), `fingerprint`, and
            `artifact`: what of the bundle made them.
        cameras_from: the camera number of a name, for example `camera_from_name("cam(\\d)")`; None = unknown.
        strict_cameras: refuse cameras that the model does not know.
        overwrite: replace an existing `out`.
        track: shows progress.

    Raises:
        InputError: no images, two images of one name in a folder, an unreadable image, `out` exists.
        SetupError: no room or no permission.
    """
    out = Path(out)
    refuse_inside(out)
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists already. Choose another --out, or replace it with --overwrite.")
    files = {modality: image_files(modality, given) for modality, given in folders.items()}
    names = sorted(set().union(*files.values()))
    if not names:
        looked = "; ".join(f"{modality} {given}" for modality, given in folders.items()) or "nothing was given"
        raise InputError(
            f"There are no images to extract ({looked}). Give folders that hold image files "
            f"({', '.join(sorted(IMAGE_SUFFIXES))}) directly, with the same name for the same sample."
        )
    images = {modality: [files[modality].get(name) for name in names] for modality in files}
    cameras = np.array([-1 if cameras_from is None else cameras_from(name) for name in names], np.int64)
    if cameras_from is not None:
        _tell_unknown_cameras(cameras, extractor.metadata.cameras)
    embeddings = extractor(
        images.get(RGB), images.get(NIR), images.get(TIR), cameras, strict_cameras=strict_cameras, track=track
    )
    artifact = extractor.artifact.stem
    content = {"names": np.array(names), "embeddings": embeddings, "cameras": cameras}
    content |= {"fingerprint": np.array(extractor.fingerprint), "artifact": np.array(artifact)}
    write_atomically(out, lambda path: _save(path, content))
    missing = {modality: len(names) - len(files.get(modality, ())) for modality in extractor.metadata.modalities}
    return ExtractionReport(
        str(out), len(names), extractor.dim, missing, extractor.fingerprint, artifact, extractor.provider
    )


def _tell_unknown_cameras(cameras: np.ndarray, known: int) -> None:
    outside = int(((cameras < 0) | (cameras >= known)).sum())
    if known and outside:
        log.warning(
            "%d of %d camera numbers are none of the model's, which are 0 to %d; they count as unknown. If the names "
            "count from 1, say --first-camera 1.",
            outside,
            len(cameras),
            known - 1,
        )


def camera_from_name(pattern: str, first: int = 0) -> Callable[[str], int]:
    """A function from a file name to the zero-based camera number that the pattern's one group finds in it.

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
        match = expression.search(name)
        if match is None or not (match[1] or "").isdecimal():
            raise InputError(f"The camera pattern {pattern!r} finds no number in the file name {name!r}.")
        if int(match[1]) < first:
            raise InputError(f"The file name {name!r} has camera {match[1]}, but the first camera is {first}.")
        return int(match[1]) - first

    return camera


def image_files(modality: str, given: ImageFiles) -> dict[str, Path]:
    """The image files of a folder, or of a list, by name without suffix.

    Raises:
        InputError: no such sensor or folder, or two images of one name.
    """
    if modality not in MODALITIES:
        raise InputError(f"A sensor must be one of {', '.join(MODALITIES)}, not {modality!r}.")
    if isinstance(given, str | os.PathLike):
        folder = Path(given)
        if not folder.is_dir():
            raise InputError(
                f"The {modality} folder {folder} {'is not a folder' if folder.exists() else 'does not exist'}."
            )
        visible = (path for path in folder.iterdir() if not path.name.startswith("."))
        paths = sorted(path for path in visible if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    else:
        paths = [Path(path) for path in given]
    by_name: dict[str, Path] = {}
    twice = []
    for path in paths:
        if by_name.setdefault(path.stem, path) is not path:
            twice.append(path.stem)
    if twice:
        raise InputError(f"{modality} has more than one image of the name {shown(twice)}. Keep one of each.")
    return by_name


def _save(path: Path, content: dict[str, np.ndarray]) -> None:
    # An open file, because savez would add .npz to a name that lacks it.
    with open(path, "wb") as file:
        np.savez(file, **content)  # type: ignore[arg-type]
