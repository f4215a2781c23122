"""Picture of one ranked retrieval: the query and its results in columns, the three sensors in rows.

Correct results have a solid green frame and a tick, wrong ones a dashed red frame and a cross, so that the picture can
be read without distinguishing the colors.
"""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from ...data.modalities import MODALITIES
from ...data.preprocess import LastFile, Preprocessing, load_source, resize
from ...data.sample import ImageSource, Sample
from .strips import Strip

# Pixels.
_LONG_SIDE = 128
_NARROWEST = 84
_MARGIN, _GAP, _FRAME = 10, 12, 4
_TITLE, _HEAD, _SENSOR = 22, 34, 28
_MARK, _DASH = 11, 7

_PAPER, _INK, _NEUTRAL = (255, 255, 255), (25, 25, 25), (110, 110, 110)
_RIGHT, _WRONG = (0, 135, 60), (205, 20, 40)


def draw_strip(
    strip: Strip, title: str, image_size: tuple[int, int], preprocessing: Preprocessing | None = None
) -> Image.Image:
    """Draw the picture of one query, RGB. `image_size` (height, width) are the proportions of an image.

    `preprocessing` gives the ranges of 16-bit images and the limits of decoding; None = those of the process.

    Raises:
        InputError: an image that cannot be read.
    """
    return _Sheet(image_size, len(strip.retrieved) + 1, preprocessing).draw(strip, title)


class _Sheet:
    """Picture with a number of columns, and its dimensions."""

    def __init__(self, image_size: tuple[int, int], columns: int, preprocessing: Preprocessing | None) -> None:
        self.preprocessing = preprocessing
        scale = _LONG_SIDE / max(image_size)
        self.height, self.width = (max(1, round(side * scale)) for side in image_size)
        self.column = max(self.width, _NARROWEST) + 2 * _FRAME
        self.stack = 3 * self.height + 4 * _FRAME
        width = 2 * _MARGIN + _SENSOR + columns * self.column + (columns - 1) * _GAP
        self.sheet = Image.new("RGB", (width, 2 * _MARGIN + _TITLE + _HEAD + self.stack), _PAPER)
        self.pen = ImageDraw.Draw(self.sheet)
        self.font = ImageFont.load_default()

    def draw(self, strip: Strip, title: str) -> Image.Image:
        """Draw title, query, then the ranking."""
        query = strip.query
        self._text(
            _MARGIN,
            _MARGIN,
            f"{title}   query {query.name}   AP {100 * strip.average_precision:.1f} %   "
            f"first match at rank {strip.first_match}",
        )
        top = _MARGIN + _TITLE + _HEAD + _FRAME
        for row, modality in enumerate(MODALITIES):
            self._text(_MARGIN, top + row * (self.height + _FRAME) + self.height // 2 - 6, modality)
        self._column(0, query, "query", None)
        for place, found in enumerate(strip.retrieved, 1):
            self._column(place, found.sample, f"{place}   {found.similarity:.3f}", found.right)
        return self.sheet

    def _column(self, place: int, sample: Sample, heading: str, right: bool | None) -> None:
        left = _MARGIN + _SENSOR + place * (self.column + _GAP)
        top = _MARGIN + _TITLE
        self._text(left, top, heading)
        place_seen = f"cam {sample.camera}" if sample.scene < 0 else f"scene {sample.scene}"
        self._text(left, top + 14, f"id {sample.identity} {place_seen}")
        top += _HEAD
        x = left + (self.column - self.width) // 2
        file = LastFile()
        for row, (modality, source) in enumerate(sample.sources.items()):
            image = resize(self._load(source, modality, file), (self.height, self.width), "bilinear")
            self.sheet.paste(image, (x, top + _FRAME + row * (self.height + _FRAME)))
        box = (x - _FRAME, top, x + self.width + _FRAME, top + self.stack)
        self._frame(box, right)
        if right is not None:
            self._mark(left + self.column - _MARK, top - _HEAD, right)

    def _load(self, source: ImageSource, modality: str, file: LastFile) -> Image.Image:
        pre = self.preprocessing
        if pre is None:
            return load_source(source, sensor=modality, file=file)
        return load_source(source, pre.range_of(modality), modality, pre.settings, file)

    def _frame(self, box: tuple[int, int, int, int], right: bool | None) -> None:
        left, top, after, below = box
        if right is not False:
            colour = _NEUTRAL if right is None else _RIGHT
            self.pen.rectangle((left, top, after - 1, below - 1), outline=colour, width=_FRAME)
            return
        for start in range(left, after, 2 * _DASH):
            end = min(start + _DASH, after) - 1
            for y in (top, below - _FRAME):
                self.pen.rectangle((start, y, end, y + _FRAME - 1), fill=_WRONG)
        for start in range(top, below, 2 * _DASH):
            end = min(start + _DASH, below) - 1
            for x in (left, after - _FRAME):
                self.pen.rectangle((x, start, x + _FRAME - 1, end), fill=_WRONG)

    def _mark(self, x: int, y: int, right: bool) -> None:
        """Draw a tick or a cross, _MARK pixels wide."""
        far, middle = _MARK - 1, _MARK // 2
        if right:
            self.pen.line([(x, y + middle), (x + middle - 1, y + far), (x + far, y)], fill=_RIGHT, width=3)
            return
        self.pen.line([(x, y), (x + far, y + far)], fill=_WRONG, width=3)
        self.pen.line([(x, y + far), (x + far, y)], fill=_WRONG, width=3)

    def _text(self, x: int, y: int, text: str) -> None:
        # Pillow's own font has few other characters, and older versions raise
        self.pen.text((x, y), text.encode("ascii", "replace").decode(), fill=_INK, font=self.font)
