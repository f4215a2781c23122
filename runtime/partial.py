"""Embeddings of readable samples; samples with an unusable image are skipped and reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..common.progress import Track, silent
from .data.inputs import Cameras, Images
from .extractor import Extractor, unit_rows


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
    samples = extractor.samples(rgb, nir, tir, cameras, strict_cameras, empty)
    skipped = {i: SkippedSample(i, "", "no sensor has an image") for i in empty}
    parts, kept = [np.empty((0, extractor.dim), np.float32)], [np.empty(0, np.int64)]
    starts = range(0, len(samples), extractor.batch_size)
    for start in track(starts, "Extracting batches", len(starts)):
        stop = min(start + extractor.batch_size, len(samples))
        batch, bad = samples.load_good(start, stop, extractor.preprocessing, extractor.watch)
        for image in bad:
            skipped.setdefault(image.sample, SkippedSample(image.sample, image.sensor, str(image.error)))
        good = np.array([i for i in range(start, stop) if i not in skipped], np.int64)
        if len(good):
            parts.append(extractor.features(batch[good - start]))
            kept.append(good)
    embeddings = np.concatenate(parts)
    left_out = tuple(skipped[i] for i in sorted(skipped))
    return PartialEmbeddings(unit_rows(embeddings) if normalize else embeddings, np.concatenate(kept), left_out)
