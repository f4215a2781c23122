"""Survey of the 16-bit values in images, and a proposed range."""

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

#: Images per sensor in a survey.
MOST = 64


def survey(paths: Iterable[Path | None]) -> Range | None:
    """Return the smallest and largest value of the 16-bit images in a sample of MOST paths; None without any.

    Unreadable images are skipped: decoding them later reports the error.
    """
    known = [path for path in paths if path is not None]
    chosen = [known[i * len(known) // min(MOST, len(known))] for i in range(min(MOST, len(known)))]
    ranges = [values for path in chosen if (values := _values(path)) is not None]
    return (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None


def _values(path: Path) -> Range | None:
    try:
        if not has_wide_pixels(path):
            return None
        values = np.asarray(open_image(path))
        return int(values.min()), int(values.max())
    except InputError:
        return None


def tell_ranges(surveyed: Mapping[str, Range | None], preprocessing: Preprocessing) -> dict[str, Range]:
    """Log for each sensor with 16-bit images whether the range in force fits.

    Returns:
        proposed ranges of the sensors where it does not.
    """
    proposals = (
        (sensor, tell_range(sensor, values, preprocessing.range_of(sensor))) for sensor, values in surveyed.items()
    )
    return {sensor: better for sensor, better in proposals if better is not None}


def tell_range(sensor: str, values: Range | None, limits: Range) -> Range | None:
    """Log whether the range in force fits the `survey` of one sensor; return a proposal if not."""
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
    """Survey the subfolders that are named like sensors.

    Raises:
        InputError: there is none.
    """
    present = [sensor for sensor in sensors if (folder / sensor).is_dir()]
    if not present:
        raise InputError(f"{shown_text(folder)} has no folder {', '.join(sensors)} with images of that sensor.")
    return {sensor: survey(image_files(sensor, folder / sensor, odd=True).values()) for sensor in present}
