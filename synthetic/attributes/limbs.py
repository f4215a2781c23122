"""Legs with their clothes and shoes, and arms with their sleeves and poses."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..part_map import Point
from .figure import Figure, Part

#: Half widths of a leg of cloth against the leg's.
_LOOSE = {"trousers": 1.35, "formal": 1.3, "jeans": 1.12, "tight": 0.78}


@dataclass(frozen=True)
class Leg:
    """Joints of a leg."""

    hip: Point
    knee: Point
    ankle: Point


def leg_of(figure: Figure, side: int) -> Leg:
    """Return the joints of the right (1) or left (-1) leg."""
    body = figure.body
    x = 0.5 * body.hips * side * figure.front
    angle = figure.swing * side
    length = 0.95 - body.hip_y
    spread = figure.side * math.sin(angle) * length
    bend = max(0.0, -angle * figure.side) * length * (1.1 if figure.has("motion", "running") else 0.5)
    lift = 0.09 * length * abs(math.sin(angle)) * (angle < 0)
    if figure.has("motion", "bicycle") and side > 0:
        spread, lift = 0.16 * figure.side, 0.12
    apart = 0.03 * side * figure.front * (not figure.has("motion", "standing"))
    back = bend * math.copysign(1.0, figure.side)
    return Leg(
        (x, body.hip_y), (x * 1.05 + 0.5 * spread, body.knee_y - lift), (x * 1.1 + apart + spread - back, 0.945 - lift)
    )


def draw_leg(figure: Figure, side: int, far: bool) -> None:
    """Draw a leg; skirts are drawn over it."""
    leg, girth = leg_of(figure, side), figure.body.girth
    skin = Part.FAR_SKIN if far else Part.SKIN
    cloth = Part.FAR_BOTTOM if far else Part.BOTTOM
    thigh, calf, shin = 0.046 * girth, 0.036 * girth, 0.026
    figure.limb(leg.knee, leg.ankle, calf, shin, skin)
    figure.limb(leg.hip, leg.knee, thigh, calf, skin)
    lower = figure.traits["lower"]
    if lower in _LOOSE:
        loose = _LOOSE[lower]
        figure.limb(leg.knee, leg.ankle, calf * loose, (shin + 0.006) * loose, cloth)
        figure.limb(leg.hip, leg.knee, thigh * max(loose, 1.0), calf * loose, cloth)
        _details(figure, leg, calf * loose)
    elif lower == "shorts":
        figure.limb(leg.hip, leg.knee, thigh * 1.3, calf * 1.5, cloth)
        if figure.has("lower_pattern", "stripe"):
            _line(figure, leg.hip, leg.knee, 0.02, Part.BOTTOM_PATTERN)
        elif figure.has("lower_pattern", "pattern"):
            _dots(figure, leg.hip, leg.knee, calf * 0.6)
    draw_shoe(figure, leg)


def _details(figure: Figure, leg: Leg, half: float) -> None:
    if figure.has("lower_pattern", "stripe"):
        for start, end in ((leg.hip, leg.knee), (leg.knee, leg.ankle)):
            _line(figure, start, end, 0.02, Part.BOTTOM_PATTERN)
    elif figure.has("lower_pattern", "pattern"):
        _dots(figure, leg.hip, leg.knee, half * 0.6)
        _dots(figure, leg.knee, leg.ankle, half * 0.5)
    elif figure.has("lower", "formal"):
        _line(figure, leg.hip, leg.ankle, 0.006, Part.BLACK)
    elif figure.has("lower", "jeans"):
        # worn patches and turned-up hems
        figure.ellipse(leg.knee[0], leg.knee[1], half * 0.62, 0.06, Part.SOLE)
        _line(
            figure,
            (leg.ankle[0] - half * 0.8, leg.ankle[1] - 0.02),
            (leg.ankle[0] + half * 0.8, leg.ankle[1] - 0.02),
            0.012,
            Part.SOLE,
        )


def _dots(figure: Figure, start: Point, end: Point, half: float) -> None:
    for index in range(4):
        share, aside = (index + 0.5) / 4, half if index % 2 else -half
        x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
        figure.ellipse(x + aside, y, 0.025, 0.025, Part.BOTTOM_PATTERN)


def _line(figure: Figure, start: Point, end: Point, half: float, part: Part) -> None:
    (x0, y0), (x1, y1) = start, end
    length = math.hypot(x1 - x0, y1 - y0) or 1e-6
    nx, ny = half * (y0 - y1) / length, half * (x1 - x0) / length
    figure.polygon([(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)], part)


def draw_shoe(figure: Figure, leg: Leg) -> None:
    """Draw the foot of a leg in its shoe."""
    (x, y), kind = leg.ankle, figure.traits["shoes"]
    toe = 0.055 * figure.side
    tall, half = 0.05, 0.032
    if kind == "sport":
        half, tall = 0.042, 0.054
    if kind == "boots":
        shaft = (x + 0.68 * (leg.knee[0] - x), y + 0.72 * (leg.knee[1] - y))
        figure.limb(shaft, (x, y), 0.052, 0.044, Part.SHOE)
        _line(figure, (shaft[0] - 0.052, shaft[1]), (shaft[0] + 0.052, shaft[1]), 0.018, Part.SOLE)
    left, right = x - half + min(toe, 0), x + half + max(toe, 0)
    if kind == "sandals":
        figure.box(left, y, right, y + tall, Part.SKIN)
        figure.box(left, y + 0.014, right, y + 0.027, Part.SHOE)
        figure.box(left, y + tall - 0.012, right, y + tall + 0.006, Part.SHOE)
        return
    figure.polygon([(x - half, y - 0.008), (x + half, y - 0.008), (right, y + tall), (left, y + tall)], Part.SHOE)
    if kind in ("sport", "cloth"):
        thick = 0.020 if kind == "sport" else 0.008
        figure.box(left, y + tall - thick, right, y + tall + 0.004, Part.WHITE)
        if kind == "cloth":
            figure.ellipse(x, y + 0.006, half * 0.6, 0.014, Part.WHITE)
    elif kind == "leather":
        figure.ellipse(x + toe, y + 0.018, 0.018, 0.013, Part.WHITE)
    elif kind == "clogs":
        figure.box(left, y + tall - 0.006, right, y + tall + 0.022, Part.SOLE)
        figure.ellipse(x, y + 0.01, half * 0.8, 0.012, Part.SKIN)


@dataclass(frozen=True)
class Arm:
    """Joints of an arm."""

    shoulder: Point
    elbow: Point
    hand: Point


def arm_of(figure: Figure, side: int) -> Arm:
    """Return the joints of the right (1) or left (-1) arm in its pose."""
    body, front, turn = figure.body, figure.front, figure.side
    shoulder = (0.95 * body.shoulders * side * front, body.shoulder_y + 0.035)
    reach = (body.hip_y + 0.03 - body.shoulder_y) / 2
    pose = figure.traits["arms"]
    low = shoulder[1] + reach
    out = 0.045 * side * front * body.girth
    if figure.has("motion", "bicycle", "scooter") or pose in ("holding", "box", "pushing", "over_arm"):
        far = {"pushing": 0.2, "over_arm": 0.09}.get(pose, 0.15)
        elbow = (shoulder[0] + out - 0.02 * turn, low)
        return Arm(shoulder, elbow, (0.055 * side * front + far * turn, low + 0.02))
    if pose == "crossed":
        elbow = (shoulder[0] + out, low - 0.02)
        return Arm(shoulder, elbow, (-0.075 * side * front + 0.1 * turn, low - 0.05 - 0.03 * side))
    if pose == "behind":
        return Arm(
            shoulder,
            (shoulder[0] + 1.6 * out - 0.1 * turn, low),
            (0.02 * side * front - 0.13 * turn, body.hip_y - 0.02),
        )
    if side > 0 and pose in ("calling", "smoking", "waving"):
        high = {"calling": 0.62, "smoking": 0.86, "waving": 0.1}[pose] * body.head
        aside = {"calling": 0.075, "smoking": 0.03, "waving": 0.2}[pose]
        x = figure.head_x + aside * (1 if front >= -0.45 else -1) * (abs(front) + 0.3) + 0.03 * turn
        x = x if front > -0.45 else figure.head_x - aside * 1.3
        return Arm(shoulder, (shoulder[0] + 1.5 * out + 0.05 * turn, low - 0.04), (x, figure.head_y + high))
    swing = -0.8 * figure.swing * side * turn
    if figure.has("motion", "running"):
        elbow = (shoulder[0] + out + 0.6 * reach * math.sin(swing), low - 0.03)
        return Arm(shoulder, elbow, (elbow[0] + 0.09 * turn - 0.04 * side * front, low - 0.04))
    elbow = (shoulder[0] + out + reach * math.sin(swing), low)
    return Arm(shoulder, elbow, (elbow[0] + 0.012 * side * front + reach * math.sin(swing * 1.6), low + reach))


def draw_arm(figure: Figure, side: int, far: bool) -> None:
    """Draw an arm with its sleeve and hand."""
    arm, girth = arm_of(figure, side), figure.body.girth
    cloth = Part.FAR_TOP if far else Part.TOP
    if figure.has("upper", "vest"):
        cloth = Part.INNER
    skin = Part.FAR_SKIN if far else Part.SKIN
    upper, lower = 0.036 * girth, 0.028 * girth
    wide = {"padded": 1.5, "gown": 1.6, "coat": 1.25, "suit": 1.2, "jacket": 1.2, "tight": 0.85}.get(
        figure.traits["upper"], 1.05
    )
    figure.limb(arm.elbow, arm.hand, lower, lower * 0.85, skin)
    figure.limb(arm.shoulder, arm.elbow, upper, lower, skin)
    if figure.has("sleeves", "long"):
        figure.limb(arm.elbow, arm.hand, lower * wide, lower * wide, cloth)
        figure.limb(arm.shoulder, arm.elbow, upper * wide, lower * wide, cloth)
    else:
        middle = tuple(0.35 * a + 0.65 * b for a, b in zip(arm.shoulder, arm.elbow, strict=True))
        figure.limb(arm.shoulder, (middle[0], middle[1]), upper * wide, upper * wide, cloth)
    if figure.has("gloves", "yes"):
        figure.ellipse(arm.hand[0], arm.hand[1] + 0.012, 0.038, 0.042, Part.GLOVE)
    else:
        figure.ellipse(arm.hand[0], arm.hand[1] + 0.012, 0.025, 0.028, skin)
