"""Bodies of the vehicles: side profiles, windows and wheels, from shapes.toml.

Figure units: a vehicle is about 1 long. x points forward, z up from the ground, y across.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from ..common.formats.toml_files import parse_toml
from .part_map import Point

SHAPES: dict[str, Any] = parse_toml(Path(__file__).with_name("shapes.toml").read_text(encoding="utf-8"))

#: Numbers in a vehicle's part map.
VehiclePart = IntEnum(
    "VehiclePart",
    "BODY ROOF HOOD FRONT REAR WINDOW SCREEN TYRE RIM HEADLIGHT TAILLIGHT GRILLE PLATE STRIPE CARRIER CARGO CARGO_TOP "
    "CARGO_END SHADOW EXHAUST PANEL CARRIER_TOP",
)


@dataclass(frozen=True)
class Prism:
    """Extruded side profile: points (x, z) from the rear bottom over the top to the front bottom.

    `faces[i]` is the part of the strip between points i and i + 1; `side` the part of the flanks.
    """

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


def tuples(value: Any) -> Any:
    """Convert lists inside lists to tuples."""
    return tuple(map(tuples, value)) if isinstance(value, list) else value


def _prism(points: Any, faces: list[str], side: str, half_width: float) -> Prism:
    return Prism(
        tuples(points), tuple(VehiclePart[face.upper()] for face in faces), VehiclePart[side.upper()], half_width
    )


def _body(prisms: list[dict[str, Any]], **numbers: Any) -> Body:
    return Body(tuple(_prism(**prism) for prism in prisms), **{name: tuples(value) for name, value in numbers.items()})


BODIES: dict[str, Body] = {name: _body(**values) for name, values in SHAPES["bodies"].items()}
