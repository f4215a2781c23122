"""Colors of a drawn person: the named ones of clothes and hair, and those of things."""

from __future__ import annotations

import numpy as np

from .. import settings
from ..palette import SKIN, Colour, choose_colour
from ..part_map import PARTS, Floats
from .figure import Part, Traits

#: Colors that the sets name.
NAMED: dict[str, Colour] = {
    "black": (0.06, 0.06, 0.07),
    "blue": (0.12, 0.3, 0.82),
    "brown": (0.42, 0.25, 0.12),
    "green": (0.1, 0.52, 0.18),
    "grey": (0.5, 0.5, 0.51),
    "orange": (0.95, 0.5, 0.08),
    "pink": (0.95, 0.52, 0.66),
    "purple": (0.48, 0.18, 0.66),
    "red": (0.84, 0.1, 0.12),
    "white": (0.93, 0.93, 0.92),
    "yellow": (0.95, 0.84, 0.15),
}
_JEANS: Colour = (0.2, 0.34, 0.62)
_HAIR: dict[str, Colour] = {
    "black": (0.05, 0.045, 0.045),
    "brown": (0.36, 0.2, 0.1),
    "yellow": (0.88, 0.72, 0.36),
    "grey": (0.56, 0.56, 0.57),
    "white": (0.9, 0.9, 0.9),
}
#: Parts of one color on everybody.
_FIXED: dict[Part, Colour] = {
    Part.TEMPLE: (0.78, 0.78, 0.78),
    Part.LENS: (0.72, 0.8, 0.86),
    Part.FRAME: (0.05, 0.05, 0.06),
    Part.EYES: (0.07, 0.06, 0.06),
    Part.LIPS: (0.72, 0.26, 0.26),
    Part.WHITE: (0.94, 0.94, 0.93),
    Part.BLACK: (0.05, 0.05, 0.06),
    Part.PAPER: (0.8, 0.63, 0.42),
    Part.PLASTIC: (0.96, 0.96, 0.98),
    Part.BOX: (0.66, 0.46, 0.25),
    Part.METAL: (0.7, 0.71, 0.73),
    Part.SMOKE: (0.86, 0.86, 0.87),
    Part.CANE: (0.4, 0.24, 0.1),
    Part.TIE: (0.82, 0.1, 0.12),
    Part.APRON: (0.1, 0.62, 0.6),
}
#: Parts of any color; those of the second column are visibly unlike another part, lighter or darker.
_ANY: dict[Part, Part | None] = {
    Part.HAT: Part.HAIR,
    Part.HAT_TRIM: Part.HAT,
    Part.PATTERN: Part.TOP,
    Part.SPLICE: Part.TOP,
    Part.INNER: Part.TOP,
    Part.BOTTOM_PATTERN: Part.BOTTOM,
    Part.BACKPACK: Part.TOP,
    Part.TRIM: Part.BACKPACK,
    Part.SHOULDER_BAG: Part.TOP,
    Part.STRAP: Part.TOP,
    Part.HANDBAG: Part.BOTTOM,
    Part.CASE: Part.BOTTOM,
    Part.UMBRELLA: Part.BOTTOM,
    Part.SCARF: Part.TOP,
    Part.GLOVE: Part.SKIN,
    Part.OBJECT: Part.TOP,
    Part.RIDE: None,
    Part.SOLE: Part.SHOE,
}
_PALETTE = np.array(list(NAMED.values()))
_LUMINANCE = np.array((0.299, 0.587, 0.114), np.float32)
#: Difference in luminance between colors that are visibly unlike.
_UNLIKE = 0.3
_FAR = {Part.FAR_SKIN: Part.SKIN, Part.FAR_TOP: Part.TOP, Part.FAR_BOTTOM: Part.BOTTOM}
_MASKS: tuple[Colour, ...] = ((0.35, 0.72, 0.9), (0.93, 0.94, 0.95), (0.12, 0.13, 0.15))


def color_table(rng: np.random.Generator, traits: Traits) -> Floats:
    """Return the color of every part of a person: float32 (256, 3), 0..1; row 0, the background, is black."""
    table = np.zeros((PARTS, 3), np.float32)
    for part, color in _FIXED.items():
        table[part] = color
    table[Part.SKIN] = choose_colour(rng, SKIN)
    table[Part.HAIR] = _near(rng, _HAIR[traits["hair_color"]])
    table[Part.TOP] = _near(rng, NAMED[traits["upper_color"]])
    jeans = traits["lower"] == "jeans"
    table[Part.BOTTOM] = _near(rng, _JEANS if jeans else NAMED[traits["lower_color"]])
    table[Part.SHOE] = _near(rng, NAMED[traits["shoe_color"]])
    table[Part.MASK] = _MASKS[int(rng.integers(len(_MASKS)))]
    _choose_others(rng, table)
    if jeans:
        table[Part.SOLE] = np.clip(table[Part.BOTTOM] * 1.6, 0, 1)
    for part, near in _FAR.items():
        # dark cloth has lighter seams and folds
        dark = table[near].mean() < 0.2 and part != Part.FAR_SKIN
        table[part] = np.clip(table[near] + 0.16, 0, 1) if dark else table[near] * 0.74
    return table


def _choose_others(rng: np.random.Generator, table: Floats) -> None:
    """Choose a named color for each part of any color, the first of a random order that is lighter or darker."""
    jitter = rng.uniform(-settings.COLOUR_JITTER, settings.COLOUR_JITTER, (len(_ANY), 1, 3))
    choices = np.clip(_PALETTE + jitter, 0.02, 0.98).astype(np.float32)
    orders = rng.permuted(np.tile(np.arange(len(_PALETTE)), (len(_ANY), 1)), axis=1)
    for (part, other), colors, order in zip(_ANY.items(), choices, orders, strict=True):
        ordered = colors[order]
        unlike = np.zeros(len(order)) if other is None else ordered @ _LUMINANCE - table[other] @ _LUMINANCE
        # lighter than dark and middle tones, darker than light ones
        wanted = unlike < -_UNLIKE if other is not None and table[other] @ _LUMINANCE > 0.55 else unlike > _UNLIKE
        table[part] = ordered[int(np.argmax(wanted))]


def _near(rng: np.random.Generator, color: Colour) -> Floats:
    jitter = rng.uniform(-settings.COLOUR_JITTER, settings.COLOUR_JITTER, 3)
    return np.clip(np.asarray(color) + jitter, 0.02, 0.98).astype(np.float32)
