"""Images to the uint8 arrays that the model takes: decode, scale 16-bit values, resize. Defined once, for every user.

Training, calibration, evaluation and the runtime all resize with `resize`, which is Pillow's: its filters widen when an
image is made smaller (antialiasing), which other libraries' filters of the same name do not do. Normalisation is not
here: it is inside the model's graph.

EXIF orientation is not applied, as in training. Of a file with several frames the first is used.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np

from ..errors import InputError
from .data.sample import ImageSource

if TYPE_CHECKING:
    from PIL import Image

#: What `image_array` takes.
ImageLike = Union[str, "os.PathLike[str]", np.ndarray, "Image.Image", ImageSource]

FILTERS = ("bilinear", "bicubic")

_FULL_RANGE = (0, 65535)
_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_EIGHT_BIT_MODES = ("RGB", "L", "1", "P", "CMYK", "YCbCr", "RGBX")
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")

# What Pillow's decoders were seen to raise on damaged files of the common formats.
_DECODER_ERRORS = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error)


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the model's input, and what the model does to it.

    Attributes:
        height, width: pixels of the model's input.
        mean, std: per colour channel (R, G, B), of values divided by 255; applied by the graph.
        resize: Pillow's filter, one of FILTERS.
        antialias: always true: Pillow widens the filter when it makes an image smaller.
        sixteen_bit_range: (low, high); 16-bit values are scaled linearly so that low becomes 0 and high 255.
        normalized_in_graph: always true: the model takes uint8.

    Raises:
        InputError: a value that cannot be meant.
    """

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: str = "bilinear"
    antialias: bool = True
    sixteen_bit_range: tuple[int, int] = _FULL_RANGE
    normalized_in_graph: bool = True

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise InputError(f"height and width must be at least 1 pixel, not {self.height} and {self.width}.")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)) or min(self.std) <= 0:
            raise InputError(f"mean must be finite and std positive, not {self.mean} and {self.std}.")
        _check_filter(self.resize)
        if not (self.antialias and self.normalized_in_graph):
            raise InputError("antialias and normalized_in_graph must be true: this version knows nothing else.")
        check_sixteen_bit_range(self.sixteen_bit_range)


def check_sixteen_bit_range(limits: tuple[int, int]) -> None:
    """Raise InputError unless `limits` are (low, high) with 0 <= low < high <= 65535."""
    low, high = limits
    if not 0 <= low < high <= 65535:
        raise InputError(f"sixteen_bit_range must be 0 <= low < high <= 65535, not {low}, {high}.")


def image_array(image: ImageLike, preprocessing: Preprocessing) -> np.ndarray:
    """Any image as uint8 (height, width, 3), as `preprocessing` wants it.

    `image` is a path, a PIL image, an ImageSource, or an array: uint8 (H, W, 3) in the order R, G, B; uint8 (H, W) or
    (H, W, 1) grey; uint16 (H, W) or (H, W, 1), for example thermal. Grey is repeated on the three channels.

    16-bit values, of arrays and of files, become `rint((value - low) * 255 / (high - low))` with (low, high) =
    `preprocessing.sixteen_bit_range`, before the resize. Nothing is clipped.

    Raises:
        InputError: the file cannot be read, the array has another type or shape, a 16-bit value is outside the range,
            or the image is not opaque.
    """
    if isinstance(image, np.ndarray):
        loaded = _from_array(image, preprocessing.sixteen_bit_range)
    elif isinstance(image, ImageSource):
        loaded = load_source(image, preprocessing.sixteen_bit_range)
    elif isinstance(image, str | os.PathLike):
        loaded = load_source(ImageSource(Path(image)), preprocessing.sixteen_bit_range)
    else:
        loaded = _from_pil(image, preprocessing.sixteen_bit_range)
    return np.array(resize(loaded, (preprocessing.height, preprocessing.width), preprocessing.resize))


def load_source(source: ImageSource, sixteen_bit_range: tuple[int, int] = _FULL_RANGE) -> Image.Image:
    """Decode a file, completely, and crop its box; the result is a PIL image in RGB mode.

    Raises:
        InputError: missing, unreadable, truncated or empty file; a box that leaves the image; see `image_array`.
    """
    from PIL import Image

    with _decoding(str(source.path)), Image.open(source.path) as file:
        # Pillow decodes lazily: without this a truncated file would fail later, and nameless.
        file.load()
    image: Image.Image = file
    if source.box is not None:
        left, top, right, bottom = source.box
        if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
            raise InputError(
                f"{source.path} is {image.width} x {image.height} pixels, which does not hold the box {source.box} "
                "(left, top, right, bottom). Is the file of the data set that was named?"
            )
        image = image.crop(source.box)
    return _to_rgb(image, str(source.path), sixteen_bit_range)


def resize(image: Image.Image, size: tuple[int, int], filter_name: str) -> Image.Image:
    """Resize to `size` = (height, width) pixels with Pillow's filter of that name (one of FILTERS)."""
    from PIL import Image

    _check_filter(filter_name)
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    height, width = size
    return image.resize((width, height), filters[filter_name])


def _check_filter(name: str) -> None:
    if name not in FILTERS:
        raise InputError(f"The resize filter must be one of {', '.join(FILTERS)}, not {name!r}.")


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn what Pillow raises on a bad file into an InputError that names it."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"There is no image {name}. Check the path.") from error
    except UnidentifiedImageError as error:
        empty = Path(name).is_file() and Path(name).stat().st_size == 0
        what = "is an empty file (0 bytes)" if empty else "is not an image of a format that Pillow reads"
        raise InputError(f"{name} {what}. Replace it, or leave the sensor out.") from error
    except (*_DECODER_ERRORS, Image.DecompressionBombError) as error:
        raise InputError(f"{name} cannot be decoded: {error}. It is damaged, cut short or not readable.") from error


def _from_pil(image: object, limits: tuple[int, int]) -> Image.Image:
    from PIL import Image

    if not isinstance(image, Image.Image):
        raise InputError(
            f"An image must be a path, a NumPy array, a PIL image or an ImageSource, not {type(image).__name__}."
        )
    name = str(getattr(image, "filename", "") or "the PIL image")
    with _decoding(name):
        image.load()
    return _to_rgb(image, name, limits)


def _to_rgb(image: Image.Image, name: str, limits: tuple[int, int]) -> Image.Image:
    from PIL import Image

    if image.width == 0 or image.height == 0:
        raise InputError(f"{name} has no pixels ({image.width} x {image.height}).")
    if image.mode in _SIXTEEN_BIT_MODES:
        return Image.fromarray(_scale_sixteen_bit(np.asarray(image), name, limits)).convert("RGB")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return _opaque(image, name)
    if image.mode not in _EIGHT_BIT_MODES:
        raise InputError(
            f"{name} has pixels of mode {image.mode!r}. Convert it to 8-bit colour, 8-bit grey or 16-bit grey first."
        )
    return image.convert("RGB")


def _opaque(image: Image.Image, name: str) -> Image.Image:
    if image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise InputError(
            f"{name} has transparent pixels, and what is behind them is not known. Paste it on a background first."
        )
    return image.convert("RGB")


def _from_array(array: np.ndarray, limits: tuple[int, int]) -> Image.Image:
    from PIL import Image

    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"An image array must be uint8 (0 to 255) or uint16 grey, not {array.dtype}. Convert it, for example "
            "np.rint(image * 255).astype(np.uint8) for floats from 0 to 1."
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[2] == 3
    if array.size == 0 or not (grey or (colour and array.dtype == np.uint8)):
        raise InputError(
            f"An image array must be uint8 (H, W, 3), uint8 (H, W) or uint16 (H, W), all at least 1, not {array.dtype} "
            f"{array.shape}. Drop an alpha channel with image[..., :3]; channels come last."
        )
    if array.dtype == np.uint16:
        array = _scale_sixteen_bit(array, "the array", limits)
    return Image.fromarray(np.ascontiguousarray(array)).convert("RGB")


def _scale_sixteen_bit(values: np.ndarray, name: str, limits: tuple[int, int]) -> np.ndarray:
    low, high = limits
    least, most = int(values.min()), int(values.max())
    if least < low or most > high:
        raise InputError(
            f"{name} has 16-bit values from {least} to {most}, outside sixteen_bit_range ({low}, {high}). "
            "Values are never clipped: give a range that holds all your images, sixteen_bit_range=(low, high)."
        )
    return np.rint((values.astype(np.float64) - low) * 255.0 / (high - low)).astype(np.uint8)
