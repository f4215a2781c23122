"""Pictures of persons: what is true is seen, what is hidden is not."""

from __future__ import annotations

import numpy as np
import pytest
from mambapro.synthetic.attributes.portrait import draw_portrait
from mambapro.synthetic.attributes.traits import trait_tables
from PIL import Image

#: Somebody plain.
PLAIN = {slot: next(iter(values)) for slot, values in trait_tables()["pa100k"].items()} | {"motion": "standing"}
#: Slots and values of all sets that differ from it, but for the views.
OTHERS = sorted(
    {
        (slot, value)
        for table in trait_tables().values()
        for slot, values in table.items()
        for value in values
        if slot != "view" and value != PLAIN[slot]
    }
)


def draw(view: str, **traits: str) -> np.ndarray:
    """A picture of somebody plain with other traits, in the size of the smallest models: int16 (64, 64, 3)."""
    pixels = draw_portrait(np.random.default_rng(3), 0, PLAIN | {"view": view} | traits, np.random.default_rng(4))
    small = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR)
    return np.asarray(small).astype(np.int16)


def changed(first: np.ndarray, second: np.ndarray) -> int:
    """Number of pixels that differ clearly."""
    return int((np.abs(first - second).max(axis=2) > 24).sum())


@pytest.mark.parametrize(("slot", "value"), OTHERS, ids=lambda text: text)
def test_every_trait_is_seen(slot: str, value: str) -> None:
    """Each value of each trait changes the picture from some side by more than a few pixels, even at 64 x 64."""
    # stripes on a bare leg, and the color of jeans, are not to be seen
    most = max(changed(draw(view), draw(view, **{slot: value})) for view in ("front", "side", "back"))

    assert most >= 12


def test_views_differ() -> None:
    """Front, side and back are three pictures."""
    front, side, back = (draw(view) for view in ("front", "side", "back"))

    assert min(changed(front, side), changed(front, back), changed(side, back)) > 60


@pytest.mark.parametrize(
    ("traits", "view"),
    [
        ({"eyes": "glasses"}, "back"),
        ({"upper_pattern": "logo"}, "back"),
        ({"neck": "v"}, "back"),
        ({"arms": "holding"}, "front"),
    ],
    ids=["glasses", "logo", "neckline", "held"],
)
def test_what_is_hidden_is_not_drawn(traits: dict[str, str], view: str) -> None:
    """From behind nobody sees glasses, a logo or a neckline; what is held is seen from the front."""
    assert (changed(draw(view), draw(view, **traits)) == 0) == (view == "back")


def test_sizes_vary() -> None:
    """Crops have the sizes and shapes of pedestrian crops, and the same generators draw the same pixels."""
    pictures = [draw_portrait(np.random.default_rng(n), 0, PLAIN, np.random.default_rng(n)) for n in range(20)]

    heights, widths = zip(*(picture.shape[:2] for picture in pictures), strict=True)
    assert len(set(heights)) > 10 and min(heights) >= 128 and max(heights) <= 300
    assert len(set(widths)) > 8 and min(widths) >= 64 and max(widths) <= 116
    again = draw_portrait(np.random.default_rng(7), 0, PLAIN, np.random.default_rng(7))
    np.testing.assert_array_equal(again, pictures[7])
