"""Detection of 16-bit images whose values use a small part of their range, with a proposed range."""

from __future__ import annotations

import logging
import threading

from .sixteen_bit import HIGHEST, LOWEST, Range, range_argument

log = logging.getLogger("mambapro")

#: Smallest used part of a range without a warning.
SLIVER = 1 / 16
#: Smallest margin of a proposed range around the observed values, since none may be outside.
_MARGIN = 16


class RangeWatch:
    """Thread-safe record of the 16-bit values of images by sensor, from batch to batch.

    `tell` warns once for each sensor whose images so far use only a small part of their range.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str | None, tuple[Range, Range]] = {}
        self._told: set[str | None] = set()

    def add(self, sensor: str | None, least: int, most: int, limits: Range) -> None:
        """Record one image's smallest and largest value."""
        with self._lock:
            known, _ = self._found.get(sensor, ((least, most), limits))
            self._found[sensor] = (min(known[0], least), max(known[1], most)), limits

    def found(self) -> dict[str, Range]:
        """Return the smallest and largest value so far, by sensor."""
        with self._lock:
            return {sensor: values for sensor, (values, _) in self._found.items() if sensor is not None}

    def tell(self) -> None:
        """Log the warnings, at the end of a batch."""
        with self._lock:
            new = {
                sensor: (values, limits)
                for sensor, (values, limits) in self._found.items()
                if sensor not in self._told and is_sliver(values, limits)
            }
            self._told |= set(new)
        for sensor, ((least, most), (low, high)) in new.items():
            fitting = proposed((least, most))
            advice = f"--sixteen-bit-range {fitting[0]}:{fitting[1]}"
            log.warning(
                "The 16-bit values of the %s images are %d to %d, 1/%.0f of the range %d to %d: the model sees %d of "
                "256 gray levels, so all images look alike. Give the range of the camera, for example %s (in Python "
                "sixteen_bit_range=%s).",
                sensor or "16-bit",
                least,
                most,
                (high - low) / max(1, most - least),
                low,
                high,
                1 + round((most - least) * 255 / (high - low)),
                range_argument({sensor: fitting}) if sensor else advice,
                {sensor: fitting} if sensor else fitting,
            )


def is_sliver(values: Range, limits: Range) -> bool:
    """Return True if values use so little of their range that it is implausible for them."""
    return values[1] - values[0] < (limits[1] - limits[0]) * SLIVER


def proposed(values: Range) -> Range:
    """Propose a range around observed values, twice as wide if possible."""
    margin = max(_MARGIN, (values[1] - values[0]) // 2)
    return max(LOWEST, values[0] - margin), min(HIGHEST, values[1] + margin)
