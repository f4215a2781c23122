"""Picture of one ranked retrieval: the query and its results in columns, the three sensors in rows."""

from __future__ import annotations

from PIL import Image

from ...data.modalities import MODALITIES
from ...data.preprocess import Preprocessing, resize
from ...data.rgb_conversion import LastFile
from ...data.sample import Sample
from ..picture_sheet import FRAME, MARK, Sheet, loaded, shown_size
from .strips import Strip

# Pixels.
_NARROWEST = 84
_MARGIN, _GAP = 10, 12
_TITLE, _HEAD, _SENSOR = 22, 34, 28


def draw_strip(
    strip: Strip, title: str, image_size: tuple[int, int], preprocessing: Preprocessing | None = None
) -> Image.Image:
    """Draw the picture of one query, RGB. `image_size` (height, width) are the proportions of an image.

    `preprocessing` gives the ranges of 16-bit images and the limits of decoding; None = those of the process.

    Raises:
        InputError: an image that cannot be read.
    """
    return _Columns(image_size, len(strip.retrieved) + 1, preprocessing).draw(strip, title)


class _Columns:
    """Picture with a number of columns, and its dimensions."""

    def __init__(self, image_size: tuple[int, int], columns: int, preprocessing: Preprocessing | None) -> None:
        self.preprocessing = preprocessing
        self.height, self.width = shown_size(image_size)
        self.column = max(self.width, _NARROWEST) + 2 * FRAME
        self.stack = 3 * self.height + 4 * FRAME
        width = 2 * _MARGIN + _SENSOR + columns * self.column + (columns - 1) * _GAP
        self.sheet = Sheet(width, 2 * _MARGIN + _TITLE + _HEAD + self.stack)

    def draw(self, strip: Strip, title: str) -> Image.Image:
        """Draw title, query, then the ranking."""
        query = strip.query
        self.sheet.text(
            _MARGIN,
            _MARGIN,
            f"{title}   query {query.name}   AP {100 * strip.average_precision:.1f} %   "
            f"first match at rank {strip.first_match}",
        )
        top = _MARGIN + _TITLE + _HEAD + FRAME
        for row, modality in enumerate(MODALITIES):
            self.sheet.text(_MARGIN, top + row * (self.height + FRAME) + self.height // 2 - 6, modality)
        self._column(0, query, "query", None)
        for place, found in enumerate(strip.retrieved, 1):
            self._column(place, found.sample, f"{place}   {found.similarity:.3f}", found.right)
        return self.sheet.image

    def _column(self, place: int, sample: Sample, heading: str, right: bool | None) -> None:
        left = _MARGIN + _SENSOR + place * (self.column + _GAP)
        top = _MARGIN + _TITLE
        self.sheet.text(left, top, heading)
        place_seen = f"cam {sample.camera}" if sample.scene < 0 else f"scene {sample.scene}"
        self.sheet.text(left, top + 14, f"id {sample.identity} {place_seen}")
        top += _HEAD
        x = left + (self.column - self.width) // 2
        file = LastFile()
        for row, (modality, source) in enumerate(sample.sources.items()):
            image = loaded(source, self.preprocessing, modality, file)
            shown = resize(image, (self.height, self.width), "bilinear")
            self.sheet.image.paste(shown, (x, top + FRAME + row * (self.height + FRAME)))
        self.sheet.frame((x - FRAME, top, x + self.width + FRAME, top + self.stack), right)
        if right is not None:
            self.sheet.mark(left + self.column - MARK, top - _HEAD, right)
