"""Value ranges of 16-bit images, stored in a checkpoint with the model that was trained on them."""

from __future__ import annotations

from collections.abc import Mapping

from ...runtime.data.image_settings import image_settings
from ...runtime.data.preprocess import Preprocessing
from ...runtime.data.sixteen_bit import Ranges, ranges_by_sensor
from ..models.model_spec import Model

#: Key of the ranges in a checkpoint's training facts.
FIELD = "sixteen_bit_range"


def noted_ranges() -> dict[str, dict[str, list[int]]]:
    """Return the checkpoint entry for the ranges of this process; empty for the full range."""
    ranges = {name: list(value) for name, value in image_settings().sixteen_bit_range.items()}
    return {FIELD: ranges} if ranges else {}


def trained_ranges(model: Model) -> Ranges | None:
    """Return ranges by sensor: those of the process, else those of the training; None = the full range.

    Raises:
        InputError: the checkpoint holds invalid ranges.
    """
    noted = model.trained_on.get(FIELD)
    ranges = {} if noted is None else ranges_by_sensor(noted, model.spec.modalities)
    return {**ranges, **image_settings().sixteen_bit_range} or None


def model_preprocessing(model: Model, ranges: Ranges | None = None) -> Preprocessing:
    """Return resizing and normalization for the evaluation of a model, with the ranges of its training.

    `ranges` (for all sensors or by sensor) override `trained_ranges`.
    """
    trained = trained_ranges(model)
    if isinstance(trained, Mapping) and (ranges is None or isinstance(ranges, Mapping)):
        ranges = {**trained, **(ranges or {})}
    return model.config.preprocessing.with_ranges(ranges, model.spec.modalities)
