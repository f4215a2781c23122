"""16-bit images: range of values that maps to 0 to 255, by sensor, and scaling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...common.foreign_text import shown_text
from ...errors import InputError

#: Lowest and highest value, both included.
Range = tuple[int, int]
#: Ranges of a caller: one for all sensors, or by sensor.
Ranges = Sequence[float] | Mapping[str, Sequence[float]]

LOWEST, HIGHEST = 0, 65535
FULL_RANGE: Range = (LOWEST, HIGHEST)

#: Values scaled at a time, which bounds the temporary copies.
_CHUNK = 1 << 20


def as_range(value: object) -> Range:
    """Return (low, high) of a tuple, list or array of two integers, also if stored as floats.

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


def ranges_by_sensor(ranges: Ranges, sensors: Sequence[str]) -> dict[str, Range]:
    """Return a caller's ranges by sensor; a single range applies to all.

    Raises:
        InputError: an invalid range, or a sensor that is none of `sensors`.
    """
    if not isinstance(ranges, Mapping):
        return dict.fromkeys(sensors, as_range(ranges))
    unknown = [str(name) for name in ranges if name not in sensors]
    if unknown:
        raise InputError(
            f"sixteen_bit_range names {shown_text(', '.join(unknown))}; the sensors are {', '.join(sensors)}."
        )
    return {name: as_range(value) for name, value in ranges.items()}


def canonical(ranges: Mapping[str, Range]) -> tuple[Range, dict[str, Range]]:
    """Return the canonical form of ranges: the most frequent one (on a tie the first), and the sensors that differ."""
    common = Counter(ranges.values()).most_common(1)[0][0] if ranges else FULL_RANGE
    return common, {name: ranges[name] for name in sorted(ranges) if ranges[name] != common}


def range_argument(ranges: Mapping[str, Range]) -> str:
    """Format ranges as a command line argument."""
    return " ".join(f"--sixteen-bit-range {name}={low}:{high}" for name, (low, high) in ranges.items())


def eight_bit(values: np.ndarray, name: str, sensor: str | None, limits: Range) -> tuple[np.ndarray, Range]:
    """Scale 16-bit values, in any byte order and integer type, to uint8.

    Computes `rint((value - low) * 255 / (high - low))` by a table, without a copy of the image in a wider type.

    Args:
        values: (H, W).
        name: of the image, for messages.
        sensor: of the image, for messages.
        limits: (low, high).

    Returns:
        The gray values, uint8 (H, W), and the smallest and largest 16-bit value.

    Raises:
        InputError: a value outside the range, or an image that would become one single gray level.
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


def _refuse_one_grey(table: np.ndarray, size: int, name: str, sensor: str | None, values: Range, limits: Range) -> None:
    if table[0] != table[-1] or size == 1:
        return
    least, most = values
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
