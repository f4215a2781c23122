"""Camera model: illumination, color cast, blur, noise, and slight misalignment of the three sensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from . import settings
from .part_map import CAMERA_STREAM, Canvas, Floats, between, covered, generator, painted
from .scene import Backdrop

Images = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class CameraLook:
    """Properties of a camera: channel gains (3,), gain of its NIR lamp, TIR gain and offset."""

    cast: Floats
    nir_gain: float
    tir_gain: float
    tir_offset: float


def camera_look(seed: int, kind: int, camera: int) -> CameraLook:
    """Return the properties of one camera of a synthetic benchmark."""
    rng = generator(seed, CAMERA_STREAM, kind, camera)
    cast = 1 + rng.uniform(-settings.CAMERA_CAST, settings.CAMERA_CAST, 3)
    return CameraLook(
        cast.astype(np.float32),
        between(rng, settings.NIR_GAIN),
        between(rng, settings.TIR_GAIN),
        between(rng, settings.TIR_OFFSET),
    )


def take_images(
    rng: np.random.Generator,
    canvas: Canvas,
    tables: tuple[Floats, Floats, Floats],
    surroundings: Backdrop,
    camera: CameraLook,
    night: bool,
) -> Images:
    """Render the rgb, nir and tir image of a part map in front of a backdrop. Returns uint8 (H, W, 3) each."""
    height = canvas.size[0]
    light = _light(rng, canvas.size, settings.SIDE_LIGHT)
    corner = [
        int(rng.integers(large - small + 1))
        for large, small in zip(surroundings[0].shape[:2], canvas.size, strict=True)
    ]
    exposure = between(rng, settings.NIGHT_GAIN if night else settings.DAY_GAIN)
    cast = camera.cast * (1 + rng.uniform(-settings.IMAGE_CAST, settings.IMAGE_CAST, 3).astype(np.float32))
    sharpness = between(rng, (0.0, settings.BLUR)) * height / 256
    rgb, nir, tir = (
        _view(rng, canvas, table, scenery, corner, shifted=index > 0, dimmed=0.55 if night and index == 1 else 1.0)
        for index, (table, scenery) in enumerate(zip(tables, surroundings, strict=True))
    )
    rgb *= light * (cast * exposure)
    nir *= (light * 0.5 + 0.5) * (camera.nir_gain * between(rng, (0.9, 1.1)))
    tir *= camera.tir_gain
    tir += camera.tir_offset + between(rng, settings.TIR_OFFSET) * 0.5
    thermal_blur = sharpness + settings.TIR_BLUR * height / 256
    return (
        _exposed(rng, rgb, sharpness, settings.NOISE[0]),
        _exposed(rng, nir, sharpness, settings.NOISE[1]),
        _exposed(rng, tir, thermal_blur, settings.NOISE[2]),
    )


def take_rgb(
    rng: np.random.Generator, canvas: Canvas, table: Floats, scenery: Floats, camera: CameraLook
) -> npt.NDArray[np.uint8]:
    """Render the rgb image of a part map by day, in front of a part of a backdrop that is at least as large.

    Returns:
        uint8 (H, W, 3).
    """
    height = canvas.size[0]
    corner = [int(rng.integers(large - small + 1)) for large, small in zip(scenery.shape[:2], canvas.size, strict=True)]
    cast = camera.cast * (1 + rng.uniform(-settings.IMAGE_CAST, settings.IMAGE_CAST, 3).astype(np.float32))
    view = _view(rng, canvas, table, scenery, corner, shifted=False, dimmed=1.0)
    view *= _light(rng, canvas.size, settings.SIDE_LIGHT) * (cast * between(rng, settings.ATTRIBUTE_GAIN))
    return _exposed(rng, view, between(rng, (0.0, settings.BLUR)) * height / 256, settings.NOISE[0])


def _view(
    rng: np.random.Generator,
    canvas: Canvas,
    table: Floats,
    scenery: Floats,
    corner: list[int],
    shifted: bool,
    dimmed: float,
) -> Floats:
    height, width = canvas.size
    reach = round(settings.MISALIGNMENT * height) if shifted else 0
    shift_x, shift_y = (int(v) for v in rng.integers(-reach, reach + 1, 2))
    window = canvas.window(shift_x, shift_y)
    alpha = covered(window)[:, :, None]
    behind = scenery[corner[0] : corner[0] + height, corner[1] : corner[1] + width]
    drift = 1 + rng.uniform(-settings.APPEARANCE_DRIFT, settings.APPEARANCE_DRIFT, table.shape).astype(np.float32)
    return painted(window, table * drift) + (1 - alpha) * behind * dimmed


def _light(rng: np.random.Generator, size: tuple[int, int], strength: float) -> Floats:
    """Draw a directional illumination, float32 (H, W, 1) around 1."""
    height, width = size
    slope_x, slope_y = rng.uniform(-strength, strength, 2)
    rows = np.linspace(-slope_y, slope_y, height, dtype=np.float32)[:, None, None]
    columns = np.linspace(-slope_x, slope_x, width, dtype=np.float32)[None, :, None]
    return 1 + rows + columns


def _exposed(rng: np.random.Generator, view: Floats, blur: float, noise: float) -> npt.NDArray[np.uint8]:
    """Apply blur and noise, clip, and repeat a single channel three times."""
    if blur > 0.3:
        levels = np.clip(view * 255, 0, 255).astype(np.uint8)
        picture = Image.fromarray(levels[:, :, 0] if view.shape[2] == 1 else levels)
        view = np.asarray(picture.filter(ImageFilter.GaussianBlur(blur)), np.float32).reshape(view.shape)
        view /= np.float32(255)
    noisy = rng.standard_normal(view.shape, dtype=np.float32)
    noisy *= noise
    noisy += view
    noisy *= 255
    levels = np.clip(np.rint(noisy, out=noisy), 0, 255, out=noisy).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))
