"""White sheet of a picture with images that are right or wrong.

Correct results have a solid green frame and a tick, wrong ones a dashed red frame and a cross, so that the picture can
be read without distinguishing the colors.
"""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from ..data.preprocess import Preprocessing, load_source
from ..data.rgb_conversion import LastFile
from ..data.sample import ImageSource

#: Pixels: longer side of an image, width of a frame and of a mark.
LONG_SIDE, FRAME, MARK = 128, 4, 11
_DASH = 7

_PAPER, _INK, _NEUTRAL = (255, 255, 255), (25, 25, 25), (110, 110, 110)
_RIGHT, _WRONG = (0, 135, 60), (205, 20, 40)


class Sheet:
    """Picture of `width` x `height` pixels with text, images, frames and marks."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), _PAPER)
        self._pen = ImageDraw.Draw(self.image)
        self._font = ImageFont.load_default()

    def text(self, x: int, y: int, text: str) -> None:
        """Write a line of text whose top left corner is (x, y)."""
        # Pillow's own font has few other characters, and older versions raise
        self._pen.text((x, y), text.encode("ascii", "replace").decode(), fill=_INK, font=self._font)

    def frame(self, box: tuple[int, int, int, int], right: bool | None) -> None:
        """Draw a frame inside a box (left, top, right, bottom): green, red and dashed, or gray for None."""
        left, top, after, below = box
        if right is not False:
            color = _NEUTRAL if right is None else _RIGHT
            self._pen.rectangle((left, top, after - 1, below - 1), outline=color, width=FRAME)
            return
        for start in range(left, after, 2 * _DASH):
            end = min(start + _DASH, after) - 1
            for y in (top, below - FRAME):
                self._pen.rectangle((start, y, end, y + FRAME - 1), fill=_WRONG)
        for start in range(top, below, 2 * _DASH):
            end = min(start + _DASH, below) - 1
            for x in (left, after - FRAME):
                self._pen.rectangle((x, start, x + FRAME - 1, end), fill=_WRONG)

    def mark(self, x: int, y: int, right: bool) -> None:
        """Draw a tick or a cross, MARK pixels wide."""
        far, middle = MARK - 1, MARK // 2
        if right:
            self._pen.line([(x, y + middle), (x + middle - 1, y + far), (x + far, y)], fill=_RIGHT, width=3)
            return
        self._pen.line([(x, y), (x + far, y + far)], fill=_WRONG, width=3)
        self._pen.line([(x, y + far), (x + far, y)], fill=_WRONG, width=3)


def shown_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of an image in a picture, of the proportions of `image_size`."""
    scale = LONG_SIDE / max(image_size)
    return max(1, round(image_size[0] * scale)), max(1, round(image_size[1] * scale))


def loaded(source: ImageSource, preprocessing: Preprocessing | None, modality: str, file: LastFile) -> Image.Image:
    """Load an image for a picture; `preprocessing` gives ranges and limits of decoding, None = those of the process.

    Raises:
        InputError: the image cannot be read.
    """
    if preprocessing is None:
        return load_source(source, sensor=modality, file=file)
    return load_source(source, preprocessing.range_of(modality), modality, preprocessing.settings, file)
