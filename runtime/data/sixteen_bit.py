"""16-bit images: the range of values that becomes 0 to 255, by sensor, and the scaling itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...common.foreign_text import shown_text
from ...errors import InputError

#: Lowest and highest value, both included.
Range = tuple[int, int]
#: What a caller gives: one range for all sensors, or ranges by sensor.
Ranges = Sequence[float] | Mapping[str, Sequence[float]]

LOWEST, HIGHEST = 0, 65535
FULL_RANGE: Range = (LOWEST, HIGHEST)

#: Values scaled at a time: the copies in between stay small.
_CHUNK = 1 << 20


def as_range(value: object) -> Range:
    """(low, high) of a tuple, list or array of two whole numbers, floats included.

    Raises:
        InputError: anything else, or not 0 <= low < high <= 65535.
    """
    numbers = [_whole(number) for number in _items(value)]
    if len(numbers) == 2 and numbers[0] is not None and numbers[1] is not None:
        low, high = numbers[0], numbers[1]
        if LOWEST <= low < high <= HIGHEST:
            return low, high
    raise InputError(
        f"sixteen_bit_range must be two whole numbers, {LOWEST} <= low < high <= {HIGHEST}, not {shown_text(value)}."
    )


def _items(value: object) -> list[Any]:
    return list(value) if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes) else []


def _whole(number: object) -> int | None:
    real = isinstance(number, int | float | np.integer | np.floating) and not isinstance(number, bool)
    return int(number) if real and np.isfinite(number) and number == int(number) else None  # type: ignore[call-overload]


def ranges_by_sensor(given: Ranges, sensors: Sequence[str]) -> dict[str, Range]:
    """What a caller gave as ranges by sensor; a single range is that of all.

    Raises:
        InputError: a range that cannot be meant, or a sensor that is none of `sensors`.
    """
    if not isinstance(given, Mapping):
        return dict.fromkeys(sensors, as_range(given))
    unknown = [str(name) for name in given if name not in sensors]
    if unknown:
        raise InputError(
            f"sixteen_bit_range names {shown_text(', '.join(unknown))}; the sensors are {', '.join(sensors)}."
        )
    return {name: as_range(value) for name, value in given.items()}


def canonical(ranges: Mapping[str, Range]) -> tuple[Range, dict[str, Range]]:
    """The one way to write ranges by sensor: the range of most of them (of the first where they tie), and the sensors
    that differ from it."""
    common = Counter(ranges.values()).most_common(1)[0][0] if ranges else FULL_RANGE
    return common, {name: ranges[name] for name in sorted(ranges) if ranges[name] != common}


def range_argument(ranges: Mapping[str, Range]) -> str:
    """Ranges as the command line takes them."""
    return " ".join(f"--sixteen-bit-range {name}={low}:{high}" for name, (low, high) in ranges.items())


def eight_bit(values: np.ndarray, name: str, sensor: str | None, limits: Range) -> tuple[np.ndarray, Range]:
    """16-bit values, in any byte order and of any integer type, as uint8 of the same shape.

    `rint((value - low) * 255 / (high - low))`, by a table: an image of many pixels is not copied in a wider type.

    Args:
        values: (H, W).
        name: of the image, for messages.
        sensor: of the image, for messages.
        limits: (low, high).

    Returns:
        The grey values, and the smallest and largest 16-bit value.

    Raises:
        InputError: a value outside the range, or an image that would become one single grey.
    """
    low, high = limits
    least, most = int(values.min()), int(values.max())
    if least < low or most > high:
        raise InputError(
            f"{name} has 16-bit values from {least} to {most}, outside sixteen_bit_range ({low}, {high}). "
            "Values are never clipped: give a range that holds all your images, "
            f"{_advice(sensor, 'LOW', 'HIGH')}."
        )
    table = np.rint((np.arange(least, most + 1, dtype=np.float64) - low) * 255.0 / (high - low)).astype(np.uint8)
    _refuse_one_grey(table, values.size, name, sensor, (least, most), limits)
    scaled = np.empty(values.shape, np.uint8)
    rows = max(1, _CHUNK // values.shape[1])
    for start in range(0, len(values), rows):
        chunk = values[start : start + rows].astype(np.int32)
        chunk -= least
        np.take(table, chunk, out=scaled[start : start + rows])
    return scaled, (least, most)


def _refuse_one_grey(table: np.ndarray, size: int, name: str, sensor: str | None, found: Range, limits: Range) -> None:
    if table[0] != table[-1] or size == 1:
        return
    least, most = found
    if least == most:
        raise InputError(
            f"{name} has 16 bits a pixel and the one value {least} in all of them: it shows nothing. "
            "Leave the sensor out for this sample (no file, or None)."
        )
    raise InputError(
        f"{name} has 16-bit values from {least} to {most}, which the range {limits[0]} to {limits[1]} turns into one "
        f"single grey: the model would see nothing. Give the range of your camera, {_advice(sensor, least, most)}, "
        "wide enough for all images."
    )


def _advice(sensor: str | None, low: object, high: object) -> str:
    name = "" if sensor is None else f"{sensor}="
    library = f"({low}, {high})" if sensor is None else f"{{'{sensor}': ({low}, {high})}}"
    return f"--sixteen-bit-range {name}{low}:{high} (in Python sixteen_bit_range={library})"
