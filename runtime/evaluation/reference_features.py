"""Features of a test set for a comparison: cached where possible, with a logged estimate of the cost."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ...common.progress import Track, duration, silent
from ...errors import InputError, MambaProError
from ..data.modalities import SUBSETS, subset_name
from ..data.preprocess import Preprocessing
from ..data.sample import Benchmark, Sample
from .feature_cache import FeatureCache, features_folder, features_key, images_digest
from .retrieval.evaluate import FeatureFunction, extract_subsets

log = logging.getLogger("mambapro")

#: Samples timed for the estimate, which is omitted for smaller sets.
_TRIED, _FEW = 4, 32


#: Set of present sensors.
Sensors = tuple[str, ...]


class TestSet(Protocol):
    """Labeled samples of a benchmark, on which outputs of a model are evaluated."""

    @property
    def benchmark(self) -> Benchmark:
        """The benchmark they are of."""

    @property
    def samples(self) -> list[Sample]:
        """The samples, each of them once."""

    def report(self, outputs: np.ndarray, /) -> Any:
        """Evaluate outputs for `samples` (N, dim)."""


@dataclass(frozen=True)
class Model:
    """Model to evaluate.

    Attributes:
        name: in messages.
        extract: its feature function.
        preprocessing: of its images.
        batch_size: samples at a time.
        identity: everything besides the images that its features depend on, for the cache; None = they are not cached.
    """

    name: str
    extract: FeatureFunction
    preprocessing: Preprocessing
    batch_size: int = 32
    identity: Mapping[str, Any] | None = None


def features_of(
    models: Sequence[Model],
    test: TestSet,
    track: Track = silent,
    cache: FeatureCache | None = None,
    subsets: Sequence[Sensors] = SUBSETS[:1],
    bad: dict[Sample, InputError] | None = None,
) -> list[dict[Sensors, np.ndarray]]:
    """Compute features of all samples for each model and set of sensors.

    The estimated cost is logged first; `cache` None is the user's. With `bad`, samples with unusable images are skipped
    and recorded there.

    Returns:
        for each model, float32 (N, dim) by set of sensors.

    Raises:
        InputError: an unreadable image.
        ArtifactError: features that are not finite.
    """
    cache = cache or FeatureCache(features_folder())
    samples = test.samples
    keys = _keys(models, samples, subsets, track)
    found = [_kept(cache, key, len(samples)) for key in keys]
    missing = [[subset for subset in subsets if subset not in kept] for kept in found]
    work = {model.name: (model, left) for model, left in zip(models, missing, strict=True) if left}
    if len(samples) > _FEW:
        seconds = {name: _per_sample(model, samples) * len(left) for name, (model, left) in work.items()}
        if all(map(math.isfinite, seconds.values())):
            log.info("%s", cost(test.benchmark.name, len(samples), len(subsets), seconds))
    for model, left, kept, key in zip(models, missing, found, keys, strict=True):
        if not left:
            log.info("the features of %s are in the cache", model.name)
            continue
        made = extract_subsets(samples, model.extract, model.preprocessing, left, model.batch_size, track, bad)
        for subset in left:
            kept[subset] = made[subset]
            if subset in key and not bad:
                cache.put(key[subset], made[subset])
    return found


def cost(dataset: str, samples: int, subsets: int, seconds: Mapping[str, float]) -> str:
    """Describe the cost of an evaluation: samples, seconds per sample in all sets of sensors, and the product."""
    sets = f" with {subsets} sets of sensors" if subsets > 1 else ""
    if not seconds:
        return f"accuracy on {dataset}: {samples} samples{sets}, all of them in the cache"
    each = " + ".join(f"{1000 * value:.0f} ms ({name})" for name, value in seconds.items())
    took = duration(samples * sum(seconds.values()))
    return f"accuracy on {dataset}: {samples} samples{sets} x {each} = about {took}"


def _keys(
    models: Sequence[Model], samples: Sequence[Sample], subsets: Sequence[Sensors], track: Track
) -> list[dict[Sensors, str]]:
    """Return cache keys for each model and set of sensors; none where nothing is cached."""
    if all(model.identity is None for model in models):
        return [{} for _ in models]
    try:
        images = images_digest(samples, track)
    except (OSError, MambaProError):
        # the error is reported when the image is decoded
        return [{} for _ in models]
    return [
        {}
        if model.identity is None
        else {subset: features_key({**model.identity, "sensors": subset_name(subset)}, images) for subset in subsets}
        for model in models
    ]


def _kept(cache: FeatureCache, keys: Mapping[Sensors, str], samples: int) -> dict[Sensors, np.ndarray]:
    found = {subset: cache.get(key, samples) for subset, key in keys.items()}
    return {subset: features for subset, features in found.items() if features is not None}


def _per_sample(model: Model, samples: Sequence[Sample]) -> float:
    """Return seconds per sample, decoded and run, without the slower first call; NaN if that fails."""
    few, subsets = samples[:_TRIED], SUBSETS[:1]
    try:
        extract_subsets(few, model.extract, model.preprocessing, subsets, model.batch_size)
        started = time.perf_counter()
        extract_subsets(few, model.extract, model.preprocessing, subsets, model.batch_size)
    except MambaProError:
        # the evaluation encounters it again, and decides whether it is an error
        return math.nan
    return (time.perf_counter() - started) / len(few)
