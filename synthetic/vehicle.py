"""Vehicles: viewpoint in an image, and part map."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .identity import VehicleLook
from .part_map import Canvas, Point
from .vehicle_shapes import Prism, VehiclePart

Place = Callable[[float, float], Point]

_CAMERA_DISTANCE = 3.2
_CARRIER_HEIGHT = 0.07


@dataclass(frozen=True)
class VehiclePose:
    """Viewpoint in radians: yaw 0 shows the flank with the front to the right, larger ones the rear.

    `tilt` is the camera's downward angle.
    """

    yaw: float
    tilt: float


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
        if self.look.carrier != "none":
            rear, front, height = self.body.roof
            corners += [self.project(x, 0.0, height + _CARRIER_HEIGHT) for x in (rear, front)]
        xs, ys = [p[0] for p in corners], [p[1] for p in corners]
        scale = min((right - left) / (max(xs) - min(xs)), (bottom - top) / (max(ys) - min(ys)))
        middle = (left + right) / 2 - scale * (min(xs) + max(xs)) / 2
        slack = (bottom - top) - scale * (max(ys) - min(ys))
        self.canvas.place(scale, middle, bottom - scale * max(ys) - slack / 2)

    def plane(self, points: Iterable[Point], part: VehiclePart, plane: Place) -> None:
        self.canvas.polygon([plane(a, b) for a, b in points], part + self.base)

    def along(self, y: float) -> Place:
        """Return the vertical plane along the vehicle at `y`, for points (x, z)."""
        return lambda x, z: self.project(x, y, z)

    def across(self, x: float, stretch: float = 1.0) -> Place:
        """Return the vertical plane across the vehicle at `x`, for points (y, z); y is multiplied by `stretch`."""
        return lambda y, z: self.project(x, y * stretch, z)

    def level(self, z: float) -> Place:
        """Return the horizontal plane at height `z`, for points (x, y)."""
        return lambda x, y: self.project(x, y, z)

    def flank(self, x: float, z: float) -> Point:
        return self.project(x, self.near * self.width, z)

    def draw(self) -> None:
        part = VehiclePart
        w = self.width * 1.08
        self.plane([(-0.52, -w), (0.52, -w), (0.52, w), (-0.52, w)], part.SHADOW, self.level(0.0))
        self.wheels(-self.near)
        # The farther of two boxes first.
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
            self.plane(prism.points, prism.side, self.along(self.near * half))
            if prism is self.body.prisms[-1]:
                self.details()
            self.stripe(prism)

    def rectangle(self, left: float, bottom: float, right: float, top: float, part: VehiclePart, plane: Place) -> None:
        self.plane([(left, bottom), (left, top), (right, top), (right, bottom)], part, plane)

    def details(self) -> None:
        part, body = VehiclePart, self.body
        self.plane(body.panel, part.PANEL, self.flank)
        for window in body.windows:
            self.plane(window, part.WINDOW, self.flank)
        rear, front = body.prisms[0].points[0][0], body.prisms[-1].points[-1][0]
        self.rectangle(front - 0.05, body.lamps - 0.035, front, body.lamps, part.HEADLIGHT, self.flank)
        self.rectangle(rear, body.lamps - 0.05, rear + 0.03, body.lamps + 0.015, part.TAILLIGHT, self.flank)
        self.wheels(self.near)

    def stripe(self, prism: Prism) -> None:
        part, (bottom, top) = VehiclePart, self.body.band
        rear, front = prism.points[0][0] + 0.01, prism.points[-1][0] - 0.06
        cargo = prism.side == part.CARGO
        # A truck has its sign on the box, other vehicles on their only flank.
        wearer = cargo or len(self.body.prisms) == 1
        if self.look.stripe == "band" and wearer:
            self.rectangle(rear, bottom, front, top, part.STRIPE, self.flank)
        elif self.look.stripe == "two-tone":
            low = prism.points[0][1]
            self.rectangle(rear, low, front, low + 0.07, part.STRIPE, self.flank)
        elif self.look.stripe == "sign" and wearer:
            middle = (rear + front) / 2 - 0.05
            high = top + (0.06 if cargo else 0.035)
            self.rectangle(middle - 0.13, bottom - 0.02, middle + 0.13, high, part.STRIPE, self.flank)
        self.wheels(self.near)

    def wheels(self, side: float) -> None:
        radius = self.body.wheel_radius
        angles = np.linspace(0, 2 * math.pi, 18, endpoint=False)
        for axle in self.body.wheels:
            for r, y, part in ((radius, 0.98, VehiclePart.TYRE), (radius * 0.58, 1.0, VehiclePart.RIM)):
                circle = [(axle + r * math.cos(a), radius / self.look.tall + r * math.sin(a)) for a in angles]
                self.plane(circle, part, self.along(side * y * self.width))

    def front(self) -> None:
        part, prism, top = VehiclePart, self.body.prisms[-1], self.body.lamps
        x, low = prism.points[-1]
        plane = self.across(x, prism.half_width * self.look.wide)
        if self.body.front_screen is not None:
            self.rectangle(-0.9, self.body.front_screen[0], 0.9, self.body.front_screen[1], part.SCREEN, plane)
        self.rectangle(-0.5, top - 0.05, 0.5, top, part.GRILLE, plane)
        for y in (-0.75, 0.75):
            self.rectangle(y - 0.17, top - 0.035, y + 0.17, top, part.HEADLIGHT, plane)
        self.rectangle(-0.22, low + 0.01, 0.22, low + 0.035, part.PLATE, plane)
        self.rectangle(-1.0, low, 1.0, low + 0.012, part.GRILLE, plane)

    def rear(self) -> None:
        part, prism, top = VehiclePart, self.body.prisms[0], self.body.lamps
        x, low = prism.points[0]
        plane = self.across(x, prism.half_width * self.look.wide)
        if self.body.rear_screen is not None:
            self.rectangle(-0.85, self.body.rear_screen[0], 0.85, self.body.rear_screen[1], part.SCREEN, plane)
        for y in (-0.84, 0.84):
            self.rectangle(y - 0.14, top - 0.04, y + 0.14, top + 0.015, part.TAILLIGHT, plane)
        self.rectangle(-0.22, top - 0.03, 0.22, top, part.PLATE, plane)
        self.rectangle(-0.7, low - 0.012, -0.5, low + 0.015, part.EXHAUST, plane)

    def carrier(self) -> None:
        part, (rear, front, low) = VehiclePart, self.body.roof
        half, high = self.width * 0.62, low + _CARRIER_HEIGHT
        if self.look.carrier == "sign":
            middle = (rear + front) / 2
            rear, front, half, high = middle - 0.03, middle + 0.03, self.width * 0.4, low + 0.055
        for x, visible in ((rear, self.sin > 0), (front, self.sin < 0)):
            if visible:
                self.rectangle(-half, low, half, high, part.CARRIER, self.across(x))
        self.rectangle(rear, -half, front, half, part.CARRIER_TOP, self.level(high))
        self.rectangle(rear, low, front, high, part.CARRIER, self.along(self.near * half))
