"""Images in, embeddings out: a bundle run without PyTorch."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..common.foreign_text import escaped, shown_text
from ..common.machine.cpus import whole_number
from ..common.machine.memory_budget import bounded
from ..common.machine.time_budget import first_run_seconds, within
from ..common.progress import Track, silent
from ..errors import ArtifactError, InputError
from .backends.base import Backend
from .backends.process import refuse_fork, watch
from .bundle.artifact import OPENVINO, Sidecar
from .bundle.bundle import Bundle
from .bundle.checksums import BundleReplacedError
from .bundle.metadata import CAMERA, EMBEDDING, IMAGE, MODALITY_MASK, BundleMetadata
from .data.image_settings import image_settings
from .data.inputs import UNKNOWN_CAMERA, Cameras, Images, camera_numbers, gather
from .data.modalities import MODALITIES, NIR, RGB, TIR
from .data.preprocess import Preprocessing
from .data.range_watch import RangeWatch
from .data.readers.listing import shown
from .data.sixteen_bit import Ranges
from .selection import LATENCY, Opening, open_backend, open_fastest

log = logging.getLogger("mambapro")

DEFAULT_BATCH = 32
#: How often a bundle that is replaced meanwhile is opened anew.
_OPENINGS = 5


class Extractor:
    """Embeddings of tri-modal samples, from a bundle: `Extractor("best.mambapro")(rgb, nir, tir, cameras)`.

    May be called by several threads at once. As a context manager it frees the model at the end. A child of fork()
    opens the model anew when it first uses it (on a GPU that is refused); unpickled it opens its bundle again.

    Args:
        bundle: folder of the bundle, or an opened Bundle.
        device: "cpu", "cuda", or "auto" = a GPU where an engine fits it or ONNX Runtime offers CUDA, else the CPU.
        allow_fallback: run on the CPU, with a warning, where CUDA was asked for and cannot be used.
        batch_size: samples decoded and run at a time (default 32); a model of fixed batch dictates its own, and an
            engine its largest.
        threads: threads of one operator, at most one for each CPU; None leaves it to the library.
        target: "onnxruntime", "openvino", "tensorrt" or "tensorrt-rtx"; None = the fastest verified one that runs here;
            what cannot be loaded is told in a warning, and the next one is taken.
        precision: "fp32", "fp16", "bf16" or "int8"; None = the fastest that the bundle holds for the target.
        mode: "latency", or "throughput" = OpenVINO divides a batch among its streams.
        unverified: take an artifact that no machine has verified yet; `mambapro check` verifies it.
        cache: folder where OpenVINO keeps compiled models, so that the next start is faster; None = nowhere.
        verify: compare the hashes of the files that are loaded.
        load_plugins: load the shared libraries that the bundle holds, if any, and engines with code for the processor
            inside. Only where you trust it.
        sixteen_bit_range: (low, high) of 16-bit images, or a dict of these by sensor, such as {"tir": (7000, 9000)},
            where other than the bundle's. It changes `fingerprint`.
        max_image_pixels: images of more pixels are refused; None = 67,108,864 (8192 x 8192).
        accept_truncated: take what can be decoded of damaged or cut files, the rest black; None = no.

    Attributes:
        metadata: what the bundle says of itself.
        artifact: which of the bundle's artifacts runs.
        preprocessing: what happens to an image before the model.
        dim: numbers per embedding.
        fingerprint: embeddings of equal fingerprints may be compared.
        watch: the 16-bit values that were seen.
        batch_size: samples per run.

    Raises:
        InputError: the bundle does not exist, or an argument cannot be used.
        SetupError: ONNX Runtime is missing, or does not run where it was asked to.
        ArtifactError: the bundle is damaged, incomplete, newer, or not for re-identification.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str] | Bundle,
        device: str = "auto",
        allow_fallback: bool = False,
        batch_size: int | None = None,
        threads: int | None = None,
        *,
        target: str | None = None,
        precision: str | None = None,
        mode: str = LATENCY,
        unverified: bool = False,
        cache: str | os.PathLike[str] | None = None,
        verify: bool = True,
        load_plugins: bool = False,
        sixteen_bit_range: Ranges | None = None,
        max_image_pixels: int | None = None,
        accept_truncated: bool | None = None,
    ) -> None:
        kept = None if cache is None else _folder(cache)
        opening = Opening(target, precision, device, allow_fallback, threads, mode, load_plugins, unverified, kept)
        turns = 1 if isinstance(bundle, Bundle) else _OPENINGS
        for turn in range(turns):
            try:
                opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle, verify=verify)
                self._set_images(opened.metadata, sixteen_bit_range, max_image_pixels, accept_truncated)
                self._open(opened, opening, batch_size)
                break
            except BundleReplacedError:
                # whoever replaces a bundle while it is opened leaves a whole one
                if turn + 1 == turns:
                    raise
        self._given: dict[str, Any] = {
            "batch_size": batch_size,
            "sixteen_bit_range": sixteen_bit_range,
            "max_image_pixels": max_image_pixels,
            "accept_truncated": accept_truncated,
        }
        self._closed = self._forked = False
        self._lock = threading.Lock()
        watch(self)

    def _set_images(
        self,
        metadata: BundleMetadata,
        sixteen_bit_range: Ranges | None,
        max_image_pixels: int | None,
        accept_truncated: bool | None,
    ) -> None:
        _check_modalities(metadata)
        stored = metadata.preprocessing
        preprocessing = stored.with_ranges(sixteen_bit_range, metadata.modalities)
        self.fingerprint: str = _fingerprint(metadata.feature_space.id, stored, preprocessing)
        self.preprocessing: Preprocessing = _with_settings(preprocessing, max_image_pixels, accept_truncated)
        self.watch = RangeWatch()

    def _open(self, opened: Bundle, opening: Opening, batch_size: int | None) -> None:
        self.metadata: BundleMetadata = opened.metadata
        self.dim: int = opened.metadata.dim
        self.batch_size: int = _batch_size(opened.metadata, batch_size)
        self.artifact: Sidecar
        self._backend: Backend
        self.artifact, self._backend = open_fastest(opened, opening)
        if self.artifact.profile is not None:
            self.batch_size = min(self.batch_size, self.artifact.profile.largest)
        self._has_run, self._size = False, opened.size(self.artifact.file)
        self._bundle, self._opening = opened, opening

    @property
    def backend(self) -> Backend:
        """The loaded model itself; in a child of fork() it is opened anew when it is first asked for.

        Raises:
            InputError: in a child of fork(), where the model is on a GPU that the parent uses.
        """
        if self._forked and not self._closed:
            with self._lock:
                self._open_again()
        return self._backend

    @property
    def provider(self) -> str:
        """Where the model really runs, for example "CPUExecutionProvider"."""
        return self._backend.provider

    def after_fork(self) -> None:
        """Remember, in a child of fork(), that what is loaded is the parent's."""
        self._forked, self._lock, self.watch = True, threading.Lock(), RangeWatch()

    def _open_again(self) -> None:
        """The same artifact in this process: after fork() no thread of the parent's runtime is here."""
        if not self._forked:
            return
        if self.artifact.engine is not None or "CUDA" in self.provider:
            refuse_fork(f"{self.artifact.stem}, on {self.provider},", os.getppid())
        log.info(
            "%s of %s is opened again in the forked process %d", self.artifact.stem, self._bundle.folder, os.getpid()
        )
        self._backend = open_backend(self._bundle, self.artifact, self._opening)
        self._forked = False

    def __reduce__(self) -> tuple[Callable[..., Extractor], tuple[str, dict[str, Any], str, str]]:
        """Pickled is how it was opened: whoever unpickles it opens the same artifact of the same bundle."""
        if self._closed:
            raise InputError("The extractor is closed: there is nothing to pickle.")
        how = {
            **self._given,
            "device": self._opening.device,
            "allow_fallback": self._opening.allow_fallback,
            "threads": self._opening.threads,
            "target": self.artifact.target,
            "precision": self.artifact.precision,
            "mode": self._opening.mode,
            "unverified": self._opening.unverified,
            "cache": self._opening.cache,
            "verify": self._bundle.verify,
            "load_plugins": self._opening.load_plugins,
        }
        folder = str(self._bundle.files.absolute)
        return _opened_again, (folder, how, self.fingerprint, self.artifact.sha256)

    def __call__(
        self,
        rgb: Images = None,
        nir: Images = None,
        tir: Images = None,
        cameras: Cameras = None,
        normalize: bool = True,
        strict_cameras: bool = False,
        track: Track = silent,
    ) -> np.ndarray:
        """Embed N samples; the result is 2-D for a single one too.

        Args:
            rgb, nir, tir: one image or many. An image is a path, the bytes of a file, an open file, an array, a PIL
                image or an ImageSource, see `preprocess.image_array`; many are a list, or an array (N, H, W, 3) or
                (N, H, W, 1). None = this sensor is missing, for all samples or, inside a list, for one.
            cameras: zero-based camera numbers, one for all or one per sample; None, -1 and every number that the model
                does not know stand for an unknown camera, which gets the mean of the known ones. Without effect where
                the model has no camera embedding.
            normalize: scale each embedding to length 1.
            strict_cameras: refuse numbers that the model does not know, -1 included.
            track: shows progress, in batches.

        Returns:
            float32 (N, dim).

        Raises:
            InputError: an image or number that cannot be used, sensors that differ in number, a sample without image.
            ArtifactError: the model returned NaN, infinity or zeros; names the samples.
        """
        samples = gather(of_the_model({RGB: rgb, NIR: nir, TIR: tir}, self.metadata.modalities))
        numbers = camera_numbers(cameras, samples.count, self.metadata.cameras, strict_cameras)
        result = np.empty((samples.count, self.dim), np.float32)
        starts = range(0, samples.count, self.batch_size)
        for start in track(starts, "Extracting", len(starts)):
            stop = min(start + self.batch_size, samples.count)
            images, mask = samples.load(start, stop, self.preprocessing, self.watch)
            result[start:stop] = self._embed(images, mask, numbers[start:stop], start)
        return unit_rows(result) if normalize else result

    def embed(
        self, images: Mapping[str, np.ndarray], mask: np.ndarray | None = None, cameras: np.ndarray | None = None
    ) -> np.ndarray:
        """The raw embeddings, float32 (N, dim), of arrays that need no preprocessing.

        Args:
            images: by modality, uint8 (N, height, width, 3) of the model's size, N > 0.
            mask: (N, modalities), 1 = present, 0 = missing; None = all present.
            cameras: (N,) whole numbers; None = unknown.

        Raises:
            InputError: arrays of another shape.
            ArtifactError: the model returned NaN or infinity.
        """
        pre, modalities = self.preprocessing, self.metadata.modalities
        count = len(next(iter(images.values()), ()))
        shape = (count, pre.height, pre.width, 3)
        mask = np.ones((count, len(modalities)), np.float32) if mask is None else mask
        cameras = np.full(count, UNKNOWN_CAMERA, np.int64) if cameras is None else cameras
        right = all(name in images and images[name].shape == shape for name in modalities)
        if not count or not right or mask.shape != (count, len(modalities)) or cameras.shape != (count,):
            given = {**images, "mask": mask, "cameras": cameras}
            shapes = ", ".join(f"{name} {value.shape}" for name, value in given.items())
            raise InputError(f"Expected images of shape {shape} for {', '.join(modalities)}, N > 0, not {shapes}.")
        parts = []
        for start in range(0, count, self.batch_size):
            rows = slice(start, start + self.batch_size)
            part = {name: images[name][rows] for name in modalities}
            parts.append(self._embed(part, mask[rows], cameras[rows], start))
        return np.concatenate(parts)

    def _embed(self, images: Mapping[str, np.ndarray], mask: np.ndarray, cameras: np.ndarray, first: int) -> np.ndarray:
        """One run of at most `batch_size` samples; `first` is the caller's number of the first, for messages."""
        count = len(mask)
        feeds = self._feeds(images, mask, cameras)
        profile = self.artifact.profile
        least = max(self.metadata.batch or 1, 1 if profile is None else profile.smallest)
        feeds = {name: _padded(value, least) for name, value in feeds.items()}
        (name,) = self.metadata.names(EMBEDDING)
        embedding = self._run(feeds)[name][:count]
        if embedding.shape != (count, self.dim):
            raise ArtifactError(f"The model returned {embedding.shape} instead of ({count}, {self.dim}).")
        embedding = embedding.astype(np.float32, copy=False)
        _refuse(~np.isfinite(embedding).all(axis=1), first, "NaN or infinity")
        return embedding

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The backend's outputs. OpenVINO cannot be stopped from outside, so that its first run is watched here."""
        backend = self.backend
        if self._has_run or self.artifact.target != OPENVINO:
            return backend.run(feeds)
        batch, what = len(next(iter(feeds.values()))), f"The first run of {self.artifact.stem}"
        with bounded(self._size, batch, what):
            found = within(lambda: backend.run(feeds), first_run_seconds(self._size, batch), what)
        self._has_run = True
        return found

    def _feeds(self, images: Mapping[str, np.ndarray], mask: np.ndarray, cameras: np.ndarray) -> dict[str, np.ndarray]:
        feeds = {}
        for tensor in self.metadata.inputs:
            value = {IMAGE: images.get(tensor.name), CAMERA: cameras, MODALITY_MASK: mask}[tensor.role]
            feeds[tensor.name] = np.asarray(value).astype(tensor.dtype, copy=False)
        if not self.metadata.names(MODALITY_MASK) and not mask.all():
            raise InputError(f"The model {self.metadata.name!r} needs an image of every sensor; some are missing.")
        return feeds

    def close(self) -> None:
        """Free the model. Calls after this raise InputError."""
        self._closed = True
        self._backend.close()

    def __enter__(self) -> Extractor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _fingerprint(bundle: str, stored: Preprocessing, taken: Preprocessing) -> str:
    """The bundle's own, or one of the ranges of 16-bit images that were taken in place of the bundle's."""
    if taken == stored:
        return bundle
    ranges = f"{taken.sixteen_bit_range}"
    if taken.sensor_ranges:
        ranges += " " + json.dumps(taken.sensor_ranges, sort_keys=True)
    return hashlib.sha256(f"{bundle} {ranges}".encode()).hexdigest()


def _with_settings(preprocessing: Preprocessing, pixels: int | None, truncated: bool | None) -> Preprocessing:
    if pixels is None and truncated is None:
        return preprocessing
    settings = image_settings()
    settings = settings if pixels is None else replace(settings, max_pixels=pixels)
    settings = settings if truncated is None else replace(settings, accept_truncated=truncated)
    return replace(preprocessing, settings=settings)


def unit_rows(embeddings: np.ndarray) -> np.ndarray:
    """Each row scaled to length 1, float32 (N, dim).

    Raises:
        ArtifactError: a row of zeros, which has no direction; names the rows.
    """
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    _refuse(lengths[:, 0] == 0, 0, "only zeros")
    return (embeddings / lengths).astype(np.float32)


def _refuse(bad: np.ndarray, first: int, what: str) -> None:
    if bad.any():
        rows = [str(first + row) for row in np.flatnonzero(bad)]
        raise ArtifactError(
            f"The model returned {what} for sample {shown(rows)}. Run `mambapro check` on the bundle; where it passes, "
            "export at a higher precision."
        )


def _padded(value: np.ndarray, batch: int) -> np.ndarray:
    missing = batch - len(value)
    return value if missing <= 0 else np.concatenate([value, np.repeat(value[-1:], missing, axis=0)])


def _opened_again(folder: str, how: dict[str, Any], fingerprint: str, sha256: str) -> Extractor:
    """An extractor from its pickled form.

    Raises:
        ArtifactError: another bundle is there now.
    """
    found = Extractor(folder, **how)
    if (found.fingerprint, found.artifact.sha256) != (fingerprint, sha256):
        found.close()
        raise ArtifactError(
            f"{escaped(folder)} is not the bundle that was pickled: it was replaced meanwhile. Open it again."
        )
    return found


def _folder(given: str | os.PathLike[str]) -> Path:
    try:
        return Path(given)
    except TypeError as error:
        raise InputError(f"cache must be the path of a folder, not {shown_text(repr(given))}.") from error


def _batch_size(metadata: BundleMetadata, asked: int | None) -> int:
    asked = None if asked is None else whole_number("batch_size", asked)
    if metadata.batch is not None and asked not in (None, metadata.batch):
        raise InputError(f"The model has a fixed batch of {metadata.batch}; leave batch_size out, or export another.")
    return metadata.batch or asked or DEFAULT_BATCH


def _check_modalities(metadata: BundleMetadata) -> None:
    foreign = [name for name in metadata.modalities if name not in MODALITIES]
    if foreign:
        raise ArtifactError(f"The model takes {shown(foreign)}; this runtime knows {', '.join(MODALITIES)}.")


def of_the_model(given: dict[str, Images], modalities: tuple[str, ...]) -> dict[str, Images]:
    """The images of the sensors that a model takes; InputError for others."""
    surplus = [name for name, images in given.items() if images is not None and name not in modalities]
    if surplus:
        raise InputError(f"The model takes {', '.join(modalities)}, not {', '.join(surplus)}. Leave them out.")
    return {name: given[name] for name in modalities}
