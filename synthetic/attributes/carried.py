"""Carried things, companions, and what a person rides."""

from __future__ import annotations

from .figure import Figure, Part
from .limbs import arm_of


def draw_backpack_behind(figure: Figure) -> None:
    """Draw what of a backpack shows beside the shoulders of a person seen from the front."""
    if figure.has("backpack", "yes") and figure.front > 0.45:
        body = figure.body
        reach = body.shoulders * figure.width + 0.03
        figure.ellipse(-0.1 * figure.side, body.shoulder_y + 0.12, reach, 0.12, Part.BACKPACK)


def draw_backpack(figure: Figure) -> None:
    """Draw a backpack over the trunk: its bag, or only its straps from the front."""
    if not figure.has("backpack", "yes"):
        return
    body = figure.body
    top, bottom = body.shoulder_y + 0.005, body.shoulder_y + 0.72 * (body.hip_y - body.shoulder_y)
    if figure.front > 0.45:
        for side in (-0.6, 0.6):
            x = side * body.shoulders * figure.width
            figure.limb((x, top), (x * 0.95, bottom - 0.05), 0.026, 0.026, Part.BACKPACK)
        return
    half = 0.108 if figure.turned_away else 0.07
    x = -0.125 * figure.side
    figure.shape([(half * 0.75, top - 0.02), (half, top + 0.04), (half * 1.08, bottom)], Part.BACKPACK, x)
    figure.shape([(half * 0.7, bottom - 0.09), (half * 0.7, bottom - 0.02)], Part.TRIM, x)
    if not figure.turned_away:
        figure.limb((x * 0.3, top), (0.2 * x, bottom - 0.03), 0.014, 0.014, Part.BACKPACK)


def draw_shoulder_bag(figure: Figure) -> None:
    """Draw a bag at the hip with its strap across the trunk."""
    if figure.has("shoulder_bag", "yes"):
        body = figure.body
        hip = (body.hips * figure.width + 0.03) * (1 if figure.front > -0.45 else -1)
        shoulder = -0.65 * body.shoulders * figure.width * (1 if figure.front > -0.45 else -1)
        y = body.hip_y - 0.04
        figure.limb((shoulder, body.shoulder_y), (hip, y), 0.022, 0.022, Part.STRAP)
        figure.shape([(0.07, y), (0.078, y + 0.13)], Part.SHOULDER_BAG, hip)
        figure.shape([(0.07, y), (0.073, y + 0.045)], Part.STRAP, hip)


def draw_in_hands(figure: Figure) -> None:
    """Draw what the hands hold."""
    for side, slot in ((1, "right_hand"), (-1, "left_hand")):
        thing = figure.traits[slot]
        if thing != "none":
            _hanging(figure, thing, arm_of(figure, side).hand, side)
    x, y = arm_of(figure, 1).hand
    middle = 0.0 if not figure.sideways else x
    pose = figure.traits["arms"]
    hidden = figure.turned_away
    if pose == "holding" and not hidden:
        figure.shape([(0.055, y - 0.06), (0.055, y + 0.055)], Part.OBJECT, middle)
        figure.shape([(0.03, y - 0.035), (0.03, y + 0.03)], Part.WHITE, middle)
    elif pose == "box":
        # a box is wider than the person
        half = 0.15 if not figure.sideways else 0.1
        if not hidden:
            figure.shape([(half, y - 0.08), (half, y + 0.08)], Part.BOX, middle)
            figure.shape([(half, y - 0.012), (half, y + 0.012)], Part.WHITE, middle)
    elif pose == "calling":
        figure.limb((x, y - 0.04), (x, y + 0.03), 0.022, 0.022, Part.OBJECT)
    elif pose == "smoking":
        figure.limb((x, y), (x + 0.07, y - 0.01), 0.009, 0.009, Part.WHITE)
        for step in range(3):
            figure.ellipse(x + 0.08 + 0.02 * step, y - 0.05 - 0.05 * step, 0.022 + 0.006 * step, 0.022, Part.SMOKE)
    elif pose == "over_arm":
        figure.shape([(0.075, y - 0.03), (0.085, y + 0.15)], Part.OBJECT, middle if not hidden else 0.16)
    elif pose == "pushing":
        _cart(figure, middle)


def draw_cane(figure: Figure) -> None:
    """Draw the cane of the old."""
    if figure.has("age", "elder"):
        x = -(figure.body.shoulders * figure.width + 0.05)
        figure.limb((x, 0.56), (x - 0.02, 0.985), 0.014, 0.012, Part.CANE)
        figure.limb((x, 0.56), (x + 0.06, 0.56), 0.014, 0.014, Part.CANE)


def draw_box_behind(figure: Figure) -> None:
    """Draw what of a box or cart shows beside a person seen from behind."""
    if figure.turned_away and figure.has("arms", "box"):
        y = arm_of(figure, 1).hand[1]
        figure.shape([(0.2, y - 0.08), (0.2, y + 0.08)], Part.BOX)


def _hanging(figure: Figure, thing: str, hand: tuple[float, float], side: int) -> None:
    x, y = hand
    if thing == "handbag":
        for edge in (-0.035, 0.035):
            figure.limb((x + edge, y + 0.07), (x, y + 0.012), 0.009, 0.009, Part.TRIM)
        figure.shape([(0.06, y + 0.06), (0.085, y + 0.175)], Part.HANDBAG, x)
        figure.shape([(0.063, y + 0.06), (0.07, y + 0.09)], Part.TRIM, x)
    elif thing == "paper_bag":
        figure.limb((x, y), (x, y + 0.04), 0.012, 0.012, Part.BLACK)
        figure.shape([(0.052, y + 0.035), (0.052, y + 0.2)], Part.PAPER, x)
        figure.shape([(0.025, y + 0.1), (0.025, y + 0.15)], Part.BLACK, x)
    elif thing == "plastic_bag":
        figure.limb((x, y), (x, y + 0.08), 0.014, 0.03, Part.PLASTIC)
        figure.ellipse(x, y + 0.14, 0.066, 0.075, Part.PLASTIC)
        figure.ellipse(x, y + 0.15, 0.028, 0.022, Part.TIE)
    elif thing == "suitcase":
        foot = 0.97
        x += 0.03 * side
        figure.limb((x, y), (x, foot - 0.2), 0.010, 0.010, Part.METAL)
        figure.shape([(0.075, foot - 0.24), (0.08, foot - 0.02)], Part.CASE, x)
        for line in (-0.035, 0.035):
            figure.box(x + line - 0.006, foot - 0.22, x + line + 0.006, foot - 0.04, Part.METAL)
        figure.ellipse(x - 0.05, foot, 0.016, 0.016, Part.BLACK)
        figure.ellipse(x + 0.05, foot, 0.016, 0.016, Part.BLACK)
    elif thing == "umbrella":
        figure.limb((x, y - 0.02), (x, y + 0.06), 0.012, 0.012, Part.BLACK)
        figure.polygon(
            [(x - 0.045, y + 0.05), (x + 0.045, y + 0.05), (x + 0.008, y + 0.33), (x - 0.008, y + 0.33)], Part.UMBRELLA
        )


def _cart(figure: Figure, x: float) -> None:
    y = figure.body.hip_y
    half = 0.15 if not figure.sideways else 0.11
    x = x + 0.06 * figure.side
    if figure.turned_away:
        half = 0.22
    for row in (0.0, 0.09, 0.18, 0.27):
        figure.shape([(half, y + row), (half, y + row + 0.022)], Part.METAL, x)
    for column in (-1.0, -0.5, 0.0, 0.5, 1.0):
        figure.box(x + column * half - 0.007, y, x + column * half + 0.007, y + 0.3, Part.METAL)
    for wheel in (-0.8, 0.8):
        figure.ellipse(x + wheel * half, 0.95, 0.025, 0.025, Part.BLACK)


def draw_ride(figure: Figure) -> None:
    """Draw a bicycle, a scooter or a skateboard."""
    motion = figure.traits["motion"]
    length, way = max(0.06, abs(figure.side)), 1 if figure.side >= 0 else -1
    if motion == "bicycle":
        axles = (-0.21 * length, 0.21 * length)
        for x in axles:
            figure.ellipse(x, 0.86, 0.135 * max(0.22, length), 0.13, Part.BLACK)
            figure.ellipse(x, 0.86, 0.105 * max(0.14, length), 0.1, Part.METAL)
        saddle, bar = (-0.07 * way * length, figure.body.hip_y + 0.06), (0.17 * way * length, figure.body.hip_y)
        for start, end in (
            (saddle, (0.0, 0.87)),
            ((0.0, 0.87), bar),
            (saddle, (axles[0 if way > 0 else 1], 0.86)),
            (bar, (axles[1 if way > 0 else 0], 0.86)),
            (saddle, bar),
        ):
            figure.limb(start, end, 0.013, 0.013, Part.RIDE)
        figure.limb(
            (bar[0] - 0.12 * (1.15 - length), bar[1]),
            (bar[0] + 0.12 * (1.15 - length), bar[1]),
            0.014,
            0.014,
            Part.RIDE,
        )
    elif motion == "scooter":
        half = 0.06 + 0.14 * length
        stem = way * 0.19 * length
        figure.box(-half, 0.955, half, 0.985, Part.RIDE)
        figure.limb((stem, 0.96), (stem, figure.body.hip_y), 0.016, 0.016, Part.RIDE)
        figure.limb((stem - 0.1, figure.body.hip_y), (stem + 0.1, figure.body.hip_y), 0.018, 0.018, Part.BLACK)
        for x in (-half, half):
            figure.ellipse(x, 0.98, 0.035, 0.035, Part.BLACK)
    elif motion == "skateboard":
        half = 0.08 + 0.14 * length
        figure.polygon(
            [(-half - 0.03, 0.955), (-half, 0.975), (half, 0.975), (half + 0.03, 0.955), (half, 1.0), (-half, 1.0)],
            Part.RIDE,
        )
        for x in (-0.7 * half, 0.7 * half):
            figure.ellipse(x, 1.01, 0.022, 0.022, Part.WHITE)
