"""Persons: pose in an image, and part map.

Figure units: the person is 1 high, y = 0 at the crown and 1 at the sole, x = 0 in the middle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .identity import PersonLook, PersonPart
from .part_map import Canvas, Point


@dataclass(frozen=True)
class PersonPose:
    """Pose of a person in one image: `yaw` in radians (0 faces the camera), `phase` of the step in radians."""

    yaw: float
    phase: float


def draw_person(canvas: Canvas, look: PersonLook, pose: PersonPose, base: int = 0) -> None:
    """Draw a person at the position of the canvas; `base` is added to the part numbers."""
    _Painter(canvas, look, pose, base).draw()


class _Painter:
    def __init__(self, canvas: Canvas, look: PersonLook, pose: PersonPose, base: int) -> None:
        self.canvas, self.look, self.base = canvas, look, base
        self.front = math.cos(pose.yaw)
        self.side = math.sin(pose.yaw)
        self.swing = 0.42 * math.sin(pose.phase)
        # A body is about half as deep as it is wide.
        self.width = math.hypot(self.front, 0.55 * self.side)

    def draw(self) -> None:
        backpack = self.look.bag == "backpack"
        self.leg(-1, far=True)
        self.arm(-1, far=True)
        self.leg(+1, far=False)
        if backpack and self.front > 0.3:
            self.backpack_behind()
        self.torso()
        if backpack:
            self.backpack()
        self.head()
        self.arm(+1, far=False)
        if self.look.bag in ("shoulder", "hand"):
            self.carried_bag()

    def polygon(self, points: list[Point], part: PersonPart) -> None:
        self.canvas.polygon(points, part + self.base)

    def ellipse(self, x: float, y: float, rx: float, ry: float, part: PersonPart) -> None:
        self.canvas.ellipse(x, y, rx, ry, part + self.base)

    def limb(self, a: Point, b: Point, wa: float, wb: float, part: PersonPart) -> None:
        self.canvas.limb(a, b, wa, wb, part + self.base)

    def leg(self, side: int, far: bool) -> None:
        look, part = self.look, PersonPart
        cloth = part.FAR_BOTTOM if far else part.BOTTOM
        skin = part.FAR_SKIN if far else part.SKIN
        hip = (0.048 * look.girth * side * self.front, 0.50)
        angle = self.swing * side
        spread = self.side * math.sin(angle)
        bend = max(0.0, -angle * self.side) * 0.25
        knee = (hip[0] * 1.05 + 0.24 * spread, 0.725)
        ankle = (
            hip[0] * 1.1 + 0.45 * spread - 0.3 * bend * np.sign(self.side),
            0.945 - 0.04 * abs(math.sin(angle)) * (angle < 0),
        )
        thigh, calf, shin = 0.052 * look.girth, 0.038 * look.girth, 0.026 * look.girth
        bare = look.bottom != "trousers"
        self.limb(knee, ankle, calf, shin, skin if bare else cloth)
        self.limb(hip, knee, thigh, calf * 1.08, skin if look.bottom == "skirt" else cloth)
        toe = 0.06 * self.side
        self.polygon(
            [
                (ankle[0] - 0.030, ankle[1] - 0.005),
                (ankle[0] + 0.030, ankle[1] - 0.005),
                (ankle[0] + 0.034 + max(toe, 0), ankle[1] + 0.05),
                (ankle[0] - 0.034 + min(toe, 0), ankle[1] + 0.05),
            ],
            part.SHOES,
        )

    def arm(self, side: int, far: bool) -> None:
        look, part = self.look, PersonPart
        cloth = part.FAR_TOP if far else part.TOP
        skin = part.FAR_SKIN if far else part.SKIN
        shoulder = (look.shoulders * side * self.front * 0.98, 0.20)
        swing = -0.8 * self.swing * side * self.side
        elbow = (shoulder[0] + 0.035 * side * self.front * look.girth + 0.15 * math.sin(swing), 0.345)
        hand = (elbow[0] + 0.008 * side * self.front + 0.15 * math.sin(swing * 1.6), 0.495)
        upper, lower = 0.036 * look.girth, 0.027 * look.girth
        long = look.sleeves == "long"
        self.limb(elbow, hand, lower, lower * 0.85, cloth if long else skin)
        self.limb(shoulder, elbow, upper, lower * 1.1, cloth)
        self.ellipse(hand[0], hand[1] + 0.012, 0.022, 0.026, skin)
        if side > 0:
            self.hand = hand

    def outline(self) -> list[Point]:
        look = self.look
        shoulder = look.shoulders * self.width
        chest = (look.shoulders * 0.92) * self.width * (0.5 + 0.5 * look.girth)
        waist, hip = 0.082 * look.girth * self.width, 0.098 * look.girth * self.width
        right = [
            (0.035, 0.158),
            (shoulder * 0.92, 0.178),
            (shoulder, 0.21),
            (chest, 0.29),
            (waist, 0.40),
            (hip, 0.49),
            (hip, 0.53),
        ]
        return right + [(-x, y) for x, y in reversed(right)]

    def torso(self) -> None:
        part, outline = PersonPart, self.outline()
        self.limb((0.0, 0.12), (0.0, 0.17), 0.030, 0.036, part.SKIN)
        hip = 0.100 * self.look.girth * self.width
        if self.look.bottom == "skirt":
            flare = hip * 1.45 + 0.02
            self.polygon([(-hip, 0.47), (hip, 0.47), (flare, 0.70), (-flare, 0.70)], part.BOTTOM)
        else:
            self.polygon([(-hip, 0.47), (hip, 0.47), (hip * 0.95, 0.57), (-hip * 0.95, 0.57)], part.BOTTOM)
        self.polygon(outline, part.TOP)
        self.pattern()

    def half_width(self, y: float) -> float:
        right = self.outline()[:7]
        return float(np.interp(y, [p[1] for p in right], [p[0] for p in right]))

    def band(self, top: float, bottom: float, left: float = -1.0, right: float = 1.0) -> None:
        upper, lower = self.half_width(top), self.half_width(bottom)
        self.polygon(
            [(left * upper, top), (right * upper, top), (right * lower, bottom), (left * lower, bottom)],
            PersonPart.PATTERN,
        )

    def pattern(self) -> None:
        kind = self.look.pattern
        if kind == "stripes":
            for top in (0.21, 0.28, 0.35, 0.42, 0.49):
                self.band(top, top + 0.032)
        elif kind == "block":
            for top in (0.35, 0.42, 0.49):
                self.band(top, min(top + 0.07, 0.53))
        elif kind == "sash":
            for top in (0.255, 0.285):
                self.band(top, top + 0.03)
        elif kind == "logo" and self.front > 0.1:
            middle = 0.04 * self.side
            self.ellipse(middle, 0.28, 0.045 * self.width, 0.05, PersonPart.PATTERN)
        elif kind == "jacket" and self.front > -0.2:
            middle = 0.5 * self.side
            left, right = max(-0.95, middle - 0.3), min(0.95, middle + 0.3)
            for top in (0.18, 0.25, 0.32, 0.40, 0.47):
                self.band(top, min(top + 0.08, 0.53), left, right)

    def backpack_behind(self) -> None:
        reach = self.look.shoulders * self.width + 0.02
        self.ellipse(-0.1 * self.side, 0.31, reach, 0.11, PersonPart.BAG)

    def backpack(self) -> None:
        part = PersonPart
        strap = self.look.shoulders * self.width * 0.55
        if self.front > 0.3:
            for x in (-strap, strap):
                self.limb((x, 0.175), (x * 0.95, 0.33), 0.012, 0.012, part.BAG)
            return
        width = (0.105 if self.front < -0.3 else 0.07) * self.look.girth
        middle = -0.13 * self.side
        self.polygon(
            [
                (middle - width * 0.8, 0.18),
                (middle + width * 0.8, 0.18),
                (middle + width, 0.41),
                (middle - width, 0.41),
            ],
            part.BAG,
        )
        self.ellipse(middle, 0.185, width * 0.8, 0.022, part.BAG)
        self.polygon(
            [
                (middle - width * 0.7, 0.31),
                (middle + width * 0.7, 0.31),
                (middle + width * 0.7, 0.38),
                (middle - width * 0.7, 0.38),
            ],
            part.BAG_TRIM,
        )

    def carried_bag(self) -> None:
        part, (x, y) = PersonPart, self.hand
        if self.look.bag == "hand":
            self.polygon(
                [(x - 0.05, y + 0.05), (x + 0.05, y + 0.05), (x + 0.062, y + 0.16), (x - 0.062, y + 0.16)], part.BAG
            )
            self.limb((x - 0.03, y + 0.06), (x, y + 0.012), 0.007, 0.007, part.BAG_TRIM)
            self.limb((x + 0.03, y + 0.06), (x, y + 0.012), 0.007, 0.007, part.BAG_TRIM)
            return
        shoulder = -self.look.shoulders * self.width * 0.6
        hip = 0.105 * self.look.girth * self.width
        self.limb((shoulder, 0.18), (hip, 0.43), 0.010, 0.010, part.BAG_TRIM)
        self.polygon([(hip - 0.05, 0.42), (hip + 0.05, 0.42), (hip + 0.055, 0.53), (hip - 0.055, 0.53)], part.BAG)

    def head(self) -> None:
        part, x = PersonPart, 0.012 * self.side
        style = self.look.hair_style
        if style == "long":
            self.polygon([(x - 0.055, 0.06), (x + 0.055, 0.06), (x + 0.06, 0.20), (x - 0.06, 0.20)], part.HAIR)
        self.ellipse(x, 0.075, 0.048, 0.066, part.SKIN)
        if style != "bald":
            self.hair(x, style)
        if self.front > 0.25:
            for eye in (-0.018, 0.018):
                self.ellipse(x + eye * self.front + 0.02 * self.side, 0.072, 0.006, 0.005, part.EYES)
        if self.look.hat:
            self.polygon(
                [(x - 0.052, 0.05), (x - 0.045, 0.012), (x, -0.004), (x + 0.045, 0.012), (x + 0.052, 0.05)], part.HAT
            )
            peak = 0.055 * self.side
            self.polygon(
                [
                    (x - 0.05 + min(peak, 0), 0.042),
                    (x + 0.05 + max(peak, 0), 0.042),
                    (x + 0.05, 0.056),
                    (x - 0.05, 0.056),
                ],
                part.HAT,
            )

    def hair(self, x: float, style: str) -> None:
        part = PersonPart
        if self.front < -0.2:
            self.ellipse(x, 0.068, 0.052, 0.07, part.HAIR)
            if style == "long":
                self.polygon([(x - 0.052, 0.06), (x + 0.052, 0.06), (x + 0.058, 0.21), (x - 0.058, 0.21)], part.HAIR)
        else:
            # The further the head is turned, the more of its back shows.
            back = -0.03 * self.side
            self.ellipse(x + back, 0.035, 0.050, 0.036, part.HAIR)
            self.ellipse(x + back * 1.3, 0.06, 0.035 * abs(self.side) + 0.002, 0.055, part.HAIR)
            if style == "long":
                self.limb((x - 0.047, 0.05), (x - 0.052, 0.17), 0.013, 0.010, part.HAIR)
                self.limb((x + 0.047, 0.05), (x + 0.052, 0.17), 0.013, 0.010, part.HAIR)
        if style == "bun":
            self.ellipse(x - 0.035 * self.side, 0.0, 0.026, 0.024, part.HAIR)
