"""Embeddings of readable samples; samples with an unusable image are skipped and reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..common.progress import Track, silent
from .data.inputs import Cameras, Images
from .extractor import Extractor, unit_rows
from .pipeline import Pipeline


@dataclass(frozen=True)
class SkippedSample:
    """Skipped sample: its index, the sensor of the faulty image ("" = none has an image), and the reason."""

    sample: int
    sensor: str
    reason: str


@dataclass(frozen=True)
class PartialEmbeddings:
    """`embeddings` float32 (M, dim) of the samples numbered `kept`, int64 (M,), ascending; `skipped` are the others."""

    embeddings: np.ndarray
    kept: np.ndarray
    skipped: tuple[SkippedSample, ...]


def embed_readable(
    extractor: Extractor,
    rgb: Images = None,
    nir: Images = None,
    tir: Images = None,
    cameras: Cameras = None,
    normalize: bool = True,
    strict_cameras: bool = False,
    track: Track = silent,
) -> PartialEmbeddings:
    """Embed the samples whose images are all usable, instead of raising for the first unusable one.

    A sample with one unusable image is skipped altogether: without that sensor its embedding would differ. Arguments
    are those of an Extractor's call; samples without any image are skipped too.

    Raises:
        InputError: different numbers of images, cameras that cannot be used.
        ArtifactError: the model returned NaN, infinity or zeros.
    """
    empty: list[int] = []
    pipeline = Pipeline([extractor])
    samples = pipeline.samples(rgb, nir, tir, cameras, strict_cameras, empty)
    skipped = {i: SkippedSample(i, "", "no sensor has an image") for i in empty}
    parts, kept = [np.empty((0, extractor.dim), np.float32)], [np.empty(0, np.int64)]
    for batch in pipeline.batches(samples, frozenset(empty), skip_bad=True, track=track):
        for image in batch.bad:
            skipped.setdefault(image.sample, SkippedSample(image.sample, image.sensor, str(image.error)))
        if batch.records.embeddings is not None:
            parts.append(batch.records.embeddings)
            kept.append(batch.rows)
    embeddings, rows = np.concatenate(parts), np.concatenate(kept)
    left_out = tuple(skipped[i] for i in sorted(skipped))
    return PartialEmbeddings(unit_rows(embeddings, rows) if normalize else embeddings, rows, left_out)
