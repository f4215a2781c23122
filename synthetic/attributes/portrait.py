"""One image of a person with given traits: pose, surroundings, companions and camera."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .. import settings
from ..identity import person_look
from ..part_map import BYSTANDER, POLE, Canvas, Floats, between
from ..person import PersonPose, draw_person
from ..scene import backdrop
from ..sensors import camera_look, take_rgb
from .carried import (
    draw_backpack,
    draw_backpack_behind,
    draw_box_behind,
    draw_cane,
    draw_in_hands,
    draw_ride,
    draw_shoulder_bag,
)
from .colors import color_table
from .figure import Figure, Traits
from .garments import draw_trunk
from .heads import draw_hair_behind, draw_head
from .limbs import draw_arm, draw_leg

#: Number that keys backdrops and cameras of these sets.
KIND = 3
_PLACES = 16
_CAMERAS = 6
#: Largest crop (height, width).
_LARGEST = (300, 150)
_YAWS = {"front": (0.0,), "side": (90.0, -90.0), "back": (180.0,)}


def draw_portrait(
    rng: np.random.Generator, seed: int, traits: Traits, look: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Draw one image of a person in a crop of varying size.

    `rng` draws what differs between images of one person; `look` the colors that the traits leave open.

    Returns:
        uint8 (H, W, 3).
    """
    width = int(rng.integers(settings.CROP_WIDTH[0], settings.CROP_WIDTH[1] + 1))
    height = min(round(width / between(rng, settings.CROP_ASPECT)), _LARGEST[0])
    canvas = Canvas((height, width), margin=1)
    table = color_table(look, traits)
    # companions have random numbers of their own, so that they do not change the person
    others = int(rng.integers(1 << 32))
    if traits["company"] != "none":
        _companions(np.random.default_rng(others), canvas, traits, table)
    middle = width * 0.5 + between(rng, (-settings.SHIFT, settings.SHIFT)) * height
    scale = between(rng, settings.ATTRIBUTE_SCALE) * height
    foot = height * (0.985 + between(rng, (-settings.SHIFT, 0.0)))
    canvas.place(scale, middle, foot - scale, mirrored=bool(rng.random() < 0.5))
    yaws = _YAWS[traits["view"]]
    yaw = yaws[int(rng.integers(len(yaws)))] + between(rng, (-settings.ATTRIBUTE_YAW, settings.ATTRIBUTE_YAW))
    draw_figure(Figure(canvas, traits, math.radians(yaw), between(rng, (0, 2 * math.pi))))
    if rng.random() < settings.OCCLUSION_SHARE:
        _pole(rng, canvas, table)
    scenery = _scenery(seed, int(rng.integers(_PLACES)))
    return take_rgb(rng, canvas, table, scenery, camera_look(seed, KIND, int(rng.integers(_CAMERAS))))


@lru_cache(maxsize=2 * _PLACES)
def _scenery(seed: int, place: int) -> Floats:
    """Return a backdrop of lower contrast, so that the person is what is seen first: float32 (h, w, 3), 0..1."""
    scenery = backdrop(seed, KIND, place, _LARGEST)[0]
    middle = scenery.mean(axis=(0, 1))
    return middle + np.float32(settings.ATTRIBUTE_BACKDROP) * (scenery - middle)


def draw_figure(figure: Figure) -> None:
    """Draw a person, from what is far to what is near."""
    # the right side holds things: it is the near one from the side
    far, near = (-1, 1) if figure.sideways else (1, -1)
    # arms that the trunk hides, and with them what they hold
    held = figure.turned_away and figure.has("arms", "holding", "box", "pushing", "crossed")
    hidden = held or (figure.has("arms", "behind") and not figure.turned_away)
    # a rider sits between the bars of what is seen from the side
    ridden = figure.sideways and figure.has("motion", "bicycle", "scooter")
    draw_hair_behind(figure)
    draw_backpack_behind(figure)
    draw_box_behind(figure)
    if held:
        draw_in_hands(figure)
    draw_leg(figure, far, far=figure.sideways)
    if hidden or figure.sideways:
        draw_arm(figure, far, far=figure.sideways)
    if hidden:
        draw_arm(figure, near, far=False)
    if ridden:
        draw_ride(figure)
    draw_leg(figure, near, far=False)
    draw_trunk(figure)
    draw_backpack(figure)
    for side in () if hidden else (near,) if figure.sideways else (far, near):
        draw_arm(figure, side, far=False)
    draw_head(figure)
    draw_shoulder_bag(figure)
    draw_cane(figure)
    if not ridden:
        draw_ride(figure)
    if not held:
        draw_in_hands(figure)


def _companions(rng: np.random.Generator, canvas: Canvas, traits: Traits, table: Floats) -> None:
    """Draw one person whom the figure talks to, or two of a group, behind the figure."""
    sides = (1,) if traits["company"] == "one" else (1, -1)
    height, width = canvas.size
    for side in sides:
        other = person_look(rng)
        base = BYSTANDER if side > 0 else 2 * BYSTANDER + 32
        table[base : base + 32] = other.materials.rgb[:32]
        scale = between(rng, (0.8, 0.9)) * height
        canvas.place(scale, width * (0.5 + side * between(rng, (0.32, 0.4))), height * 0.97 - scale, mirrored=side > 0)
        draw_person(canvas, other, PersonPose(math.radians(60.0), between(rng, (0, 6.28))), base)


def _pole(rng: np.random.Generator, canvas: Canvas, table: Floats) -> None:
    height, width = canvas.size
    thick = between(rng, (0.015, 0.035)) * height
    x = width * (0.5 + (1 if rng.random() < 0.5 else -1) * between(rng, (0.2, 0.45)))
    canvas.place(1.0, x, 0.0)
    canvas.polygon([(-thick, -height), (thick, -height), (thick, 2 * height), (-thick, 2 * height)], POLE)
    table[POLE] = rng.uniform(0.15, 0.6, 3)
