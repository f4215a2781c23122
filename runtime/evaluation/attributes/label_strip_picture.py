"""Picture of one label: images of right decisions, then of wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from ...data.preprocess import Preprocessing, resize
from ...data.rgb_conversion import LastFile
from ..picture_sheet import FRAME, MARK, Sheet, loaded, shown_size

if TYPE_CHECKING:
    from .label_strips import Decision, LabelStrip

#: Proportions (height, width) of the shown image: those of a person, whatever the model's input has.
PERSON = (256, 128)
# Pixels.
_MARGIN, _GAP, _BETWEEN = 10, 10, 34
_TITLE, _HEAD, _NARROWEST = 40, 34, 84


def draw_label_strip(strip: LabelStrip, title: str, preprocessing: Preprocessing, count: int) -> Image.Image:
    """Draw the picture of one label, RGB, with room for `count` right and `count` wrong decisions.

    Raises:
        InputError: an image that cannot be read.
    """
    height, width = shown_size(PERSON)
    column = max(width, _NARROWEST) + 2 * FRAME
    block = count * column + (count - 1) * _GAP
    sheet = Sheet(2 * _MARGIN + 2 * block + _BETWEEN, 2 * _MARGIN + _TITLE + _HEAD + height + 2 * FRAME)
    sheet.text(_MARGIN, _MARGIN, f"{strip.label}   {title}")
    sheet.text(_MARGIN, _MARGIN + 16, strip.caption)
    for side, decisions in enumerate((strip.right, strip.wrong)):
        left = _MARGIN + side * (block + _BETWEEN)
        if not decisions:
            sheet.text(left, _MARGIN + _TITLE, ("none is right", "none is wrong")[side])
        for place, decision in enumerate(decisions):
            _draw(sheet, decision, (left + place * (column + _GAP), column), (height, width), preprocessing)
    return sheet.image


def _draw(
    sheet: Sheet, decision: Decision, column: tuple[int, int], size: Sequence[int], preprocessing: Preprocessing
) -> None:
    """Draw one image with the probability, the true label, frame and mark; `column` is (left, width)."""
    left, width = column
    top = _MARGIN + _TITLE
    sheet.text(left, top, "assigned" if decision.probability is None else f"p {decision.probability:.3f}")
    sheet.text(left, top + 14, "has it" if decision.truth else "has it not")
    sheet.mark(left + width - MARK, top, decision.right)
    top += _HEAD
    x = left + (width - size[1]) // 2
    ((modality, source), *_) = decision.sample.sources.items()
    image = loaded(source, preprocessing, modality, LastFile())
    sheet.image.paste(resize(image, (size[0], size[1]), "bilinear"), (x, top + FRAME))
    sheet.frame((x - FRAME, top, x + size[1] + FRAME, top + size[0] + 2 * FRAME), decision.right)
