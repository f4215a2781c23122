"""Conversion of any kind of image to RGB: files and boxes of them, bytes, arrays and PIL images, 8 and 16 bit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeGuard, Union

import numpy as np

from ...errors import InputError
from .image_files import (
    FORMATS,
    decoding,
    image_name,
    open_image,
    pillow_limit_lifted,
    require_size,
    tell_orientation,
)
from .image_settings import ImageSettings
from .range_watch import RangeWatch
from .sample import ImageSource
from .sixteen_bit import Range, eight_bit

if TYPE_CHECKING:
    from PIL import Image

#: Images that are taken.
ImageLike = Union[
    str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes], np.ndarray, "Image.Image", ImageSource
]

_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_EIGHT_BIT_MODES = ("RGB", "L", "1", "P", "CMYK", "YCbCr", "RGBX")
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
#: A wider range maps values from 0 to 255 to at most 17 of 256 gray levels.
_WIDE = 16 * 255


class LastFile:
    """Cache of the last decoded file, for several images that are boxes of one file."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._image: Image.Image | None = None

    def open(self, path: Path, settings: ImageSettings) -> Image.Image:
        """Decode as `open_image`, but a file only once for consecutive calls."""
        if self._image is None or path != self._path:
            # freed before the next one is decoded
            self._image = None
            self._image, self._path = open_image(path, settings), path
        return self._image


def is_encoded(image: object) -> TypeGuard[bytes | bytearray | memoryview | IO[bytes]]:
    """Return True if an image is the bytes of a file, or an open file."""
    return isinstance(image, bytes | bytearray | memoryview) or (
        callable(getattr(image, "read", None)) and not isinstance(image, str | os.PathLike)
    )


@dataclass(frozen=True)
class ToRgb:
    """Conversion of any kind of image to a PIL image in RGB mode, before resizing."""

    limits: Range
    settings: ImageSettings
    sensor: str | None
    watch: RangeWatch | None
    file: LastFile

    def any(self, image: ImageLike, name: str = "") -> Image.Image:
        """Convert an image that is a decoded file if `name` is given."""
        if isinstance(image, np.ndarray):
            return self.array(image)
        if isinstance(image, ImageSource):
            return self.source(image)
        if isinstance(image, str | os.PathLike):
            return self.source(ImageSource(Path(image)))
        return self.pixels(image, name) if name else self.pil(image)  # type: ignore[arg-type]

    def source(self, source: ImageSource) -> Image.Image:
        """Convert a file, or a box of it."""
        image, name = self.file.open(source.path, self.settings), image_name(source.path)
        if source.box is not None:
            left, top, right, bottom = source.box
            if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
                raise InputError(
                    f"{name} is {image.width} x {image.height} pixels, which does not hold the box {source.box} "
                    "(left, top, right, bottom). Is the file of the data set that was named?"
                )
            with pillow_limit_lifted(image.size):
                image = image.crop(source.box)
        return self.pixels(image, name)

    def pil(self, image: object) -> Image.Image:
        """Convert a PIL image, decoded or not."""
        from PIL import Image, ImageFile

        if not isinstance(image, Image.Image):
            raise InputError(
                "An image must be a path, bytes or an open file, a NumPy array, a PIL image or an ImageSource, not "
                f"{type(image).__name__}."
            )
        name = image_name(image) if getattr(image, "filename", "") else "the PIL image"
        lazy = isinstance(image, ImageFile.ImageFile) and bool(image.tile)
        if image.width and image.height:
            require_size(image.size, name, self.settings)
        if (lazy and image.format not in (*FORMATS, "MPO")) or isinstance(image, ImageFile.StubImageFile):
            raise InputError(
                f"{name} was opened as {image.format} and is not decoded yet. Formats that are decoded here are "
                f"{', '.join(FORMATS)}; of another one call image.load() first."
            )
        with decoding(name), pillow_limit_lifted(image.size):
            image.load()
        tell_orientation(image, name)
        return self.pixels(image, name)

    def pixels(self, image: Image.Image, name: str) -> Image.Image:
        """Convert a decoded image; `name` is for messages."""
        from PIL import Image

        if image.width == 0 or image.height == 0:
            raise InputError(f"{name} has no pixels ({image.width} x {image.height}).")
        with decoding(name):
            if image.mode in _SIXTEEN_BIT_MODES:
                return Image.fromarray(self._grey(np.asarray(image), name, image.mode)).convert("RGB")
            if image.mode in _ALPHA_MODES or "transparency" in image.info:
                return _opaque(image, name)
            if image.mode not in _EIGHT_BIT_MODES:
                raise InputError(
                    f"{name} has pixels of mode {image.mode!r}. Convert it to 8-bit colour, 8-bit grey or 16-bit grey "
                    "first."
                )
            return image.convert("RGB")

    def array(self, array: np.ndarray) -> Image.Image:
        """Convert an array uint8 (H, W, 3) or (H, W), or uint16 (H, W)."""
        from PIL import Image

        if array.dtype.kind != "u" or array.dtype.itemsize > 2:
            raise InputError(
                f"An image array must be uint8 (0 to 255) or uint16 grey, not {array.dtype}. Convert it, for example "
                "np.rint(image * 255).astype(np.uint8) for floats from 0 to 1."
            )
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[:, :, 0]
        grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[2] == 3
        wide = array.dtype.itemsize == 2
        if array.size == 0 or not (grey or (colour and not wide)):
            raise InputError(
                f"An image array must be uint8 (H, W, 3), uint8 (H, W) or uint16 (H, W), all at least 1, not "
                f"{array.dtype} {array.shape}. Drop an alpha channel with image[..., :3]; channels come last."
            )
        if wide:
            array = self._grey(array, "the array", "I;16")
        return Image.fromarray(np.ascontiguousarray(array)).convert("RGB")

    def _grey(self, values: np.ndarray, name: str, mode: str) -> np.ndarray:
        if mode == "I" and 0 < int(values.max()) <= 255 and self.limits[1] - self.limits[0] > _WIDE:
            raise InputError(
                f"{name} has 32 bits a pixel but values from {values.min()} to {values.max()}, as an 8-bit image has: "
                f"scaled from {self.limits[0]} to {self.limits[1]} it would be black. Save it with 8 bits a pixel, or "
                "give the range 0:255 (--sixteen-bit-range; in Python sixteen_bit_range=(0, 255))."
            )
        scaled, (least, most) = eight_bit(values, name, self.sensor, self.limits)
        if self.watch is not None:
            self.watch.add(self.sensor, least, most, self.limits)
        return scaled


def _opaque(image: Image.Image, name: str) -> Image.Image:
    with_alpha = image.convert("RGBA")
    if with_alpha.getchannel("A").getextrema() != (255, 255):
        raise InputError(
            f"{name} has transparent pixels, and what is behind them is not known. Paste it on a background first."
        )
    # Pillow warns on a direct conversion from a palette with transparency
    return (with_alpha if image.mode == "P" else image).convert("RGB")
