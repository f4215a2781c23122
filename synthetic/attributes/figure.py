"""Figure of a person: proportions by age, sex and build, direction of view, and primitives in figure units.

The person is 1 high, y = 0 at the crown and 1 at the sole, x = 0 in the middle. Heads are larger than real ones, so
that what is worn on them survives in an image of 64 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from ..part_map import Canvas, Point

#: One value for each slot of traits.toml.
Traits = Mapping[str, str]

#: Numbers in the part map; "far" parts are on the shaded side.
Part = IntEnum(
    "Part",
    "SKIN FAR_SKIN HAIR TEMPLE HAT HAT_TRIM TOP FAR_TOP PATTERN SPLICE INNER BOTTOM FAR_BOTTOM BOTTOM_PATTERN SHOE "
    "SOLE BACKPACK TRIM SHOULDER_BAG HANDBAG PAPER PLASTIC CASE BOX UMBRELLA FRAME LENS MASK SCARF GLOVE EYES LIPS TIE "
    "WHITE BLACK OBJECT RIDE METAL APRON SMOKE CANE STRAP",
)


@dataclass(frozen=True)
class Body:
    """Proportions: heights of head, shoulders and hips, half widths, and how far the back bends."""

    head: float
    shoulder_y: float
    hip_y: float
    shoulders: float
    waist: float
    hips: float
    girth: float
    stoop: float

    @property
    def knee_y(self) -> float:
        """Height of the knees."""
        return (self.hip_y + 0.95) / 2


#: Height of the head, of the hips, and bend of the back by age.
_AGES = {
    "child": (0.250, 0.62, 0.0),
    "young": (0.175, 0.48, 0.0),
    "adult": (0.160, 0.52, 0.0),
    "mature": (0.160, 0.56, 0.015),
    "elder": (0.165, 0.59, 0.04),
}
_BUILDS = {"thin": 0.68, "normal": 1.0, "fat": 1.42}
#: Half widths of shoulders, waist and hips.
_SEXES = {"male": (0.138, 0.096, 0.092), "female": (0.104, 0.066, 0.116)}


def body_of(traits: Traits) -> Body:
    """Return the proportions of a person."""
    head, hip_y, stoop = _AGES[traits["age"]]
    girth = _BUILDS[traits["build"]]
    shoulders, waist, hips = _SEXES[traits["sex"]]
    small = 0.86 if traits["age"] == "child" else 1.0
    broad = small * (0.5 + 0.5 * girth)
    return Body(
        head=head,
        shoulder_y=head + 0.045 - stoop,
        hip_y=hip_y,
        shoulders=shoulders * broad,
        waist=waist * girth * small,
        hips=hips * broad * (0.85 + 0.15 * girth),
        girth=girth,
        stoop=stoop,
    )


class Figure:
    """A person on a canvas; `yaw` in radians (0 faces the camera), `phase` of the step in radians."""

    def __init__(self, canvas: Canvas, traits: Traits, yaw: float, phase: float) -> None:
        self.canvas, self.traits, self.body = canvas, traits, body_of(traits)
        self.front, self.side = math.cos(yaw), math.sin(yaw)
        # A body is about half as deep as it is wide.
        self.width = math.hypot(self.front, 0.6 * self.side)
        reach = {"walking": 0.42, "running": 0.8, "standing": 0.05}.get(traits["motion"], 0.3)
        self.swing = reach * math.sin(phase)
        if traits["motion"] == "running":
            self.swing = math.copysign(max(abs(self.swing), 0.55), self.swing)
        #: Middle of the head; a bent back carries it forward.
        self.head_x = (0.012 + 1.6 * self.body.stoop) * self.side
        self.head_y = self.body.stoop

    def has(self, slot: str, *values: str) -> bool:
        """Return True if a slot has one of the values."""
        return self.traits[slot] in values

    @property
    def faces(self) -> bool:
        """True where the face is seen, from the side too."""
        return self.front > -0.45

    @property
    def sideways(self) -> bool:
        """True from the side."""
        return abs(self.side) > 0.6

    @property
    def turned_away(self) -> bool:
        """True from behind."""
        return self.front < -0.45

    def polygon(self, points: list[Point], part: Part) -> None:
        """Fill a polygon."""
        self.canvas.polygon(points, part)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, part: Part) -> None:
        """Fill an ellipse."""
        self.canvas.ellipse(x, y, radius_x, radius_y, part)

    def limb(self, start: Point, end: Point, start_width: float, end_width: float, part: Part) -> None:
        """Fill a tapered limb with round ends; widths are half widths."""
        self.canvas.limb(start, end, start_width, end_width, part)

    def box(self, left: float, top: float, right: float, bottom: float, part: Part) -> None:
        """Fill an upright rectangle."""
        self.canvas.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], part)

    def shape(self, rows: list[tuple[float, float]], part: Part, x: float = 0.0) -> None:
        """Fill a symmetric shape of rows (half width, y) around `x`."""
        right = [(x + half, y) for half, y in rows]
        self.canvas.polygon(right + [(x - half, y) for half, y in reversed(rows)], part)
