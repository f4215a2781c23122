"""Ranges of 16-bit images that a model was trained with: its checkpoint says them, and they go with it."""

from __future__ import annotations

from collections.abc import Mapping

from ...runtime.data.image_settings import image_settings
from ...runtime.data.preprocess import Preprocessing
from ...runtime.data.sixteen_bit import Ranges, ranges_by_sensor
from ..models.model_spec import Model

#: Where a checkpoint's facts of the training hold them.
FIELD = "sixteen_bit_range"


def noted_ranges() -> dict[str, dict[str, list[int]]]:
    """What a checkpoint notes of the ranges of this process; nothing where the full range is in force."""
    ranges = {name: list(value) for name, value in image_settings().sixteen_bit_range.items()}
    return {FIELD: ranges} if ranges else {}


def trained_ranges(model: Model) -> Ranges | None:
    """Ranges by sensor: those of the process before those of the training; None = the full one.

    Raises:
        InputError: the checkpoint notes ranges that cannot be meant.
    """
    noted = model.trained_on.get(FIELD)
    ranges = {} if noted is None else ranges_by_sensor(noted, model.spec.modalities)
    return {**ranges, **image_settings().sixteen_bit_range} or None


def model_preprocessing(model: Model, ranges: Ranges | None = None) -> Preprocessing:
    """Resize and normalization as a model is evaluated, with the ranges of its training.

    `ranges` are those of 16-bit images, for all sensors or by sensor, before those of `trained_ranges`.
    """
    trained = trained_ranges(model)
    if isinstance(trained, Mapping) and (ranges is None or isinstance(ranges, Mapping)):
        ranges = {**trained, **(ranges or {})}
    return model.config.preprocessing.with_ranges(ranges, model.spec.modalities)
