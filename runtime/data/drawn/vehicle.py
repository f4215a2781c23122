"""Vehicles: how an identity looks, from where it is seen, and its part map."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .bodywork import BODIES, Body, Prism, VehiclePart
from .canvas import Canvas, Point, between, pick
from .palette import LACQUER, Materials, choose_colour

_CAMERA_DISTANCE = 3.2


@dataclass(frozen=True)
class VehicleLook:
    """What stays the same whenever this vehicle is seen; `tall` and `wide` stretch its body."""

    body: Body
    stripe: str
    carrier: str
    tall: float
    wide: float
    materials: Materials


@dataclass(frozen=True)
class VehiclePose:
    """From where a vehicle is seen, in radians: yaw 0 shows its flank with the front to the right, then the rear turns
    into view; `tilt` is how far the camera looks down."""

    yaw: float
    tilt: float


def vehicle_look(rng: np.random.Generator) -> VehicleLook:
    """Draw the looks of one identity."""
    kind = pick(rng, tuple(BODIES), (4, 3, 3, 3, 2, 2, 3))
    return VehicleLook(
        body=BODIES[kind],
        stripe=pick(rng, ("none", "band", "two-tone", "sign"), (4, 3, 2, 2)),
        carrier=pick(rng, ("none", "box", "sign"), (4, 2, 1)) if kind != "bus" else "none",
        tall=between(rng, (0.92, 1.12)),
        wide=between(rng, (0.94, 1.08)),
        materials=_materials(rng),
    )


def _materials(rng: np.random.Generator) -> Materials:
    part, materials = VehiclePart, Materials()
    body = choose_colour(rng, LACQUER)
    materials.add(rng, part.BODY, body, nir=(0.12, 0.95), tir=(0.25, 0.65))
    roof = choose_colour(rng, LACQUER, unlike=body) if rng.random() < 0.2 else body
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


def draw_vehicle(
    canvas: Canvas, look: VehicleLook, pose: VehiclePose, box: tuple[float, float, float, float], base: int = 0
) -> None:
    """Draw a vehicle so that it just fits into `box` (left, top, right, bottom in pixels), resting on its bottom."""
    painter = _Painter(canvas, look, pose, base)
    painter.fit(box)
    painter.draw()


class _Painter:
    def __init__(self, canvas: Canvas, look: VehicleLook, pose: VehiclePose, base: int) -> None:
        self.canvas, self.look, self.body, self.base = canvas, look, look.body, base
        self.cos, self.sin = math.cos(pose.yaw), math.sin(pose.yaw)
        self.tilt_cos, self.tilt_sin = math.cos(pose.tilt), math.sin(pose.tilt)
        self.near = -1.0 if self.cos >= 0 else 1.0
        self.width = self.body.prisms[0].half_width * look.wide

    def project(self, x: float, y: float, z: float) -> Point:
        z *= self.look.tall
        across, depth = x * self.cos - y * self.sin, x * self.sin + y * self.cos
        scale = _CAMERA_DISTANCE / (_CAMERA_DISTANCE + depth)
        return across * scale, -(z * self.tilt_cos + depth * self.tilt_sin) * scale

    def fit(self, box: tuple[float, float, float, float]) -> None:
        left, top, right, bottom = box
        corners = [
            self.project(x, y, z)
            for prism in self.body.prisms
            for x, z in (*prism.points, (prism.points[0][0], 0.0), (prism.points[-1][0], 0.0))
            for y in (-self.width, self.width)
        ]
        xs, ys = [p[0] for p in corners], [p[1] for p in corners]
        scale = min((right - left) / (max(xs) - min(xs)), (bottom - top) / (max(ys) - min(ys)))
        middle = (left + right) / 2 - scale * (min(xs) + max(xs)) / 2
        slack = (bottom - top) - scale * (max(ys) - min(ys))
        self.canvas.place(scale, middle, bottom - scale * max(ys) - slack / 2)

    def plane(self, points: Iterable[Point], part: VehiclePart, place: Callable[[float, float], Point]) -> None:
        self.canvas.polygon([place(a, b) for a, b in points], part + self.base)

    def flank(self, x: float, z: float) -> Point:
        return self.project(x, self.near * self.width, z)

    def draw(self) -> None:
        part = VehiclePart
        w = self.width * 1.08
        self.plane([(-0.52, -w), (0.52, -w), (0.52, w), (-0.52, w)], part.SHADOW, lambda x, y: self.project(x, y, 0.0))
        self.wheels(-self.near)
        # Of two boxes one behind the other, the farther first.
        for prism in sorted(self.body.prisms, key=lambda p: -self.sin * (p.points[0][0] + p.points[-1][0])):
            self.prism(prism)
        if self.look.carrier != "none":
            self.carrier()

    def prism(self, prism: Prism) -> None:
        half = prism.half_width * self.look.wide
        strips = []
        for (x0, z0), (x1, z1), part in zip(prism.points[:-1], prism.points[1:], prism.faces, strict=True):
            facing = -(z0 - z1) * self.sin * self.tilt_cos + (x1 - x0) * self.tilt_sin
            if facing > 0:
                strips.append(
                    ((x0 + x1) * self.sin, [(x0, -half, z0), (x1, -half, z1), (x1, half, z1), (x0, half, z0)], part)
                )
        for _, corners, part in sorted(strips, key=lambda strip: -strip[0]):
            self.canvas.polygon([self.project(*corner) for corner in corners], part + self.base)
        if prism is self.body.prisms[-1] and self.sin < -0.05:
            self.front()
        if prism is self.body.prisms[0] and self.sin > 0.05:
            self.rear()
        if abs(self.cos) > 0.03:
            self.plane(prism.points, prism.side, lambda x, z: self.project(x, self.near * half, z))
            if prism is self.body.prisms[-1]:
                self.details()
            self.stripe(prism)

    def details(self) -> None:
        part, body = VehiclePart, self.body
        self.plane(body.panel, part.PANEL, self.flank)
        for window in body.windows:
            self.plane(window, part.WINDOW, self.flank)
        bottom, top = body.band
        front = body.prisms[-1].points[-1][0]
        rear = body.prisms[0].points[0][0]
        self.plane(
            [(front - 0.05, top - 0.02), (front - 0.05, top + 0.015), (front, top + 0.01), (front, top - 0.02)],
            part.HEADLIGHT,
            self.flank,
        )
        self.plane(
            [(rear, bottom), (rear, top + 0.02), (rear + 0.03, top + 0.02), (rear + 0.03, bottom)],
            part.TAILLIGHT,
            self.flank,
        )
        self.wheels(self.near)

    def stripe(self, prism: Prism) -> None:
        part, (bottom, top) = VehiclePart, self.body.band
        rear, front = prism.points[0][0] + 0.01, prism.points[-1][0] - 0.06
        cargo = prism.side == part.CARGO
        if self.look.stripe == "band" and (cargo or len(self.body.prisms) == 1):
            self.plane([(rear, bottom), (rear, top), (front, top), (front, bottom)], part.STRIPE, self.flank)
        elif self.look.stripe == "two-tone":
            low = prism.points[0][1]
            self.plane([(rear, low), (rear, low + 0.07), (front, low + 0.07), (front, low)], part.STRIPE, self.flank)
        elif self.look.stripe == "sign" and (cargo or len(self.body.prisms) == 1):
            middle = (rear + front) / 2 - 0.05
            high = top + 0.06 if cargo else top + 0.035
            self.plane(
                [
                    (middle - 0.13, bottom - 0.02),
                    (middle - 0.13, high),
                    (middle + 0.13, high),
                    (middle + 0.13, bottom - 0.02),
                ],
                part.STRIPE,
                self.flank,
            )
        self.wheels(self.near)

    def wheels(self, side: float) -> None:
        radius = self.body.wheel_radius
        angles = np.linspace(0, 2 * math.pi, 18, endpoint=False)
        for axle in self.body.wheels:
            for r, y, part in ((radius, 0.98, VehiclePart.TYRE), (radius * 0.58, 1.0, VehiclePart.RIM)):
                circle = [(axle + r * math.cos(a), radius / self.look.tall + r * math.sin(a)) for a in angles]
                self.plane(circle, part, lambda x, z, y=y: self.project(x, side * y * self.width, z))

    def front(self) -> None:
        part, prism = VehiclePart, self.body.prisms[-1]
        (x, low), half = prism.points[-1], prism.half_width * self.look.wide
        _, top = self.body.band
        if len(self.body.prisms) > 1:
            top = 0.19

        def place(y: float, z: float) -> Point:
            return self.project(x, y * half, z)

        if self.body.front_screen is not None:
            a, b = self.body.front_screen
            self.plane([(-0.9, a), (0.9, a), (0.9, b), (-0.9, b)], part.SCREEN, place)
        self.plane([(-0.5, top - 0.05), (0.5, top - 0.05), (0.5, top), (-0.5, top)], part.GRILLE, place)
        for y in (-0.75, 0.75):
            self.plane(
                [(y - 0.17, top - 0.035), (y + 0.17, top - 0.035), (y + 0.17, top), (y - 0.17, top)],
                part.HEADLIGHT,
                place,
            )
        self.plane(
            [(-0.22, low + 0.01), (0.22, low + 0.01), (0.22, low + 0.035), (-0.22, low + 0.035)], part.PLATE, place
        )
        self.plane([(-1, low), (1, low), (1, low + 0.012), (-1, low + 0.012)], part.GRILLE, place)

    def rear(self) -> None:
        part, prism = VehiclePart, self.body.prisms[0]
        (x, low), half = prism.points[0], prism.half_width * self.look.wide
        top = min(self.body.band[1], prism.points[1][1]) if len(self.body.prisms) == 1 else 0.17

        def place(y: float, z: float) -> Point:
            return self.project(x, y * half, z)

        if self.body.rear_screen is not None:
            a, b = self.body.rear_screen
            self.plane([(-0.85, a), (0.85, a), (0.85, b), (-0.85, b)], part.SCREEN, place)
        for y in (-0.84, 0.84):
            self.plane(
                [(y - 0.14, top - 0.04), (y + 0.14, top - 0.04), (y + 0.14, top + 0.015), (y - 0.14, top + 0.015)],
                part.TAILLIGHT,
                place,
            )
        self.plane([(-0.22, top - 0.03), (0.22, top - 0.03), (0.22, top), (-0.22, top)], part.PLATE, place)
        self.plane(
            [(-0.7, low - 0.012), (-0.5, low - 0.012), (-0.5, low + 0.015), (-0.7, low + 0.015)], part.EXHAUST, place
        )

    def carrier(self) -> None:
        part, (rear, front, height) = VehiclePart, self.body.roof
        low, half = height, self.width * 0.62
        high = height + 0.07
        if self.look.carrier == "sign":
            middle = (rear + front) / 2
            rear, front, half, high = middle - 0.03, middle + 0.03, self.width * 0.4, height + 0.055
        ends = ((rear, self.sin > 0), (front, self.sin < 0))
        for x, visible in ends:
            if visible:
                self.plane(
                    [(-half, low), (half, low), (half, high), (-half, high)],
                    part.CARRIER,
                    lambda y, z, x=x: self.project(x, y, z),
                )
        self.plane(
            [(rear, -half), (front, -half), (front, half), (rear, half)],
            part.CARRIER_TOP,
            lambda x, y: self.project(x, y, high),
        )
        self.plane(
            [(rear, low), (front, low), (front, high), (rear, high)],
            part.CARRIER,
            lambda x, z: self.project(x, self.near * half, z),
        )
