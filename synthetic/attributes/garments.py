"""Clothes of the trunk: outline, kinds of tops with their cues, patterns, skirts and aprons."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..part_map import Point
from .figure import Figure, Part

#: How far a top stands off the body.
_WIDE = {"padded": 1.28, "coat": 1.15, "gown": 1.2, "suit": 1.1, "jacket": 1.12, "sweater": 1.08, "tight": 0.86}
#: Kinds that are open in front.
_OPEN = ("jacket", "coat")


class Trunk:
    """Outline of the clothed trunk: half widths by height."""

    def __init__(self, figure: Figure) -> None:
        body = figure.body
        wide = figure.width * _WIDE.get(figure.traits["upper"], 1.0)
        self.figure, self.top, self.bottom = figure, body.shoulder_y, body.hip_y + 0.035
        self.rows: list[Point] = [
            (0.035, body.shoulder_y - 0.025),
            (0.90 * body.shoulders * wide, body.shoulder_y),
            (body.shoulders * wide, body.shoulder_y + 0.035),
            (0.5 * (body.shoulders + body.waist) * wide, 0.55 * body.shoulder_y + 0.45 * body.hip_y),
            (body.waist * wide, 0.3 * body.shoulder_y + 0.7 * body.hip_y),
            (body.hips * wide, body.hip_y),
            (body.hips * wide, self.bottom),
        ]

    def half(self, y: float) -> float:
        """Return the half width at a height."""
        return float(np.interp(y, [row[1] for row in self.rows], [row[0] for row in self.rows]))

    def at(self, share: float) -> float:
        """Return the height of a share of the way from shoulders to hem."""
        return self.top + share * (self.bottom - self.top)

    def band(self, first: float, last: float, part: Part, left: float = -1.0, right: float = 1.0) -> None:
        """Fill a band across, between two shares of the height; left and right are shares of the half width."""
        steps = [first, *(s for s in (0.08, 0.45, 0.68, 0.9) if first < s < last), last]
        rows = [(self.half(self.at(s)), self.at(s)) for s in steps]
        points = [(right * half, y) for half, y in rows] + [(left * half, y) for half, y in reversed(rows)]
        self.figure.polygon(points, part)


def draw_trunk(figure: Figure) -> None:
    """Draw hips, top, skirt and what lies over them."""
    body, trunk = figure.body, Trunk(figure)
    neck = (figure.head_x * 0.5, body.shoulder_y - 0.01)
    figure.limb((figure.head_x * 0.8, figure.head_y + body.head - 0.02), neck, 0.030, 0.036, Part.SKIN)
    hip = body.hips * figure.width
    figure.shape([(hip, body.hip_y - 0.03), (hip, body.hip_y + 0.03), (0.9 * hip, body.hip_y + 0.09)], Part.BOTTOM)
    _skirt(figure, hip)
    figure.shape(trunk.rows, Part.TOP)
    _pattern(trunk)
    cue = _CUES.get(figure.traits["upper"])
    if cue is not None:
        cue(trunk)
    if figure.has("neck", "v") and figure.faces:
        _neckline(trunk, 0.30, Part.SKIN)
    if figure.has("lower", "dress"):
        trunk.band(0.66, 0.74, Part.TRIM)
    if figure.has("role", "clerk"):
        _apron(trunk)


def _skirt(figure: Figure, hip: float) -> None:
    top, lower = figure.body.hip_y - 0.03, figure.traits["lower"]
    ends = {"short_skirt": (0.4, 1.5), "long_skirt": (0.92, 1.5), "dress": (0.62, 1.85)}
    if lower not in ends:
        return
    share, flare = ends[lower]
    # a dress is of one piece with its top
    part = Part.TOP if lower == "dress" else Part.BOTTOM
    bottom = top + share * (0.95 - top)
    wide = flare * hip + 0.015
    figure.shape([(hip, top), (hip * 1.1, top + 0.05), (wide, bottom)], part)
    if figure.has("lower_pattern", "stripe"):
        for share in (0.35, 0.6, 0.85):
            y = top + share * (bottom - top)
            half = hip + share * (wide - hip)
            figure.shape([(half, y), (half, y + 0.028)], Part.BOTTOM_PATTERN)
    if figure.has("lower_pattern", "pattern"):
        _dots(figure, top + 0.05, bottom - 0.03, 0.8 * hip)


def _dots(figure: Figure, top: float, bottom: float, half: float) -> None:
    for row, y in enumerate(np.arange(top, bottom, 0.065)):
        for x in (-0.66, 0.0, 0.66) if row % 2 else (-0.33, 0.33):
            figure.ellipse(x * 1.3 * half, float(y), 0.025, 0.024, Part.BOTTOM_PATTERN)


def _pattern(trunk: Trunk) -> None:
    kind = trunk.figure.traits["upper_pattern"]
    if kind in ("stripes", "thick_stripes"):
        count = 5 if kind == "stripes" else 3
        for index in range(count):
            trunk.band((index + 0.35) / count, (index + 0.85) / count, Part.PATTERN)
    elif kind == "plaid":
        for share in (0.14, 0.38, 0.62, 0.86):
            trunk.band(share, share + 0.07, Part.PATTERN)
        for x in (-0.72, -0.1, 0.52):
            trunk.band(0.04, 1.0, Part.PATTERN, x, x + 0.2)
    elif kind == "splice":
        trunk.band(0.48, 1.0, Part.SPLICE)
    elif kind == "logo" and trunk.figure.faces:
        figure = trunk.figure
        x = 0.07 * figure.side
        figure.ellipse(x, trunk.at(0.36), 0.075 * figure.width, 0.066, Part.PATTERN)
        figure.ellipse(x, trunk.at(0.36), 0.03 * figure.width, 0.026, Part.TOP)


def _neckline(trunk: Trunk, depth: float, part: Part, wide: float = 0.055) -> None:
    figure, x = trunk.figure, 0.06 * trunk.figure.side
    top = trunk.top - 0.02
    figure.polygon([(x - wide * figure.width, top), (x + wide * figure.width, top), (x, trunk.at(depth))], part)


def _shirt(trunk: Trunk) -> None:
    figure = trunk.figure
    figure.shape([(0.055, trunk.top - 0.03), (0.06, trunk.top + 0.015)], Part.WHITE, figure.head_x * 0.4)
    if figure.faces:
        x = 0.075 * figure.side
        figure.box(x - 0.009, trunk.top, x + 0.009, trunk.bottom, Part.WHITE)


def _sweater(trunk: Trunk) -> None:
    # a rolled collar and a ribbed hem
    figure = trunk.figure
    figure.shape([(0.052, trunk.top - 0.05), (0.056, trunk.top + 0.01)], Part.SPLICE, figure.head_x * 0.4)
    trunk.band(0.86, 1.0, Part.SPLICE)


def _vest(trunk: Trunk) -> None:
    if trunk.figure.faces:
        _neckline(trunk, 0.6, Part.INNER, 0.07)


def _padded(trunk: Trunk) -> None:
    for share in (0.2, 0.42, 0.64, 0.86):
        trunk.band(share, share + 0.035, Part.FAR_TOP)
    figure = trunk.figure
    figure.shape([(0.07, trunk.top - 0.045), (0.085, trunk.top + 0.01)], Part.FAR_TOP, figure.head_x * 0.4)


def _jacket(trunk: Trunk) -> None:
    figure = trunk.figure
    if figure.faces:
        middle = 0.62 * figure.side
        trunk.band(0.0, 1.0, Part.INNER, max(-0.95, middle - 0.27), min(0.95, middle + 0.27))
    else:
        # the hood lies on the back
        figure.ellipse(0.0, trunk.at(0.1), 0.065, 0.045, Part.FAR_TOP)
    trunk.band(0.92, 1.0, Part.FAR_TOP, -1.0, -0.3 if figure.faces else 1.0)


def _suit(trunk: Trunk) -> None:
    figure = trunk.figure
    if figure.faces:
        _neckline(trunk, 0.55, Part.WHITE, 0.075)
        x = 0.06 * figure.side
        figure.polygon(
            [(x - 0.016, trunk.top), (x + 0.016, trunk.top), (x + 0.01, trunk.at(0.5)), (x - 0.01, trunk.at(0.5))],
            Part.TIE,
        )
    else:
        figure.shape([(0.055, trunk.top - 0.035), (0.06, trunk.top - 0.01)], Part.WHITE)
        figure.box(-0.006, trunk.at(0.6), 0.006, trunk.bottom, Part.BLACK)


def _tight(trunk: Trunk) -> None:
    for side in (-1.0, 0.76):
        trunk.band(0.1, 1.0, Part.SPLICE, side, side + 0.24)


def _coat(trunk: Trunk) -> None:
    figure, body = trunk.figure, trunk.figure.body
    end = body.hip_y + 0.62 * (0.95 - body.hip_y)
    hem = trunk.rows[-1][0] * 1.22
    figure.shape([(trunk.rows[-2][0], body.hip_y), (hem, end)], Part.TOP)
    if figure.faces:
        x = 0.07 * figure.side
        figure.box(x - 0.008, trunk.top, x + 0.008, end, Part.FAR_TOP)
        _neckline(trunk, 0.25, Part.INNER, 0.06)
    trunk.band(0.66, 0.75, Part.FAR_TOP)


def _gown(trunk: Trunk) -> None:
    figure, body = trunk.figure, trunk.figure.body
    figure.shape([(trunk.rows[-2][0], body.hip_y), (trunk.rows[-1][0] * 1.35, 0.9)], Part.TOP)
    if figure.faces:
        for x in (-0.055, 0.055):
            middle = x * figure.width + 0.05 * figure.side
            figure.box(middle - 0.018, trunk.top - 0.01, middle + 0.018, body.hip_y + 0.12, Part.TIE)
    else:
        _neckline(trunk, 0.5, Part.TIE, 0.09)


def _chef(trunk: Trunk) -> None:
    figure = trunk.figure
    figure.shape([(0.055, trunk.top - 0.03), (0.06, trunk.top + 0.02)], Part.TIE, figure.head_x * 0.4)
    if figure.faces:
        for x in (-0.04, 0.04):
            for share in (0.3, 0.5, 0.7):
                figure.ellipse(x * figure.width + 0.06 * figure.side, trunk.at(share), 0.013, 0.013, Part.BLACK)


def _poncho(trunk: Trunk) -> None:
    hem, wide = trunk.at(0.8), trunk.figure.body.shoulders * trunk.figure.width * 1.5
    trunk.figure.shape([(0.04, trunk.top - 0.03), (wide, hem - 0.03), (wide, hem)], Part.TOP)
    trunk.figure.shape([(wide, hem - 0.03), (wide, hem)], Part.SPLICE)


def _apron(trunk: Trunk) -> None:
    figure, body = trunk.figure, trunk.figure.body
    half = 0.62 * body.hips * figure.width
    if figure.faces:
        x = 0.05 * figure.side
        figure.shape([(half * 0.7, trunk.at(0.25)), (half, trunk.at(0.55)), (half, body.hip_y + 0.13)], Part.APRON, x)
        return
    for sign in (-1, 1):
        figure.limb((sign * half, trunk.top + 0.01), (-sign * half, trunk.at(0.75)), 0.012, 0.012, Part.APRON)


_CUES: dict[str, Callable[[Trunk], None]] = {
    "shirt": _shirt,
    "sweater": _sweater,
    "vest": _vest,
    "padded": _padded,
    "jacket": _jacket,
    "suit": _suit,
    "tight": _tight,
    "coat": _coat,
    "gown": _gown,
    "chef": _chef,
    "poncho": _poncho,
}
