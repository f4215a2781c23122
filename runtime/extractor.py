"""Extractor: embeddings of images from a bundle, without PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from ..common.progress import Track, silent
from ..errors import InputError
from ..moved import old_names_of
from .bundle.artifact import Sidecar
from .bundle.bundle import Bundle
from .bundle.metadata import BundleMetadata
from .bundle.tensors import EMBEDDING
from .data.batch import Batch
from .data.inputs import Cameras, Images, Samples, gather
from .data.modalities import NIR, RGB, TIR
from .data.sixteen_bit import Ranges
from .image_model import ImageModel
from .run_options import LATENCY, RunOptions
from .session import Session, require_rows

__getattr__ = old_names_of("runtime.extractor")


class Extractor(ImageModel):
    """Embeddings of tri-modal samples, from a bundle: `Extractor("best.mambapro")(rgb, nir, tir, cameras)`.

    Thread-safe. As a context manager it frees the model at the end. A child of fork() opens the model again on first
    use (an error on a GPU); unpickling opens the bundle again.

    Attributes:
        metadata: the bundle's metadata.
        artifact: the artifact that runs.
        preprocessing: applied to images before the model.
        watch: the observed 16-bit values.
        batch_size: samples per run.

    Args:
        bundle: folder of the bundle, or an opened Bundle.
        device: "cpu", "cuda", or "auto" = a GPU if an engine fits it or ONNX Runtime supports CUDA, else the CPU.
        allow_fallback: run on the CPU, with a warning, if CUDA was requested and cannot be used.
        batch_size: samples decoded and run at a time (default 32); fixed-batch models and engines limit it.
        threads: threads of one operator, at most one for each CPU; None leaves it to the library.
        target: "onnxruntime", "openvino", "tensorrt" or "tensorrt-rtx"; None = the fastest verified one that runs here;
            if loading fails, the next one is loaded, with a warning.
        precision: "fp32", "fp16", "bf16" or "int8"; None = the fastest in the bundle for the target.
        mode: "latency", or "throughput" = OpenVINO splits a batch over its streams.
        unverified: allow an artifact that no machine has verified yet; `mambapro check` verifies it.
        cache: folder of OpenVINO's compiled models, for faster starts; None = no cache.
        verify: compare the hashes of the loaded files.
        load_plugins: load the shared libraries of the bundle, if any, and engines with code for the processor. Only for
            trusted bundles.
        sixteen_bit_range: (low, high) of 16-bit images, or a dict of these by sensor, such as {"tir": (7000, 9000)},
            overriding the bundle's. It changes `fingerprint`.
        max_image_pixels: images with more pixels are rejected; None = 67,108,864 (8192 x 8192).
        accept_truncated: use the decodable part of damaged or cut files, the rest black; None = no.

    Raises:
        InputError: the bundle does not exist, or an argument cannot be used.
        SetupError: ONNX Runtime is missing, or does not run where it was asked to.
        ArtifactError: the bundle is damaged, incomplete, newer, or not for re-identification.
    """

    role = EMBEDDING

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
        options = RunOptions(
            device,
            allow_fallback,
            batch_size,
            threads,
            target,
            precision,
            mode,
            unverified,
            cache,
            verify,
            load_plugins,
            sixteen_bit_range,
            max_image_pixels,
            accept_truncated,
        )
        super().__init__(bundle, options)

    def _require_usable(self, metadata: BundleMetadata) -> None:
        super()._require_usable(metadata)
        # raises where there is no embedding
        _ = metadata.dim

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.metadata.dim

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
                image or an ImageSource, see `preprocess.image_array`; many are a list, or an array (N, H, W, 3) or (N,
                H, W, 1). None = this sensor is missing, for all samples or, inside a list, for one.
            cameras: zero-based camera numbers, one for all or one per sample; None, -1 and every number that the model
                does not know are an unknown camera, embedded as the mean of the known ones. Ignored by models without a
                camera embedding.
            normalize: scale each embedding to length 1.
            strict_cameras: reject numbers that the model does not know, -1 included.
            track: shows progress, in batches.

        Returns:
            float32 (N, dim).

        Raises:
            InputError: an unusable image or number, sensors that differ in number, a sample without image.
            ArtifactError: the model returned NaN, infinity or zeros; names the samples.
        """
        samples = self.samples(rgb, nir, tir, cameras, strict_cameras)
        result = np.empty((len(samples), self.dim), np.float32)
        starts = range(0, len(samples), self.batch_size)
        for start in track(starts, "Extracting batches", len(starts)):
            stop = min(start + self.batch_size, len(samples))
            result[start:stop] = self.features(samples.load(start, stop, self.preprocessing, self.watch), start)
        return unit_rows(result) if normalize else result

    def samples(
        self,
        rgb: Images,
        nir: Images,
        tir: Images,
        cameras: Cameras,
        strict_cameras: bool,
        empty: list[int] | None = None,
    ) -> Samples:
        """Return the arguments of a call as samples of the model's sensors; `empty` receives those without image.

        Raises:
            InputError: as a call.
        """
        by_modality, modalities = {RGB: rgb, NIR: nir, TIR: tir}, self.metadata.modalities
        require_modalities([name for name, images in by_modality.items() if images is not None], modalities)
        images = {name: by_modality[name] for name in modalities}
        return gather(images, cameras, self.metadata.cameras, strict_cameras, empty)

    def embed(
        self, images: Mapping[str, np.ndarray], mask: np.ndarray | None = None, cameras: np.ndarray | None = None
    ) -> np.ndarray:
        """Compute the raw embeddings of arrays that need no preprocessing.

        Args:
            images: by modality, uint8 (N, height, width, 3) of the model's size, N > 0.
            mask: (N, modalities), 1 = present, 0 = missing; None = all present.
            cameras: (N,) whole numbers; None = unknown.

        Returns:
            float32 (N, dim).

        Raises:
            InputError: arrays of another shape.
            ArtifactError: the model returned NaN or infinity.
        """
        taken = {name: images[name] for name in self.metadata.modalities if name in images}
        return self.features(Batch.of(taken, mask, cameras))

    def features(self, batch: Batch, rows: int | np.ndarray = 0) -> np.ndarray:
        """Compute the raw embeddings of a batch; arguments and errors as `run`. Returns float32 (N, dim)."""
        (name,) = self.metadata.names(EMBEDDING)
        return self.run(batch, rows)[name].astype(np.float32, copy=False)


def open_session(
    bundle: str | os.PathLike[str] | Bundle, options: RunOptions, artifact: Sidecar | None = None
) -> Session:
    """Open a bundle: an Extractor if its model returns embeddings, else a plain Session.

    Args:
        bundle, options, artifact: as for Session.

    Raises:
        InputError, SetupError, ArtifactError: as Extractor.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle, options.verify)
    kind = Extractor if opened.metadata.names(EMBEDDING) else Session
    session = kind.__new__(kind)
    Session.__init__(session, opened, options, artifact)
    return session


def unit_rows(embeddings: np.ndarray, rows: int | np.ndarray = 0) -> np.ndarray:
    """Scale each row to length 1; `rows` is the caller's number of the first one, or of each, for messages.

    Returns:
        float32 (N, dim).

    Raises:
        ArtifactError: a row of zeros, which has no direction; names the rows.
    """
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    require_rows(lengths[:, 0] != 0, rows, "only zeros")
    return (embeddings / lengths).astype(np.float32)


def require_modalities(given: Sequence[str], modalities: Sequence[str]) -> None:
    """Raise InputError for sensors that a model does not take."""
    surplus = [name for name in given if name not in modalities]
    if surplus:
        raise InputError(f"The model takes {', '.join(modalities)}, not {', '.join(surplus)}. Leave them out.")
