"""The 16-bit values that images really hold, and a range proposed from them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...common.foreign_text import shown_text
from ...errors import InputError
from .image_files import has_wide_pixels, open_image
from .modalities import MODALITIES
from .pairing import image_files
from .preprocess import Preprocessing
from .range_watch import is_sliver, proposed
from .sixteen_bit import Range, range_argument

log = logging.getLogger("mambapro")

#: Images of a sensor that are looked at.
MOST = 64


def survey(paths: Iterable[Path | None]) -> Range | None:
    """Smallest and largest value of the 16-bit images among MOST of `paths`, taken evenly; None where there are none.

    Images that cannot be read are passed over: reading them for good tells why.
    """
    known = [path for path in paths if path is not None]
    chosen = [known[i * len(known) // min(MOST, len(known))] for i in range(min(MOST, len(known)))]
    found = [values for path in chosen if (values := _values(path)) is not None]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def _values(path: Path) -> Range | None:
    try:
        if not has_wide_pixels(path):
            return None
        values = np.asarray(open_image(path))
        return int(values.min()), int(values.max())
    except InputError:
        return None


def tell_ranges(found: Mapping[str, Range | None], preprocessing: Preprocessing) -> dict[str, Range]:
    """Say for each sensor with 16-bit images whether the range in force fits; returns proposals where it does not."""
    told = ((sensor, tell_range(sensor, values, preprocessing.range_of(sensor))) for sensor, values in found.items())
    return {sensor: better for sensor, better in told if better is not None}


def tell_range(sensor: str, values: Range | None, limits: Range) -> Range | None:
    """As `tell_ranges`, of one sensor: its `survey`, and the range in force."""
    if values is None:
        return None
    low, high = limits
    if low <= values[0] and values[1] <= high and not is_sliver(values, limits):
        log.info("The 16-bit values of %s, %d to %d, fit the range %d to %d.", shown_text(sensor), *values, low, high)
        return None
    better = proposed(values)
    log.warning(
        "The 16-bit images of %s hold values from %d to %d, and the range in force is %d to %d. Proposed: %s (in "
        "Python sixteen_bit_range=%s); widen it where other images go further, and take one range for all of them.",
        shown_text(sensor),
        *values,
        low,
        high,
        range_argument({sensor: better}),
        {sensor: better},
    )
    return better


def survey_folder(folder: Path, sensors: Sequence[str] = MODALITIES) -> dict[str, Range | None]:
    """`survey` of the folders of a folder that are called as sensors.

    Raises:
        InputError: there is none.
    """
    present = [sensor for sensor in sensors if (folder / sensor).is_dir()]
    if not present:
        raise InputError(f"{shown_text(folder)} has no folder {', '.join(sensors)} with images of that sensor.")
    return {sensor: survey(image_files(sensor, folder / sensor, odd=True).values()) for sensor in present}
