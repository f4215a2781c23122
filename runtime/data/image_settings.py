"""Decoding settings of a process: pixel limit, truncated files, ranges of 16-bit images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from ...errors import InputError
from .sixteen_bit import Range

#: Default limit of pixels, 8192 x 8192: decoding takes about one GiB at most.
MAX_PIXELS = 1 << 26
#: Limit of pixels per side, independent of the total.
MAX_SIDE = 1 << 16


@dataclass(frozen=True)
class ImageSettings:
    """Settings of image decoding.

    Attributes:
        max_pixels: images with more pixels are rejected by their header, before decoding.
        accept_truncated: use the decodable part of a damaged or cut file, the rest black, as Pillow does with its
            process-wide LOAD_TRUNCATED_IMAGES, which is not touched.
        sixteen_bit_range: (low, high) by sensor, overrides that of the model.

    Raises:
        InputError: a limit below 1.
    """

    max_pixels: int = MAX_PIXELS
    accept_truncated: bool = False
    sixteen_bit_range: Mapping[str, Range] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if isinstance(self.max_pixels, bool) or not isinstance(self.max_pixels, int) or self.max_pixels < 1:
            raise InputError(f"max_image_pixels must be a whole number of at least 1, not {self.max_pixels!r}.")


_current = ImageSettings()


def image_settings() -> ImageSettings:
    """Return the settings of this process, the default of all decoding functions."""
    return _current


def set_image_settings(settings: ImageSettings) -> None:
    """Replace the settings of this process; worker processes forked later inherit them."""
    global _current
    _current = settings


@contextmanager
def using_image_settings(settings: ImageSettings) -> Iterator[None]:
    """Apply settings to the whole process, all threads included, inside the context."""
    before = image_settings()
    set_image_settings(settings)
    try:
        yield
    finally:
        set_image_settings(before)
