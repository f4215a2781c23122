"""Image preprocessing, the same for all users: decode, scale 16-bit values, resize to uint8 arrays.

Training, calibration, evaluation and the runtime all use `resize`, which is Pillow's: its filters are widened for
downscaling (antialiasing), unlike filters of the same name in other libraries. Normalization is part of the model's
graph.

EXIF orientation is not applied, as in training. Only the first frame of a file is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from ...common.records import NOT_STORED, STORED_IF_SET
from ...errors import InputError
from .image_files import image_name, open_image
from .image_settings import ImageSettings, image_settings
from .range_watch import RangeWatch
from .rgb_conversion import ImageLike, LastFile, ToRgb, is_encoded
from .sample import ImageSource
from .sixteen_bit import FULL_RANGE, Range, Ranges, as_range, canonical, ranges_by_sensor

if TYPE_CHECKING:
    from PIL import Image

FILTERS = ("bilinear", "bicubic")


@dataclass(frozen=True)
class Preprocessing:
    """Parameters of the preprocessing, and of the normalization inside the model.

    Attributes:
        height, width: pixels of the model's input.
        mean, std: per color channel (R, G, B), of values divided by 255; applied by the graph.
        resize: Pillow's filter, one of FILTERS.
        antialias: always true: Pillow widens the filter for downscaling.
        sixteen_bit_range: (low, high); 16-bit values are scaled linearly so that low becomes 0 and high 255.
        normalized_in_graph: always true: the model takes uint8.
        sensor_ranges: (low, high) of the sensors that differ from `sixteen_bit_range`; see `with_ranges`.
        settings: limits of decoding; None = those of the process. Not part of a bundle's metadata.

    Raises:
        InputError: an invalid value.
    """

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: str = "bilinear"
    antialias: bool = True
    sixteen_bit_range: tuple[int, int] = FULL_RANGE
    normalized_in_graph: bool = True
    sensor_ranges: dict[str, tuple[int, int]] = field(default_factory=dict, hash=False, metadata=STORED_IF_SET)
    settings: ImageSettings | None = field(default=None, compare=False, metadata=NOT_STORED)

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise InputError(f"height and width must be at least 1 pixel, not {self.height} and {self.width}.")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)) or min(self.std) <= 0:
            raise InputError(f"mean must be finite and std positive, not {self.mean} and {self.std}.")
        _check_filter(self.resize)
        if not (self.antialias and self.normalized_in_graph):
            raise InputError("antialias and normalized_in_graph must be true: this version knows nothing else.")
        # canonical form, so that equal ranges compare equal
        object.__setattr__(self, "sixteen_bit_range", as_range(self.sixteen_bit_range))
        ranges = {name: as_range(value) for name, value in sorted(self.sensor_ranges.items())}
        object.__setattr__(self, "sensor_ranges", ranges)

    def range_of(self, sensor: str | None) -> Range:
        """Return (low, high) of a sensor's 16-bit images; None is an unknown sensor."""
        return self.sixteen_bit_range if sensor is None else self.sensor_ranges.get(sensor, self.sixteen_bit_range)

    def with_ranges(self, ranges: Ranges | None, sensors: Sequence[str]) -> Preprocessing:
        """Return the preprocessing with the caller's ranges of 16-bit images; equal if nothing changes.

        Args:
            given: (low, high) of all sensors, or by sensor; None = the ranges of the process (`image_settings`).
            sensors: of the model, in order.

        Raises:
            InputError: an invalid range, or an unknown sensor.
        """
        if ranges is None:
            ranges = {name: value for name, value in image_settings().sixteen_bit_range.items() if name in sensors}
        asked = ranges_by_sensor(ranges, sensors)
        before = {name: self.range_of(name) for name in sensors}
        if asked == {} or {**before, **asked} == before:
            return self
        common, differing = canonical({**before, **asked})
        return replace(self, sixteen_bit_range=common, sensor_ranges=differing)


def image_array(
    image: ImageLike,
    preprocessing: Preprocessing,
    sensor: str | None = None,
    watch: RangeWatch | None = None,
    file: LastFile | None = None,
) -> np.ndarray:
    """Convert any image according to `preprocessing`.

    `image` is a path, the bytes of an image file, an open binary file, a PIL image, an ImageSource, or an array: uint8
    (H, W, 3) in the order R, G, B; uint8 (H, W) or (H, W, 1) gray; uint16 (H, W) or (H, W, 1) of any byte order, for
    example thermal. Gray is repeated on the three channels.

    16-bit values, of arrays and of files, become `rint((value - low) * 255 / (high - low))` with (low, high) =
    `preprocessing.range_of(sensor)`, before the resize. Nothing is clipped. `watch` observes ranges that are too wide;
    `file` caches the file of the previous image.

    Returns:
        uint8 (height, width, 3).

    Raises:
        InputError: the file cannot be read or has too many pixels, the array has another type or shape, a 16-bit value
            is outside the range, a 16-bit image is of one grey, or the image is not opaque.
    """
    return image_arrays(image, (preprocessing,), sensor, (watch,), file)[0]


def image_arrays(
    image: ImageLike,
    preprocessings: Sequence[Preprocessing],
    sensor: str | None = None,
    watches: Sequence[RangeWatch | None] = (),
    file: LastFile | None = None,
) -> list[np.ndarray]:
    """Convert an image as `image_array` for several models; it is decoded once.

    Args:
        image: as for `image_array`.
        preprocessings: of the models.
        sensor: of the image.
        watches: of the models; values that several models scale alike are observed by the first of them.
        file: as for `image_array`.

    Returns:
        uint8 (height, width, 3) each, in the order of `preprocessings`.

    Raises:
        InputError: as `image_array`.
    """
    file, name = file or LastFile(), ""
    colours: dict[tuple[Range, ImageSettings], Image.Image] = {}
    results = []
    for preprocessing, watch in zip_longest(preprocessings, watches):
        settings = preprocessing.settings or image_settings()
        key = preprocessing.range_of(sensor), settings
        if is_encoded(image):
            # decoded here, since a stream can be read only once
            name, image = image_name(image), open_image(image, settings)
        if key not in colours:
            colours[key] = ToRgb(*key, sensor, watch, file).any(image, name)
        size = preprocessing.height, preprocessing.width
        results.append(np.array(resize(colours[key], size, preprocessing.resize)))
    return results


def sensor_arrays(images: Mapping[str, ImageLike], preprocessing: Preprocessing) -> list[np.ndarray]:
    """Apply `image_array` to one sample's images by sensor; a file of several images is decoded once.

    Returns:
        uint8 (height, width, 3) each, in order.
    """
    file = LastFile()
    return [image_array(image, preprocessing, name, file=file) for name, image in images.items()]


def load_sources(sources: Mapping[str, ImageSource]) -> list[Image.Image]:
    """Apply `load_source` to one sample's images by sensor; a file of several images is decoded once."""
    file = LastFile()
    return [load_source(source, sensor=sensor, file=file) for sensor, source in sources.items()]


def load_source(
    source: ImageSource,
    sixteen_bit_range: tuple[int, int] | None = None,
    sensor: str | None = None,
    settings: ImageSettings | None = None,
    file: LastFile | None = None,
) -> Image.Image:
    """Decode a file completely and crop its box.

    `sixteen_bit_range` None is that of the sensor in `settings`, else the full one; `settings` None is the process's.

    Returns:
        PIL image in RGB mode.

    Raises:
        InputError: missing, unreadable, truncated or empty file; a box outside the image; see `image_array`.
    """
    settings = settings or image_settings()
    limits = sixteen_bit_range or settings.sixteen_bit_range.get(sensor or "", FULL_RANGE)
    return ToRgb(as_range(limits), settings, sensor, None, file or LastFile()).source(source)


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
