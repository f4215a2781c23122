"""Computation of the records of paired images into one file, batch by batch."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...common.files.atomic import Write, write_together
from ...common.files.targets import require_free
from ...common.progress import Track, silent
from ...errors import InputError
from ..data.decoding import UnusableImageError
from ..data.inputs import Samples
from ..data.modalities import NIR, RGB, TIR
from ..data.pairing import PairedFiles
from ..data.skipped import Skipped, list_beside, told_skipped, writer_of_skipped
from ..extractor import unit_rows
from ..pipeline import Pipeline
from .columns import Head, Rows, stored_path
from .writers import record_writer, require_format

if TYPE_CHECKING:
    from .attribute_page import AttributePage

log = logging.getLogger("mambapro")


@dataclass(frozen=True)
class Outputs:
    """Files to write.

    Attributes:
        out: the records.
        overwrite: replace what exists.
        skip_bad: leave out samples with an unusable image, and list them in `list_beside(out)`.
        page: an HTML page of the first records.
    """

    out: Path
    overwrite: bool = False
    skip_bad: bool = False
    page: AttributePage | None = None

    @property
    def listing(self) -> Path | None:
        """The list of skipped samples; None if nothing may be skipped."""
        return list_beside(self.out) if self.skip_bad else None

    def require_writable(self) -> None:
        """Check everything that can be known before the work.

        Raises:
            InputError: a file exists, is in a bundle, of another format, or two of them are one.
            SetupError: no permission, or pyarrow is missing.
        """
        files = [self.out, self.listing, None if self.page is None else self.page.path]
        named = [Path(os.path.abspath(path)) for path in files if path is not None]
        if len(set(named)) < len(named):
            raise InputError(f"The page and the records would be one file, {named[-1]}. Give them two names.")
        for path in named:
            require_free(path, self.overwrite)
        require_format(self.out)


@dataclass(frozen=True, eq=False)
class Recorded:
    """Written records: numbers of the samples, int64 (M,); those with attributes; skipped samples and their list."""

    kept: np.ndarray
    present: int
    skipped: tuple[Skipped, ...]


class Recording:
    """Records of the samples of folders, from the models of a pipeline.

    Args:
        pipeline: the models.
        paired: names and files of the samples.
        cameras: int64 (N,), -1 = unknown.
        outputs: the files.
    """

    def __init__(self, pipeline: Pipeline, paired: PairedFiles, cameras: np.ndarray, outputs: Outputs) -> None:
        self.pipeline, self.paired, self.cameras, self.outputs = pipeline, paired, cameras, outputs
        self._skipped: dict[int, Skipped] = {}
        self._kept: list[np.ndarray] = [np.empty(0, np.int64)]
        self._present = 0

    def run(self, strict_cameras: bool = False, track: Track = silent) -> Recorded:
        """Compute and write everything, or nothing.

        Raises:
            InputError: an unusable image (with `skip_bad`: no usable sample), or a file that appeared meanwhile.
            SetupError: the disk is full or permission is missing.
        """
        files, outputs = self.paired.files, self.outputs
        empty: list[int] | None = [] if outputs.skip_bad else None
        images = (files.get(RGB), files.get(NIR), files.get(TIR))
        samples = self.pipeline.samples(*images, self.cameras, strict_cameras, empty)
        for row in empty or ():
            self._skipped[row] = Skipped(self.paired.names[row], "", "", "no sensor has an image")
        writes: dict[Path, Write] = {outputs.out: lambda path: self._write(path, samples, track)}
        if outputs.listing is not None:
            writes[outputs.listing] = lambda path: writer_of_skipped(len(self.paired.names), self.skipped)(path)
        if outputs.page is not None:
            page = outputs.page
            writes[page.path] = lambda path: path.write_text(page.text(), encoding="utf-8")
        try:
            write_together(writes, overwrite=outputs.overwrite)
        except UnusableImageError as error:
            raise InputError(
                f"{error}\nNothing was written. --skip-bad leaves such samples out and lists them."
            ) from error
        if self.pipeline.recognizer is not None and not self._present:
            log.warning("None of the samples has an RGB image: their attributes are not known, and left empty.")
        if self._skipped:
            log.warning("%s", told_skipped(len(self.paired.names), self.skipped))
        return Recorded(np.concatenate(self._kept), self._present, self.skipped)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Skipped samples so far, in order."""
        return tuple(self._skipped[row] for row in sorted(self._skipped))

    def _write(self, path: Path, samples: Samples, track: Track) -> None:
        with record_writer(path, Head.of(self.pipeline)) as writer:
            for rows in self._rows(samples, track):
                writer.write(rows)
                if self.outputs.page is not None:
                    self.outputs.page.add(rows)
        if sum(map(len, self._kept)) == 0:
            first = next(iter(self.skipped))
            raise InputError(f"None of the {len(samples)} samples can be read. The first: {first.reason}")

    def _rows(self, samples: Samples, track: Track) -> Iterator[Rows]:
        names, rgb = self.paired.names, self.paired.files.get(RGB)
        folder = Path(os.path.realpath(self.outputs.out)).parent
        for batch in self.pipeline.batches(samples, frozenset(self._skipped), self.outputs.skip_bad, track):
            for image in batch.bad:
                file = str(self.paired.files[image.sensor][image.sample])
                skipped = Skipped(names[image.sample], image.sensor, file, str(image.error))
                self._skipped.setdefault(image.sample, skipped)
            if not len(batch.rows):
                continue
            self._kept.append(batch.rows)
            records, rows = batch.records, batch.rows.tolist()
            self._present += 0 if records.attributes is None else int(records.attributes.present.sum())
            yield Rows(
                folder,
                [names[row] for row in rows],
                [None if rgb is None else stored_path(rgb[row], folder) for row in rows],
                self.cameras[batch.rows],
                None if records.embeddings is None else unit_rows(records.embeddings, batch.rows),
                records.attributes,
            )
