"""Heads: hair, face, and what is worn on them."""

from __future__ import annotations

from .figure import Figure, Part


def draw_hair_behind(figure: Figure) -> None:
    """Draw the long hair that hangs behind the shoulders of a person seen from the front."""
    if figure.has("hair", "long") and figure.faces:
        x, head = figure.head_x - 0.03 * figure.side, figure.body.head
        top, end = figure.head_y + 0.4 * head, figure.body.shoulder_y + 0.13
        figure.shape([(0.44 * head, top), (0.50 * head, end - 0.03), (0.42 * head, end)], Part.HAIR, x)


def draw_head(figure: Figure) -> None:
    """Draw head, face, hair and headwear."""
    head, x, y = figure.body.head, figure.head_x, figure.head_y
    figure.ellipse(x, y + 0.52 * head, 0.36 * head, 0.48 * head, Part.SKIN)
    if figure.faces:
        _face(figure)
    if not figure.has("hair", "bald"):
        _hair(figure)
    _eyewear(figure)
    _mask(figure)
    _headwear(figure)
    if figure.has("scarf", "yes"):
        _scarf(figure)


def _face(figure: Figure) -> None:
    head, turn = figure.body.head, figure.side
    x, y = figure.head_x + 0.2 * head * turn, figure.head_y
    profile = abs(turn) > 0.8
    if abs(turn) > 0.5:
        figure.ellipse(figure.head_x + 0.36 * head * turn, y + 0.6 * head, 0.05 * head, 0.06 * head, Part.SKIN)
    for eye in (0.0,) if profile else (-0.15, 0.15):
        figure.ellipse(x + eye * head, y + 0.53 * head, 0.045 * head, 0.04 * head, Part.EYES)
    figure.ellipse(x, y + 0.79 * head, (0.06 if profile else 0.1) * head, 0.03 * head, Part.LIPS)


def _hair(figure: Figure) -> None:
    head, x, y, turn = figure.body.head, figure.head_x, figure.head_y, figure.side
    long = figure.has("hair", "long")
    grey = figure.has("age", "mature")
    if figure.turned_away:
        figure.ellipse(x, y + 0.46 * head, 0.40 * head, 0.48 * head, Part.HAIR)
        if grey:
            figure.shape([(0.34 * head, y + 0.62 * head), (0.25 * head, y + 0.86 * head)], Part.TEMPLE, x)
        if long:
            end = figure.body.shoulder_y + 0.13
            figure.shape([(0.39 * head, y + 0.4 * head), (0.48 * head, end - 0.03), (0.4 * head, end)], Part.HAIR, x)
        return
    way = 1 if turn > 0 else -1
    figure.ellipse(x - 0.085 * head * turn, y + 0.21 * head, 0.40 * head, 0.23 * head, Part.HAIR)
    # the further the head is turned, the more of its back shows
    depth = 0.24 * abs(turn)
    figure.ellipse(x - (0.37 - depth) * way * head, y + 0.42 * head, depth * head, 0.38 * head, Part.HAIR)
    sides = [-0.36, 0.36] if not figure.sideways else [-0.26 * way]
    for offset in sides:
        edge = x + offset * head
        if long:
            end = figure.body.shoulder_y + 0.08
            figure.limb((edge, y + 0.25 * head), (edge * 1.1, end), 0.09 * head, 0.08 * head, Part.HAIR)
        if grey:
            figure.ellipse(edge, y + 0.42 * head, 0.07 * head, 0.13 * head, Part.TEMPLE)


def _eyewear(figure: Figure) -> None:
    kind, head = figure.traits["eyes"], figure.body.head
    if kind == "none" or figure.turned_away:
        return
    x, y, profile = figure.head_x + 0.2 * head * figure.side, figure.head_y + 0.53 * head, abs(figure.side) > 0.8
    tall = 0.15 * head if kind == "glasses" else 0.17 * head
    wide = 0.18 * head
    for eye in (0.0,) if profile else (-0.2, 0.2):
        middle = x + eye * head
        figure.box(middle - wide, y - tall, middle + wide, y + tall, Part.FRAME)
        if kind == "glasses":
            figure.box(middle - 0.6 * wide, y - 0.5 * tall, middle + 0.6 * wide, y + 0.5 * tall, Part.LENS)
    if profile:
        ear = figure.head_x - 0.15 * head * figure.side
        figure.limb((ear, y - 0.5 * tall), (x, y - 0.5 * tall), 0.035 * head, 0.035 * head, Part.FRAME)


def _mask(figure: Figure) -> None:
    if not figure.has("mask", "yes"):
        return
    head, x, y = figure.body.head, figure.head_x, figure.head_y
    if figure.turned_away:
        figure.shape([(0.37 * head, y + 0.68 * head), (0.37 * head, y + 0.72 * head)], Part.MASK, x)
        return
    shift = 0.17 * head * figure.side
    rows = [(0.30 * head, y + 0.63 * head), (0.31 * head, y + 0.8 * head), (0.18 * head, y + 0.97 * head)]
    figure.shape([(half * (1 - 0.35 * abs(figure.side)), row) for half, row in rows], Part.MASK, x + shift)
    figure.limb(
        (x - 0.2 * head * figure.side, y + 0.66 * head),
        (x + shift, y + 0.7 * head),
        0.02 * head,
        0.02 * head,
        Part.MASK,
    )


def _headwear(figure: Figure) -> None:
    kind, head, x, y, turn = figure.traits["headwear"], figure.body.head, figure.head_x, figure.head_y, figure.side
    if kind == "hat":
        rows = [(0.26, -0.19), (0.40, -0.07), (0.44, 0.14), (0.45, 0.3)]
        figure.shape([(half * head, y + row * head) for half, row in rows], Part.HAT, x)
        figure.shape([(0.44 * head, y + 0.17 * head), (0.45 * head, y + 0.28 * head)], Part.HAT_TRIM, x)
        brim = 0.12 * head * turn
        figure.shape([(0.6 * head, y + 0.28 * head), (0.62 * head, y + 0.38 * head)], Part.HAT, x + brim)
    elif kind == "helmet":
        rows = [(0.2, -0.1), (0.4, 0.0), (0.52, 0.2), (0.54, 0.42)]
        figure.shape([(half * head, y + row * head) for half, row in rows], Part.HAT_TRIM, x)
        figure.shape([(0.09 * head, y - 0.1 * head), (0.11 * head, y + 0.42 * head)], Part.WHITE, x)
        for side in (-0.44, 0.44):
            figure.limb(
                (x + side * head, y + 0.4 * head),
                (x + 0.5 * side * head, y + 0.96 * head),
                0.03 * head,
                0.03 * head,
                Part.BLACK,
            )


def _scarf(figure: Figure) -> None:
    x, y = figure.head_x * 0.6, figure.body.shoulder_y
    figure.shape([(0.07, y - 0.055), (0.085, y - 0.02), (0.07, y + 0.02)], Part.SCARF, x)
    end = x + (0.03 if figure.faces else -0.03)
    figure.box(end - 0.025, y, end + 0.03, y + 0.15, Part.SCARF)
