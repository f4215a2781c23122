"""AttributeRecognizer: named attributes of persons from a bundle, without PyTorch."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..common.progress import Track, silent
from ..errors import ArtifactError, InputError
from .assigned_attributes import INDEPENDENT, AttributeRule, Attributes, Thresholds, attribute_rule
from .bundle.bundle import Bundle
from .bundle.labels import Labels
from .bundle.metadata import BundleMetadata
from .bundle.tensors import LOGITS, PROBABILITIES
from .data.batch import Batch
from .data.inputs import Images, Samples, gather
from .data.modalities import MODALITIES, RGB
from .data.readers.listing import shown
from .data.rgb_conversion import ImageLike
from .data.sample import Sample
from .image_model import ImageModel
from .run_options import RunOptions
from .session import row_numbers

log = logging.getLogger("mambapro")

#: Person crops: RGB images, or samples with the images of several sensors.
Crops = Images | Sample | Mapping[str, ImageLike] | Sequence[ImageLike | Sample | Mapping[str, ImageLike] | None]


class AttributeRecognizer(ImageModel):
    """Attributes of person crops, from a bundle: `AttributeRecognizer("x.mambapro")(images).names(0)`.

    Thread-safe, a context manager and picklable, as an Extractor, with the same attributes.

    Attributes:
        rule: the labels, their thresholds, and the decision by them.

    Args:
        bundle: folder of the bundle, or an opened Bundle.
        device, allow_fallback, batch_size, threads: as for an Extractor, and so are the `options` target, precision,
            mode, unverified, cache, verify, load_plugins, sixteen_bit_range, max_image_pixels and accept_truncated.
        thresholds: a label is assigned where its probability is larger; one for all labels, or by label. None = those
            of the bundle.
        exclusive: "independent" decides each label by its threshold alone; "best" assigns at most one label of a group
            whose labels exclude each other (the most probable one above its threshold).

    Raises:
        InputError: the bundle does not exist, or an argument cannot be used.
        SetupError: ONNX Runtime is missing, or does not run where it was asked to.
        ArtifactError: the bundle is damaged, incomplete, newer, or not for attributes.
    """

    role = LOGITS
    rule: AttributeRule

    def __init__(
        self,
        bundle: str | os.PathLike[str] | Bundle,
        device: str = "auto",
        allow_fallback: bool = False,
        batch_size: int | None = None,
        threads: int | None = None,
        *,
        thresholds: Thresholds | None = None,
        exclusive: str = INDEPENDENT,
        **options: Any,
    ) -> None:
        self._configure(thresholds, exclusive)
        super().__init__(bundle, RunOptions(device, allow_fallback, batch_size, threads, **options))

    def _configure(self, thresholds: Thresholds | None = None, exclusive: str = INDEPENDENT) -> None:
        self._thresholds = dict(thresholds) if isinstance(thresholds, Mapping) else thresholds
        self._exclusive = exclusive

    def _settings(self) -> dict[str, Any]:
        return {"thresholds": self._thresholds, "exclusive": self._exclusive}

    def _require_usable(self, metadata: BundleMetadata) -> None:
        super()._require_usable(metadata)
        if metadata.modalities != (RGB,):
            raise ArtifactError(
                f"The model takes {shown(metadata.modalities)}; attributes are recognized on one {RGB} image."
            )
        self.rule = attribute_rule(_labels(metadata), self._thresholds, self._exclusive)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the attributes, in the order of the probabilities."""
        return self.rule.labels

    def __call__(self, images: Crops, track: Track = silent) -> Attributes:
        """Recognize the attributes of N crops; of a single one too, N is 1 then.

        Args:
            images: one RGB image or many, as the `rgb` of an Extractor's call; or samples with images by sensor (a
                Sample, or a mapping such as {"rgb": image, "nir": image}), of which RGB is used. None, or a sample
                without RGB, is a crop whose attributes are not known.
            track: shows progress, in batches.

        Returns:
            the attributes, with `probabilities` float32 (N, A) and `present` bool (N,).

        Raises:
            InputError: an unusable image.
            ArtifactError: the model returned NaN or infinity; names the samples.
        """
        samples = self.samples(images)
        parts = [self.recognize(samples.load(0, 0, self.preprocessing))]
        starts = range(0, len(samples), self.batch_size)
        for start in track(starts, "Recognizing batches", len(starts)):
            stop = min(start + self.batch_size, len(samples))
            parts.append(self.recognize(samples.load(start, stop, self.preprocessing, self.watch), start))
        return joined(parts)

    def samples(self, images: Crops) -> Samples:
        """Return the argument of a call as samples of RGB images.

        Raises:
            InputError: as a call.
        """
        return gather({RGB: rgb_of(images)}, empty=[])

    def recognize(self, batch: Batch, rows: int | np.ndarray = 0) -> Attributes:
        """Recognize the attributes of a decoded batch, N may be 0; samples whose image is masked are not present.

        Args:
            batch: with RGB images of the model's size.
            rows: the caller's number of the first sample, or of each one, for messages.

        Raises:
            InputError, ArtifactError: as `run`.
        """
        present = batch.mask[:, list(batch.images).index(RGB)] > 0
        probabilities = np.full((len(batch), len(self.labels)), np.nan, np.float32)
        assigned = np.zeros(probabilities.shape, bool)
        if present.any():
            outputs = self.run(batch if present.all() else batch[present], row_numbers(rows, len(batch))[present])
            (name,) = self.metadata.names(LOGITS)
            probabilities[present] = self._probabilities(outputs, outputs[name])
            # the probabilities of large logits are all 1
            assigned[present] = self.rule.assign(outputs[name])
        return Attributes(probabilities, self.rule, present, assigned)

    def _probabilities(self, outputs: Mapping[str, np.ndarray], logits: np.ndarray) -> np.ndarray:
        names = self.metadata.names(PROBABILITIES)
        if names:
            return outputs[names[0]].astype(np.float32, copy=False)
        logits = logits.astype(np.float64)
        if self.rule.thresholds is None:
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        # 1 / (1 + exp(-x)) without overflow
        return np.exp(-np.logaddexp(0.0, -logits)).astype(np.float32)


def joined(parts: Sequence[Attributes]) -> Attributes:
    """Join the attributes of successive batches of one model."""
    probabilities = np.concatenate([part.probabilities for part in parts])
    present = np.concatenate([part.present for part in parts])
    return Attributes(probabilities, parts[0].rule, present, np.concatenate([part.assigned for part in parts]))


def rgb_of(crops: Crops) -> Images:
    """Return the RGB images of crops."""
    return sensors_of(crops, (RGB,))[RGB]


def sensors_of(crops: Crops, sensors: Sequence[str]) -> dict[str, Images]:
    """Return the images of crops by sensor; images without a sensor are RGB.

    Raises:
        InputError: a mapping with an entry that is no sensor's; and see `gather`.
    """
    if isinstance(crops, Sample | Mapping):
        crops = [crops]
    plain = isinstance(crops, np.ndarray) or not isinstance(crops, list | tuple)
    if plain or not any(isinstance(crop, Sample | Mapping) for crop in crops):  # type: ignore[union-attr]
        return {name: crops if name == RGB else None for name in sensors}  # type: ignore[misc]
    return {name: [_image_of(crop, name) for crop in crops] for name in sensors}  # type: ignore[union-attr]


def _image_of(crop: Any, sensor: str) -> ImageLike | None:
    if isinstance(crop, Sample):
        crop = crop.sources
    elif isinstance(crop, Mapping) and (unknown := [str(name) for name in crop if name not in MODALITIES]):
        # such as "RGB": its attributes would be absent
        raise InputError(f"A crop has images of {shown(unknown)}; the sensors are called {', '.join(MODALITIES)}.")
    if isinstance(crop, Mapping):
        return crop.get(sensor)
    return crop if sensor == RGB else None


def _labels(metadata: BundleMetadata) -> Labels:
    """Return the labels of a bundle; numbered ones where their names are not known."""
    if metadata.labels is not None:
        return metadata.labels
    count = metadata.output.shape[-1]
    assert isinstance(count, int)
    log.warning("The bundle %s has no names of its %d attributes; they are numbered.", metadata.name, count)
    return Labels(tuple(f"attribute_{number:02}" for number in range(count)))
