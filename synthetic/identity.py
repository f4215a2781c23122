"""Identities: their permanent attributes, and the materials of their parts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from .palette import CLOTH, HAIR, LACQUER, SKIN, Colour, Materials, choose_colour
from .part_map import between, pick
from .vehicle_shapes import BODIES, Body, VehiclePart

#: Numbers in a person's part map; "far" parts are on the shaded side.
PersonPart = IntEnum(
    "PersonPart", "SKIN FAR_SKIN HAIR HAT TOP FAR_TOP PATTERN BOTTOM FAR_BOTTOM SHOES BAG BAG_TRIM EYES"
)


@dataclass(frozen=True)
class PersonLook:
    """Permanent attributes of a person. Lengths are in figure units."""

    hair_style: str
    hat: bool
    pattern: str
    sleeves: str
    bottom: str
    bag: str
    girth: float
    shoulders: float
    height: float
    materials: Materials


@dataclass(frozen=True)
class VehicleLook:
    """Permanent attributes of a vehicle; `tall` and `wide` stretch its body."""

    body: Body
    stripe: str
    carrier: str
    tall: float
    wide: float
    materials: Materials


def person_look(rng: np.random.Generator) -> PersonLook:
    """Draw the attributes of a person."""
    top, bottom = choose_colour(rng, CLOTH), choose_colour(rng, CLOTH)
    return PersonLook(
        hair_style=pick(rng, ("short", "long", "bun", "bald"), (5, 4, 1, 1)),
        hat=bool(rng.random() < 0.25),
        pattern=pick(rng, ("plain", "stripes", "block", "logo", "jacket", "sash"), (4, 2, 2, 1, 2, 1)),
        sleeves=pick(rng, ("long", "short")),
        bottom=pick(rng, ("trousers", "shorts", "skirt"), (5, 2, 2)),
        bag=pick(rng, ("none", "backpack", "shoulder", "hand"), (3, 3, 2, 2)),
        girth=between(rng, (0.82, 1.3)),
        shoulders=between(rng, (0.10, 0.135)),
        height=between(rng, (0.88, 1.0)),
        materials=_person_materials(rng, top, bottom),
    )


def _person_materials(rng: np.random.Generator, top: Colour, bottom: Colour) -> Materials:
    part = PersonPart
    skin, hair = choose_colour(rng, SKIN), choose_colour(rng, HAIR)
    materials = Materials()
    skin_heat = between(rng, (0.82, 0.95))
    materials.add(rng, part.SKIN, skin, nir=(0.6, 0.75), tir=(skin_heat, skin_heat))
    materials.add(rng, part.HAIR, hair, nir=(0.2, 0.6), tir=(0.5, 0.7))
    materials.add(rng, part.HAT, choose_colour(rng, CLOTH), nir=(0.15, 0.9), tir=(0.3, 0.6))
    materials.add(rng, part.TOP, top, nir=(0.12, 0.95), tir=(0.3, 0.8))
    materials.add(rng, part.PATTERN, choose_colour(rng, CLOTH, unlike=top), nir=(0.12, 0.95), tir=(0.3, 0.8))
    materials.add(rng, part.BOTTOM, bottom, nir=(0.12, 0.95), tir=(0.3, 0.8))
    materials.add(rng, part.SHOES, choose_colour(rng, CLOTH), nir=(0.15, 0.9), tir=(0.2, 0.5))
    materials.add(rng, part.BAG, choose_colour(rng, CLOTH), nir=(0.12, 0.95), tir=(0.12, 0.3))
    materials.add(rng, part.BAG_TRIM, choose_colour(rng, CLOTH), nir=(0.12, 0.95), tir=(0.12, 0.35))
    materials.add(rng, part.EYES, (0.08, 0.07, 0.07), nir=(0.2, 0.2), tir=(0.9, 0.9))
    for far, near in ((part.FAR_SKIN, part.SKIN), (part.FAR_TOP, part.TOP), (part.FAR_BOTTOM, part.BOTTOM)):
        materials.shade(far, near, 0.78)
    return materials


def vehicle_look(rng: np.random.Generator) -> VehicleLook:
    """Draw the attributes of a vehicle."""
    kind = pick(rng, tuple(BODIES), (4, 3, 3, 3, 2, 2, 3))
    return VehicleLook(
        body=BODIES[kind],
        stripe=pick(rng, ("none", "band", "two-tone", "sign"), (2, 3, 3, 3)),
        carrier=pick(rng, ("none", "box", "sign"), (3, 2, 1)) if kind != "bus" else "none",
        tall=between(rng, (0.92, 1.12)),
        wide=between(rng, (0.94, 1.08)),
        materials=_vehicle_materials(rng),
    )


def _vehicle_materials(rng: np.random.Generator) -> Materials:
    part, materials = VehiclePart, Materials()
    body = choose_colour(rng, LACQUER)
    materials.add(rng, part.BODY, body, nir=(0.12, 0.95), tir=(0.25, 0.65))
    roof = choose_colour(rng, LACQUER, unlike=body) if rng.random() < 0.3 else body
    materials.add(rng, part.ROOF, roof, nir=(0.12, 0.95), tir=(0.15, 0.7))
    materials.shade(part.ROOF, part.ROOF, 1.12)
    materials.add(rng, part.HOOD, body, nir=(0.0, 0.0), tir=(0.35, 0.98))
    materials.nir[part.HOOD] = np.clip(1.08 * materials.nir[part.BODY], 0, 1)
    materials.add(rng, part.PANEL, body, nir=(0.0, 0.0), tir=(0.2, 0.9))
    materials.nir[part.PANEL] = materials.nir[part.BODY]
    materials.shade(part.FRONT, part.BODY, 0.86)
    materials.shade(part.REAR, part.BODY, 0.82)
    materials.tir[part.REAR] = materials.tir[part.PANEL]
    _glass_and_wheels(rng, materials)
    materials.add(rng, part.STRIPE, choose_colour(rng, LACQUER, unlike=body), nir=(0.1, 0.95), tir=(0.25, 0.7))
    materials.add(rng, part.CARRIER, choose_colour(rng, LACQUER), nir=(0.1, 0.9), tir=(0.1, 0.4))
    materials.shade(part.CARRIER_TOP, part.CARRIER, 1.2)
    materials.add(rng, part.CARGO, choose_colour(rng, LACQUER), nir=(0.12, 0.95), tir=(0.12, 0.7))
    materials.shade(part.CARGO_TOP, part.CARGO, 1.12)
    materials.shade(part.CARGO_END, part.CARGO, 0.8)
    return materials


def _glass_and_wheels(rng: np.random.Generator, materials: Materials) -> None:
    part = VehiclePart
    tint = between(rng, (0.06, 0.3))
    glass = (tint * 0.9, tint, tint * 1.1)
    rim = between(rng, (0.2, 0.85))
    materials.add(rng, part.WINDOW, glass, nir=(0.06, 0.4), tir=(0.1, 0.35))
    materials.shade(part.SCREEN, part.WINDOW, 1.3)
    materials.add(rng, part.TYRE, (0.05, 0.05, 0.05), nir=(0.05, 0.2), tir=(0.4, 0.85))
    materials.add(rng, part.RIM, (rim, rim, rim), nir=(0.2, 0.9), tir=(0.3, 0.75))
    materials.add(rng, part.HEADLIGHT, (0.95, 0.95, 0.86), nir=(0.8, 0.95), tir=(0.5, 0.8))
    materials.add(rng, part.TAILLIGHT, (0.78, 0.06, 0.06), nir=(0.5, 0.9), tir=(0.4, 0.7))
    materials.add(rng, part.GRILLE, (0.08, 0.08, 0.09), nir=(0.1, 0.3), tir=(0.6, 0.98))
    materials.add(rng, part.PLATE, (0.86, 0.86, 0.80), nir=(0.7, 0.9), tir=(0.3, 0.4))
    materials.add(rng, part.SHADOW, (0.07, 0.07, 0.08), nir=(0.08, 0.08), tir=(0.3, 0.4))
    materials.add(rng, part.EXHAUST, (0.2, 0.2, 0.2), nir=(0.2, 0.3), tir=(0.9, 1.0))
