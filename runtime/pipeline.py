"""Pipeline: embeddings and attributes of the same crops, each image decoded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TypeVar

import numpy as np

from ..common.progress import Track, silent
from ..errors import InputError
from .assigned_attributes import Attributes
from .attribute_recognizer import AttributeRecognizer, Crops, joined, sensors_of
from .data.batch import Batch
from .data.decoding import BadImage, UnusableImageError, View, decode_views, told_bad
from .data.inputs import Cameras, Images, Samples, gather
from .data.modalities import MODALITIES, NIR, RGB, TIR
from .data.readers.listing import shown
from .data.sample import Sample
from .extractor import Extractor, require_modalities, unit_rows
from .image_model import ImageModel

M = TypeVar("M", bound=ImageModel)


@dataclass(frozen=True, eq=False)
class CropRecord:
    """One crop.

    Attributes:
        embedding: float32 (dim,); None without an extractor.
        names: its attributes; none where they are not known.
        probabilities: of all attributes by label; None without a recognizer, and where there is no RGB image.
    """

    embedding: np.ndarray | None
    names: tuple[str, ...] = ()
    probabilities: Mapping[str, float] | None = None


@dataclass(frozen=True, eq=False)
class CropRecords(Sequence[CropRecord]):
    """Records of N crops.

    Attributes:
        embeddings: float32 (N, dim); None without an extractor.
        attributes: of the crops; None without a recognizer.
    """

    embeddings: np.ndarray | None
    attributes: Attributes | None

    def __len__(self) -> int:
        return len(self.embeddings) if self.embeddings is not None else len(self.attributes or ())

    def __getitem__(self, crop):  # type: ignore[no-untyped-def]
        """Return the record of a crop, or the records of a slice."""
        if isinstance(crop, slice):
            embeddings, attributes = self.embeddings, self.attributes
            return CropRecords(
                None if embeddings is None else embeddings[crop], None if attributes is None else attributes[crop]
            )
        crop = range(len(self))[crop]
        embedding = None if self.embeddings is None else self.embeddings[crop]
        if self.attributes is None:
            return CropRecord(embedding)
        return CropRecord(embedding, self.attributes.names(crop), self.attributes.by_label(crop))


@dataclass(frozen=True, eq=False)
class RecordBatch:
    """Records of one batch: `rows` int64 (M,) numbers them among all samples; `bad` are the unusable images."""

    rows: np.ndarray
    records: CropRecords
    bad: tuple[BadImage, ...] = ()


class Pipeline:
    """Models that share the decoding of their images: `Pipeline([extractor, recognizer])(crops)`.

    Each image is decoded once, and resized for each model from the decoded crop. Thread-safe as the models are; as a
    context manager it closes them.

    Attributes:
        extractor, recognizer: the models; None where there is none.
        batch_size: samples decoded at a time.

    Args:
        models: an Extractor, an AttributeRecognizer, or one of each.

    Raises:
        InputError: other models, or two of one kind.
    """

    def __init__(self, models: Sequence[Extractor | AttributeRecognizer]) -> None:
        models = list(models)
        self.extractor, self.recognizer = _only(Extractor, models), _only(AttributeRecognizer, models)
        known = [model for model in (self.extractor, self.recognizer) if model is not None]
        if not known or len(known) != len(models):
            kinds = shown([type(model).__name__ for model in models]) or "nothing"
            raise InputError(f"A pipeline takes an Extractor, an AttributeRecognizer, or one of each, not {kinds}.")
        self.batch_size = max(model.batch_size for model in known)

    @property
    def _views(self) -> tuple[View, ...]:
        # read at each call: a fork replaces the watch of a model
        models = [model for model in (self.extractor, self.recognizer) if model is not None]
        return tuple(View(model.metadata.modalities, model.preprocessing, model.watch) for model in models)

    def __reduce__(self) -> tuple[type[Pipeline], tuple[list[ImageModel]]]:
        """Pickle the models: unpickling opens their bundles again."""
        return Pipeline, ([model for model in (self.extractor, self.recognizer) if model is not None],)

    def __call__(
        self,
        rgb: Crops = None,
        nir: Images = None,
        tir: Images = None,
        cameras: Cameras = None,
        normalize: bool = True,
        strict_cameras: bool = False,
        track: Track = silent,
    ) -> CropRecords:
        """Compute the records of N crops.

        Args:
            rgb: RGB images as of an Extractor's call, or samples with images by sensor (a Sample, or a mapping such as
                {"rgb": image, "nir": image}); the cameras of a Sample are used unless `cameras` are given.
            nir, tir, cameras, normalize, strict_cameras, track: as of an Extractor's call.

        Returns:
            a sequence of records, with the arrays `embeddings` and `attributes` of all.

        Raises:
            InputError: an unusable image or number, sensors that differ in number, a crop without an image that the
                extractor takes.
            ArtifactError: a model returned NaN, infinity or zeros.
        """
        samples = self.samples(rgb, nir, tir, cameras, strict_cameras)
        batches = list(self.batches(samples, track=track))
        records = [batch.records for batch in batches] or [self._none()]
        embeddings = attributes = None
        if self.extractor is not None:
            embeddings = np.concatenate([each.embeddings for each in records if each.embeddings is not None])
            embeddings = unit_rows(embeddings) if normalize else embeddings
        if self.recognizer is not None:
            attributes = joined([each.attributes for each in records if each.attributes is not None])
        return CropRecords(embeddings, attributes)

    def samples(
        self,
        rgb: Crops = None,
        nir: Images = None,
        tir: Images = None,
        cameras: Cameras = None,
        strict_cameras: bool = False,
        empty: list[int] | None = None,
    ) -> Samples:
        """Return the arguments of a call as samples; `empty` receives those that the extractor cannot embed.

        Raises:
            InputError: as a call.
        """
        by_sensor = sensors_of(rgb, MODALITIES)
        used = {name for view in self._views for name in view.modalities}
        if by_sensor[RGB] is rgb:
            by_sensor |= {NIR: nir, TIR: tir}
            named = [name for name, images in by_sensor.items() if images is not None]
            # a recognizer alone counts the crops of other sensors
            require_modalities(named, MODALITIES if self.extractor is None else [m for m in MODALITIES if m in used])
        elif nir is not None or tir is not None:
            raise InputError("The crops hold their images by sensor; nir and tir are given a second time.")
        images = {name: each for name, each in by_sensor.items() if name in used or each is not None}
        known = 0 if self.extractor is None else self.extractor.metadata.cameras
        samples = gather(images, _cameras(rgb, cameras), known, strict_cameras, [])
        self._require_seen(samples, empty)
        return samples

    def _require_seen(self, samples: Samples, empty: list[int] | None) -> None:
        if self.extractor is None:
            return
        sensors = self.extractor.metadata.modalities
        unseen = [row for row in range(len(samples)) if all(samples.images[name][row] is None for name in sensors)]
        if empty is not None:
            empty += unseen
        elif unseen:
            raise InputError(
                f"No sensor of {', '.join(sensors)} has an image of sample {shown([str(row) for row in unseen])}. An "
                "embedding needs at least one image."
            )

    def batches(
        self, samples: Samples, skipped: frozenset[int] = frozenset(), skip_bad: bool = False, track: Track = silent
    ) -> Iterator[RecordBatch]:
        """Compute the records batch by batch, in constant memory; embeddings are raw, not of length 1.

        Args:
            samples: as of `samples`.
            skipped: numbers of samples to leave out.
            skip_bad: leave out samples with an unusable image, and return the images in `bad`.
            track: shows progress, in batches.

        Raises:
            InputError: an unusable image, without `skip_bad`.
            ArtifactError: a model returned NaN or infinity.
        """
        starts = range(0, len(samples), self.batch_size)
        what = "Recognizing batches" if self.extractor is None else "Extracting batches"
        for start in track(starts, what, len(starts)):
            stop = min(start + self.batch_size, len(samples))
            rows = [row for row in range(start, stop) if row not in skipped]
            yield self._batch(samples, np.array(rows, np.int64), skip_bad)

    def _batch(self, samples: Samples, rows: np.ndarray, skip_bad: bool) -> RecordBatch:
        images = ({name: each[row] for name, each in samples.images.items()} for row in rows)
        batches, bad = decode_views(images, samples.cameras[rows], self._views)
        bad = [replace(image, sample=int(rows[image.sample])) for image in bad]
        if bad and not skip_bad:
            raise UnusableImageError(told_bad(bad)) from bad[0].error
        left_out = {image.sample for image in bad}
        good = np.array([number for number, row in enumerate(rows) if row not in left_out], np.int64)
        views = batches if len(good) == len(rows) else [batch[good] for batch in batches]
        return RecordBatch(rows[good], self._records(views, rows[good]), tuple(bad))

    def _records(self, views: Sequence[Batch], rows: np.ndarray) -> CropRecords:
        left = list(views)
        embeddings = attributes = None
        if self.extractor is not None:
            batch = left.pop(0)
            empty = np.empty((0, self.extractor.dim), np.float32)
            embeddings = self.extractor.features(batch, rows) if len(batch) else empty
        if self.recognizer is not None:
            attributes = self.recognizer.recognize(left.pop(0), rows)
        return CropRecords(embeddings, attributes)

    def _none(self) -> CropRecords:
        rows = np.empty(0, np.int64)
        return self._records([view.empty(rows) for view in self._views], rows)

    def close(self) -> None:
        """Free the models."""
        for model in (self.extractor, self.recognizer):
            if model is not None:
                model.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _only(kind: type[M], models: Sequence[object]) -> M | None:
    """Return the model of a kind, None where there is none."""
    found = [model for model in models if isinstance(model, kind)]
    return found[0] if found else None


def _cameras(crops: Crops, cameras: Cameras) -> Cameras:
    if cameras is not None:
        return cameras
    listed = [crops] if isinstance(crops, Sample) else crops
    if isinstance(listed, list | tuple) and any(isinstance(crop, Sample) for crop in listed):
        return [crop.camera if isinstance(crop, Sample) else None for crop in listed]
    return None
