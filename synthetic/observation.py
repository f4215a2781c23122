"""One synthetic observation: identity, view, illumination and background."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import InputError
from ..runtime.data.readers.benchmarks import benchmark_info
from . import settings
from .identity import PersonLook, VehicleLook, person_look, vehicle_look
from .part_map import (
    BYSTANDER,
    IDENTITY_STREAM,
    POLE,
    SAMPLE_STREAM,
    SCENE_STREAM,
    Canvas,
    Floats,
    between,
    generator,
)
from .person import PersonPose, draw_person
from .scene import backdrop
from .sensors import Images, camera_look, take_images
from .vehicle import VehiclePose, draw_vehicle

Look = PersonLook | VehicleLook

#: Number of different backdrops of scenes; a camera has its own.
_PLACES = 12


@dataclass(frozen=True)
class DrawnKind:
    """Kind of a synthetic benchmark. `number` keys its generators; `yaws` are the cameras' directions in degrees."""

    number: int
    yaws: tuple[float, ...]
    vehicles: bool
    scenes: bool


KINDS = {
    "rgbnt201": DrawnKind(0, (10.0, 170.0, -45.0, 35.0), vehicles=False, scenes=False),
    "rgbnt100": DrawnKind(1, (-30.0, 25.0, -50.0, 150.0, 10.0, -150.0, -10.0, 45.0), vehicles=True, scenes=False),
    "msvr310": DrawnKind(2, (0.0, 25.0, 50.0, 155.0, 180.0, -155.0, -50.0, -25.0), vehicles=True, scenes=True),
}


def draw_sample(
    name: str, seed: int, identity: int, camera: int, view: int, image_size: tuple[int, int] | None = None
) -> Images:
    """Draw one observation.

    The same arguments give the same pixels, independent of other draws. `camera` is zero-based; `view` numbers the
    images of an identity; `image_size` (height, width) defaults to the benchmark's.

    Returns:
        rgb, nir, tir, uint8 (H, W, 3) each.

    Raises:
        InputError: no such benchmark or camera.
    """
    info, kind = benchmark_info(name), KINDS[benchmark_info(name).name]
    if not 0 <= camera < info.cameras:
        raise InputError(f"Camera {camera} was asked for; drawn {info.title} has cameras 0..{info.cameras - 1}.")
    size = image_size or info.image_size
    rng = generator(seed, SAMPLE_STREAM, kind.number, identity, camera, view)
    look = _look(kind.vehicles, kind.number, seed, identity)
    canvas = Canvas(size, margin=math.ceil(settings.MISALIGNMENT * size[0]) + 1)
    tables = [table.copy() for table in look.materials.tables()]
    _draw_figure(rng, canvas, look, math.radians(kind.yaws[camera]))
    if rng.random() < settings.OCCLUSION_SHARE:
        _occlude(rng, canvas, tables)
    number, night = _surroundings(rng, info.name, seed, identity, camera, view)
    scenery = backdrop(seed, kind.number, number, size)
    rgb, nir, tir = tables
    return take_images(rng, canvas, (rgb, nir, tir), scenery, camera_look(seed, kind.number, camera), night)


def draw_samples(
    name: str, count: int, seed: int, image_size: tuple[int, int] | None = None
) -> list[tuple[Images, int]]:
    """Draw `count` observations of different identities with their zero-based cameras, in rotation."""
    cameras = benchmark_info(name).cameras
    return [
        (draw_sample(name, seed, identity, identity % cameras, 0, image_size), identity % cameras)
        for identity in range(1, count + 1)
    ]


def scene_of(name: str, identity: int, view: int) -> int:
    """Return the scene of an identity's image `view`: counted from 1, or -1 if the benchmark has none."""
    return 1 + (identity + view) % settings.SCENES_PER_IDENTITY if KINDS[name].scenes else -1


@lru_cache(maxsize=4096)
def _look(vehicles: bool, kind: int, seed: int, identity: int) -> Look:
    draw: Callable[[np.random.Generator], Look] = vehicle_look if vehicles else person_look
    return draw(generator(seed, IDENTITY_STREAM, kind, identity))


def _surroundings(
    rng: np.random.Generator, name: str, seed: int, identity: int, camera: int, view: int
) -> tuple[int, bool]:
    """Return the number of the backdrop, and True at night; a scene has one time of day, a camera several."""
    kind = KINDS[name]
    if not kind.scenes:
        return camera, bool(rng.random() < settings.NIGHT_SHARE)
    scene = scene_of(name, identity, view)
    time = generator(seed, SCENE_STREAM, kind.number, identity, scene)
    return int(time.integers(_PLACES)), bool(time.random() < settings.NIGHT_SHARE)


def _draw_figure(
    rng: np.random.Generator, canvas: Canvas, look: Look, yaw: float, base: int = 0, off: float = 0.0
) -> None:
    """Draw a figure, its middle `off` image widths from the center."""
    height, width = canvas.size
    yaw += math.radians(between(rng, (-settings.YAW_JITTER, settings.YAW_JITTER)))
    shift_x, shift_y = (between(rng, (-settings.SHIFT, settings.SHIFT)) * height for _ in range(2))
    middle = width * (0.5 + off) + shift_x
    if isinstance(look, PersonLook):
        scale = between(rng, settings.PERSON_SCALE) * look.height * height
        pose = PersonPose(yaw, phase=between(rng, (0, 2 * math.pi)))
        canvas.place(scale, middle, height * 0.97 + shift_y - scale, mirrored=bool(rng.random() < 0.5))
        draw_person(canvas, look, pose, base)
        return
    fill = between(rng, settings.VEHICLE_SCALE)
    half, top = 0.5 * fill * width, height * (0.5 - 0.48 * fill) + shift_y
    box = (middle - half, top, middle + half, top + 0.96 * fill * height)
    draw_vehicle(canvas, look, VehiclePose(yaw, tilt=math.radians(between(rng, settings.VEHICLE_TILT))), box, base)


def _occlude(rng: np.random.Generator, canvas: Canvas, tables: list[Floats]) -> None:
    """Draw a pole or a bystander in front of the figure."""
    height, width = canvas.size
    side = 1 if rng.random() < 0.5 else -1
    if rng.random() < 0.5:
        thick = between(rng, (0.02, 0.05)) * height
        x = width * (0.5 + side * between(rng, (0.1, 0.35)))
        canvas.place(1.0, x, 0.0)
        canvas.polygon([(-thick, -height), (thick, -height), (thick, 2 * height), (-thick, 2 * height)], POLE)
        for table in tables:
            table[POLE] = rng.uniform(0.15, 0.6, table.shape[1])
        return
    other = person_look(rng)
    for table, added in zip(tables, other.materials.tables(), strict=True):
        table[BYSTANDER : BYSTANDER + 32] = added[:32]
    _draw_figure(rng, canvas, other, between(rng, (0, 6.28)), BYSTANDER, off=side * between(rng, (0.38, 0.48)))
