"""Attributes of a folder of images, written into one file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...common.foreign_text import shown_text
from ...common.progress import Track, silent
from ...common.records import Report
from ..attribute_recognizer import AttributeRecognizer
from ..data.modalities import RGB
from ..data.pairing import ImageFiles, paired_files
from ..data.sample import UNKNOWN
from ..data.skipped import Skipped
from ..extraction import require_images, told_list
from ..pipeline import Pipeline
from .recording import Outputs, Recording

if TYPE_CHECKING:
    from .attribute_page import AttributePage


@dataclass(frozen=True)
class RecognitionReport(Report):
    """Report of the attributes of a folder: `page` is the drawn one, `skipped` are listed in `skipped_list`."""

    out: str
    images: int
    labels: tuple[str, ...]
    thresholds: tuple[float, ...] | None
    fingerprint: str
    artifact: str
    provider: str
    page: str | None = None
    skipped: tuple[Skipped, ...] = ()
    skipped_list: str | None = None

    def __str__(self) -> str:
        page = "" if self.page is None else f"; drawn in {shown_text(self.page)}"
        return (
            f"{shown_text(self.out)}: {len(self.labels)} attributes of {self.images} images, by {self.artifact} on "
            f"{self.provider}{page}{told_list(self.images, self.skipped, self.skipped_list)}"
        )


def recognize_folder(
    recognizer: AttributeRecognizer,
    folder: ImageFiles,
    out: str | os.PathLike[str],
    overwrite: bool = False,
    skip_bad: bool = False,
    page: AttributePage | None = None,
    track: Track = silent,
) -> RecognitionReport:
    """Recognize the attributes of the images of a folder and write `out`: .parquet, .csv, .jsonl or .npz.

    Args:
        recognizer: the opened bundle.
        folder: files in subfolders and files that are not images are ignored; or a list of files.
        out: receives a row for each image, see `columns`.
        overwrite: replace existing files.
        skip_bad: leave out images that cannot be used, and list them beside `out`.
        page: an HTML page of the first images.
        track: shows progress.

    Raises:
        InputError: no images, two images of one name, an unreadable image (with `skip_bad`: no readable one), a file
            exists.
        SetupError: the disk is full, permission is missing, or pyarrow where `out` is .parquet.
    """
    outputs = Outputs(Path(out), overwrite, skip_bad, page)
    outputs.require_writable()
    paired = paired_files({RGB: folder}, odd=skip_bad)
    require_images(paired, {RGB: folder})
    cameras = np.full(len(paired.names), UNKNOWN, np.int64)
    recorded = Recording(Pipeline([recognizer]), paired, cameras, outputs).run(track=track)
    return RecognitionReport(
        str(outputs.out),
        len(recorded.kept),
        recognizer.labels,
        recognizer.rule.thresholds,
        recognizer.fingerprint,
        recognizer.artifact.stem,
        recognizer.provider,
        None if page is None else str(page.path),
        recorded.skipped,
        None if outputs.listing is None else str(outputs.listing),
    )
