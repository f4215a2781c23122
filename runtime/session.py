"""Session: an opened artifact of a bundle that runs batches."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import TypeVar

import numpy as np

from ..common.machine.cpus import whole_number
from ..common.machine.memory_budget import bounded
from ..common.machine.time_budget import first_run_seconds, within
from ..errors import ArtifactError, InputError
from .backends.base import Backend
from .backends.process import refuse_fork, watch
from .bundle.artifact import OPENVINO, Sidecar
from .bundle.bundle import Bundle
from .bundle.checksums import BundleReplacedError
from .bundle.metadata import BundleMetadata
from .data.batch import Batch
from .data.image_settings import image_settings
from .data.preprocess import Preprocessing
from .data.range_watch import RangeWatch
from .data.readers.listing import shown
from .loader import open_backend, open_fastest
from .run_options import RunOptions

log = logging.getLogger("mambapro")

S = TypeVar("S", bound="Session")

DEFAULT_BATCH = 32
#: Attempts to open a bundle that is replaced meanwhile.
_OPENINGS = 5


class Session:
    """Model of a bundle that runs batches. Thread-safe; a context manager.

    A child of fork() opens the model again on first use (an error on a GPU).

    Attributes:
        options: as given.
        metadata: of the bundle.
        artifact: the artifact that runs.
        preprocessing: of the images.
        watch: the observed 16-bit values.
        batch_size: samples per run.

    Args:
        bundle: its folder, or an opened Bundle.
        options: for opening and running.
        artifact: one of its artifacts, in any state; None = the fastest one that `options` allow here.

    Raises:
        InputError, SetupError, ArtifactError: as Extractor.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str] | Bundle,
        options: RunOptions | None = None,
        artifact: Sidecar | None = None,
    ) -> None:
        self.options = options or RunOptions()
        if artifact is not None:
            self.options = replace(self.options, target=artifact.target, precision=artifact.precision, unverified=True)
        turns = 1 if isinstance(bundle, Bundle) else _OPENINGS
        for turn in range(turns):
            try:
                opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle, self.options.verify)
                self._open(opened, artifact)
                break
            except BundleReplacedError:
                # a bundle that is replaced during opening is complete again
                if turn + 1 == turns:
                    raise
        self._closed = self._forked = False
        self._lock = threading.Lock()
        watch(self)

    def _open(self, bundle: Bundle, artifact: Sidecar | None) -> None:
        """Check the bundle's metadata against the options, and load the artifact."""
        options, metadata = self.options, bundle.metadata
        self._require_usable(metadata)
        preprocessing = metadata.preprocessing.with_ranges(options.sixteen_bit_range, metadata.modalities)
        preprocessing = _with_settings(preprocessing, options)
        batch_size = _batch_size(metadata, options.batch_size)
        for error in bundle.damaged.values():
            log.warning("%s The bundle's other artifacts are not affected.", error)
        self.artifact: Sidecar
        self._backend: Backend
        if artifact is None:
            self.artifact, self._backend = open_fastest(bundle, options)
        else:
            self.artifact, self._backend = artifact, open_backend(bundle, artifact, options)
        profile = self.artifact.profile
        self.batch_size: int = batch_size if profile is None else min(batch_size, profile.largest)
        self.metadata: BundleMetadata = metadata
        self.preprocessing: Preprocessing = preprocessing
        self.watch = RangeWatch()
        self._bundle, self._has_run, self._size = bundle, False, bundle.size(self.artifact.file)

    def _require_usable(self, metadata: BundleMetadata) -> None:
        """Reject a bundle that this kind of session cannot run, before anything is loaded."""

    @property
    def backend(self) -> Backend:
        """Loaded model; a child of fork() opens it again on first use.

        Raises:
            InputError: in a child of fork(), where the model is on a GPU that the parent uses.
        """
        if self._forked and not self._closed:
            with self._lock:
                self._open_again()
        return self._backend

    @property
    def provider(self) -> str:
        """Execution device or provider of the model, for example "CPUExecutionProvider"."""
        return self._backend.provider

    def after_fork(self) -> None:
        """Record, in a child of fork(), that the loaded model belongs to the parent."""
        self._forked, self._lock, self.watch = True, threading.Lock(), RangeWatch()

    def _open_again(self) -> None:
        """Open the same artifact in this process: after fork() the threads of the parent's runtime are missing."""
        if not self._forked:
            return
        if self.artifact.engine is not None or "CUDA" in self.provider:
            refuse_fork(f"{self.artifact.stem}, on {self.provider},", os.getppid())
        log.info(
            "%s of %s is opened again in the forked process %d", self.artifact.stem, self._bundle.folder, os.getpid()
        )
        self._backend = open_backend(self._bundle, self.artifact, self.options)
        self._forked = False

    def run(self, batch: Batch, rows: int | np.ndarray = 0) -> dict[str, np.ndarray]:
        """Run the model on N samples, at most `batch_size` at a time.

        Args:
            batch: of the model's modalities and image size, N > 0.
            rows: the caller's number of the first sample, or of each one, for messages.

        Returns:
            outputs by name, (N, ...) each.

        Raises:
            InputError: images of another shape, or missing ones that the model requires.
            ArtifactError: the model returned NaN or infinity; names the samples.
        """
        self._require_fitting(batch)
        size, profile, tensors = self.batch_size, self.artifact.profile, self.metadata.outputs
        least = max(self.metadata.batch or 1, 1 if profile is None else profile.smallest)
        parts: list[dict[str, np.ndarray]] = []
        for number, part in enumerate(batch.parts(size)):
            count = len(part)
            values = self._run(part.padded(least).feeds(self.metadata.inputs))
            parts.append({tensor.name: values[tensor.name][:count] for tensor in tensors})
            for tensor in tensors:
                output, shape = parts[-1][tensor.name], (count, *tensor.shape[1:])
                if output.shape != shape:
                    raise ArtifactError(f"The model returned {output.shape} instead of {shape}.")
                finite = np.isfinite(output.reshape(count, -1)).all(axis=1)
                require_rows(finite, row_numbers(rows, len(batch))[number * size :], "NaN or infinity")
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the backend's outputs; OpenVINO cannot be interrupted, so its first run has a watchdog here."""
        backend = self.backend
        if self._has_run or self.artifact.target != OPENVINO:
            return backend.run(feeds)
        batch, what = len(next(iter(feeds.values()))), f"The first run of {self.artifact.stem}"
        with bounded(self._size, batch, what):
            outputs = within(lambda: backend.run(feeds), first_run_seconds(self._size, batch), what)
        self._has_run = True
        return outputs

    def _require_fitting(self, batch: Batch) -> None:
        names, count = self.metadata.modalities, len(next(iter(batch.images.values()), ()))
        shape = (count, self.preprocessing.height, self.preprocessing.width, 3)
        right = all(name in batch.images and batch.images[name].shape == shape for name in names)
        if not count or not right or batch.mask.shape != (count, len(batch.images)) or batch.cameras.shape != (count,):
            shapes = ", ".join(
                f"{name} {value.shape}"
                for name, value in {**batch.images, "mask": batch.mask, "cameras": batch.cameras}.items()
            )
            raise InputError(f"Expected images of shape {shape} for {', '.join(names)}, N > 0, not {shapes}.")

    def close(self) -> None:
        """Free the model. Calls after this raise InputError."""
        self._closed = True
        self._backend.close()

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def row_numbers(rows: int | np.ndarray, count: int) -> np.ndarray:
    """Return the numbers of `count` samples, of which the first one or each is given. Returns int64 (count,)."""
    return rows if isinstance(rows, np.ndarray) else np.arange(rows, rows + count)


def require_rows(good: np.ndarray, rows: int | np.ndarray, what: str) -> None:
    """Raise ArtifactError if some rows are not `good`; `rows` numbers the first or each."""
    if good.all():
        return
    bad = row_numbers(rows, len(good))[: len(good)][~good]
    raise ArtifactError(
        f"The model returned {what} for sample {shown([str(row) for row in bad.tolist()])}. Run `mambapro check` on "
        "the bundle; where it passes, export at a higher precision."
    )


def _with_settings(preprocessing: Preprocessing, options: RunOptions) -> Preprocessing:
    if options.max_image_pixels is None and options.accept_truncated is None:
        return preprocessing
    settings = image_settings()
    if options.max_image_pixels is not None:
        settings = replace(settings, max_pixels=options.max_image_pixels)
    if options.accept_truncated is not None:
        settings = replace(settings, accept_truncated=options.accept_truncated)
    return replace(preprocessing, settings=settings)


def _batch_size(metadata: BundleMetadata, asked: int | None) -> int:
    asked = None if asked is None else whole_number("batch_size", asked)
    if metadata.batch is not None and asked not in (None, metadata.batch):
        raise InputError(f"The model has a fixed batch of {metadata.batch}; leave batch_size out, or export another.")
    return metadata.batch or asked or DEFAULT_BATCH
