"""Bodies of the vehicles: side profiles, windows and wheels.

Figure units: a vehicle is about 1 long. x points forward, z up from the ground, y across.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from .part_map import Point


class VehiclePart(IntEnum):
    """Numbers in a vehicle's part map."""

    BODY = 1
    ROOF = 2
    HOOD = 3
    FRONT = 4
    REAR = 5
    WINDOW = 6
    SCREEN = 7
    TYRE = 8
    RIM = 9
    HEADLIGHT = 10
    TAILLIGHT = 11
    GRILLE = 12
    PLATE = 13
    STRIPE = 14
    CARRIER = 15
    CARGO = 16
    CARGO_TOP = 17
    CARGO_END = 18
    SHADOW = 19
    EXHAUST = 20
    PANEL = 21
    CARRIER_TOP = 22


@dataclass(frozen=True)
class Prism:
    """Extruded side profile: points (x, z) from the rear bottom over the top to the front bottom."""

    points: tuple[Point, ...]
    faces: tuple[VehiclePart, ...]
    side: VehiclePart
    half_width: float


@dataclass(frozen=True)
class Body:
    """One kind of vehicle. `windows` are polygons (x, z) on the flanks, `wheels` the x of the axles.

    `panel` is the rear part of the flank, `band` the heights (bottom, top) of a possible stripe, `lamps` the upper edge
    of the lamps, `roof` (rear x, front x, z) the area of a possible carrier. `front_screen` and `rear_screen` are
    heights of glass on a vertical front or rear, or None.
    """

    prisms: tuple[Prism, ...]
    windows: tuple[tuple[Point, ...], ...]
    wheels: tuple[float, ...]
    wheel_radius: float
    panel: tuple[Point, ...]
    band: tuple[float, float]
    lamps: float
    roof: tuple[float, float, float]
    front_screen: Point | None = None
    rear_screen: Point | None = None


_B, _R, _H, _F, _E, _S = (
    VehiclePart.BODY,
    VehiclePart.ROOF,
    VehiclePart.HOOD,
    VehiclePart.FRONT,
    VehiclePart.REAR,
    VehiclePart.SCREEN,
)

SEDAN = Body(
    prisms=(
        Prism(
            (
                (-0.5, 0.06),
                (-0.5, 0.2),
                (-0.47, 0.225),
                (-0.33, 0.24),
                (-0.18, 0.335),
                (0.08, 0.335),
                (0.24, 0.23),
                (0.46, 0.2),
                (0.5, 0.165),
                (0.5, 0.06),
            ),
            (_E, _E, _R, _S, _R, _S, _H, _F, _F),
            _B,
            0.2,
        ),
    ),
    windows=(
        ((-0.3, 0.24), (-0.175, 0.32), (-0.06, 0.32), (-0.06, 0.235)),
        ((-0.04, 0.235), (-0.04, 0.32), (0.075, 0.32), (0.2, 0.232)),
    ),
    wheels=(-0.31, 0.31),
    wheel_radius=0.068,
    panel=((-0.5, 0.1), (-0.5, 0.2), (-0.3, 0.225), (-0.18, 0.225), (-0.18, 0.1)),
    band=(0.135, 0.175),
    lamps=0.175,
    roof=(-0.16, 0.06, 0.335),
)

HATCHBACK = Body(
    prisms=(
        Prism(
            (
                (-0.42, 0.06),
                (-0.43, 0.21),
                (-0.37, 0.35),
                (-0.33, 0.375),
                (0.06, 0.375),
                (0.22, 0.25),
                (0.4, 0.215),
                (0.43, 0.17),
                (0.43, 0.06),
            ),
            (_E, _S, _R, _R, _S, _H, _F, _F),
            _B,
            0.2,
        ),
    ),
    windows=(
        ((-0.36, 0.25), (-0.32, 0.355), (-0.11, 0.355), (-0.11, 0.25)),
        ((-0.09, 0.25), (-0.09, 0.355), (0.05, 0.355), (0.17, 0.25)),
    ),
    wheels=(-0.27, 0.27),
    wheel_radius=0.068,
    panel=((-0.42, 0.1), (-0.43, 0.21), (-0.2, 0.235), (-0.2, 0.1)),
    band=(0.14, 0.18),
    lamps=0.18,
    roof=(-0.3, 0.04, 0.375),
)

SUV = Body(
    prisms=(
        Prism(
            (
                (-0.47, 0.09),
                (-0.48, 0.25),
                (-0.42, 0.41),
                (-0.38, 0.425),
                (0.08, 0.425),
                (0.2, 0.285),
                (0.44, 0.26),
                (0.48, 0.21),
                (0.48, 0.09),
            ),
            (_E, _S, _R, _R, _S, _H, _F, _F),
            _B,
            0.215,
        ),
    ),
    windows=(
        ((-0.42, 0.29), (-0.375, 0.405), (-0.13, 0.405), (-0.13, 0.285)),
        ((-0.11, 0.285), (-0.11, 0.405), (0.07, 0.405), (0.16, 0.285)),
    ),
    wheels=(-0.3, 0.3),
    wheel_radius=0.088,
    panel=((-0.47, 0.12), (-0.48, 0.25), (-0.2, 0.27), (-0.2, 0.12)),
    band=(0.17, 0.215),
    lamps=0.215,
    roof=(-0.34, 0.05, 0.425),
)

VAN = Body(
    prisms=(
        Prism(
            (
                (-0.5, 0.07),
                (-0.5, 0.42),
                (-0.47, 0.45),
                (0.22, 0.45),
                (0.38, 0.29),
                (0.48, 0.25),
                (0.5, 0.2),
                (0.5, 0.07),
            ),
            (_E, _E, _R, _S, _H, _F, _F),
            _B,
            0.22,
        ),
    ),
    windows=(((0.08, 0.29), (0.08, 0.41), (0.22, 0.41), (0.33, 0.29)),),
    wheels=(-0.3, 0.33),
    wheel_radius=0.072,
    panel=((-0.5, 0.12), (-0.5, 0.42), (-0.15, 0.42), (-0.15, 0.12)),
    band=(0.17, 0.23),
    lamps=0.22,
    roof=(-0.4, 0.15, 0.45),
    rear_screen=(0.29, 0.4),
)

BUS = Body(
    prisms=(
        Prism(
            ((-0.5, 0.06), (-0.5, 0.39), (-0.48, 0.41), (0.47, 0.41), (0.5, 0.37), (0.5, 0.06)),
            (_E, _E, _R, _F, _F),
            _B,
            0.165,
        ),
    ),
    windows=tuple(
        ((x, 0.23), (x, 0.36), (x + 0.13, 0.36), (x + 0.13, 0.23)) for x in (-0.46, -0.31, -0.16, -0.01, 0.14, 0.3)
    ),
    wheels=(-0.28, 0.33),
    wheel_radius=0.06,
    panel=((-0.5, 0.08), (-0.5, 0.22), (-0.15, 0.22), (-0.15, 0.08)),
    band=(0.14, 0.2),
    lamps=0.17,
    roof=(-0.3, 0.1, 0.41),
    front_screen=(0.2, 0.36),
    rear_screen=(0.26, 0.37),
)

PICKUP = Body(
    prisms=(
        Prism(
            (
                (-0.5, 0.09),
                (-0.5, 0.245),
                (-0.1, 0.245),
                (-0.08, 0.385),
                (-0.05, 0.4),
                (0.12, 0.4),
                (0.23, 0.265),
                (0.46, 0.24),
                (0.5, 0.2),
                (0.5, 0.09),
            ),
            (_E, VehiclePart.CARGO_TOP, _S, _R, _R, _S, _H, _F, _F),
            _B,
            0.205,
        ),
    ),
    windows=(
        ((-0.06, 0.27), (-0.06, 0.375), (0.02, 0.375), (0.02, 0.265)),
        ((0.035, 0.265), (0.035, 0.375), (0.115, 0.375), (0.19, 0.265)),
    ),
    wheels=(-0.32, 0.32),
    wheel_radius=0.085,
    panel=((-0.5, 0.12), (-0.5, 0.24), (-0.1, 0.24), (-0.1, 0.12)),
    band=(0.16, 0.2),
    lamps=0.2,
    roof=(-0.04, 0.1, 0.4),
)

TRUCK = Body(
    prisms=(
        Prism(
            ((-0.5, 0.12), (-0.5, 0.47), (0.17, 0.47), (0.17, 0.12)),
            (VehiclePart.CARGO_END, VehiclePart.CARGO_TOP, VehiclePart.CARGO_END),
            VehiclePart.CARGO,
            0.21,
        ),
        Prism(
            ((0.2, 0.08), (0.2, 0.37), (0.23, 0.39), (0.38, 0.39), (0.46, 0.25), (0.5, 0.22), (0.5, 0.08)),
            (_E, _R, _R, _S, _H, _F),
            _B,
            0.195,
        ),
    ),
    windows=(((0.28, 0.25), (0.28, 0.36), (0.37, 0.36), (0.43, 0.25)),),
    wheels=(-0.36, -0.2, 0.36),
    wheel_radius=0.07,
    panel=((-0.5, 0.12), (-0.5, 0.17), (0.17, 0.17), (0.17, 0.12)),
    band=(0.24, 0.34),
    lamps=0.19,
    roof=(0.24, 0.36, 0.39),
)

BODIES: dict[str, Body] = {
    "sedan": SEDAN,
    "hatchback": HATCHBACK,
    "suv": SUV,
    "van": VAN,
    "bus": BUS,
    "pickup": PICKUP,
    "truck": TRUCK,
}
