"""Settings of decoding: pixels, cut files, ranges of 16-bit images; the command line sets those of its process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from ...errors import InputError
from .sixteen_bit import Range

#: Pixels of an image that is decoded at most, 8192 x 8192: decoding takes about one GiB at the worst.
MAX_PIXELS = 1 << 26
#: Pixels of a side at most, whatever is allowed in all.
MAX_SIDE = 1 << 16


@dataclass(frozen=True)
class ImageSettings:
    """How images are decoded.

    Attributes:
        max_pixels: an image of more pixels is refused by its header, before anything is decoded.
        accept_truncated: take what can be decoded of a damaged or cut file, the rest black, as Pillow does with its
            LOAD_TRUNCATED_IMAGES; that switch of the whole process is not touched.
        sixteen_bit_range: (low, high) by sensor, in place of what a model says.

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
    """The settings of this process, for everything that is not given its own."""
    return _current


def set_image_settings(settings: ImageSettings) -> None:
    """Replace the settings of this process; worker processes that are forked later inherit them."""
    global _current
    _current = settings


@contextmanager
def using_image_settings(settings: ImageSettings) -> Iterator[None]:
    """Settings of the process for the time of a block, in all its threads."""
    before = image_settings()
    set_image_settings(settings)
    try:
        yield
    finally:
        set_image_settings(before)
