"""Options for opening and running a bundle: device, artifact, threads, limits of decoding."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..common.foreign_text import shown_text
from ..common.machine.cpus import whole_number
from ..errors import InputError
from .backends.onnxruntime import DEVICES
from .bundle.field_checks import one_of
from .data.sixteen_bit import Ranges

LATENCY, THROUGHPUT = "latency", "throughput"
MODES = (LATENCY, THROUGHPUT)


@dataclass(frozen=True)
class RunOptions:
    """Options for opening and running a bundle.

    Attributes:
        device: "cpu", "cuda", or "auto" = a GPU if an engine fits it or ONNX Runtime supports CUDA, else the CPU.
        allow_fallback: run on the CPU, with a warning, if CUDA was requested and cannot be used.
        batch_size: samples decoded and run at a time; None = the model's own, or 32.
        threads: threads of one operator; None leaves it to the library.
        target, precision: of the artifact; None = the fastest here, see `candidates`.
        mode: "latency", or "throughput": OpenVINO splits a batch over its streams.
        unverified: allow an artifact that no machine has verified yet.
        cache: folder of OpenVINO's compiled models, for faster starts; None = no cache.
        verify: compare the hashes of the loaded files.
        load_plugins: load code of the bundle for the processor: libraries, and code inside engines.
        sixteen_bit_range: (low, high) of 16-bit images, or by sensor, overriding the bundle's.
        max_image_pixels: images with more pixels are rejected; None = the limit of the process.
        accept_truncated: use the decodable part of damaged or cut files; None = as the process does.

    Raises:
        InputError: an invalid value.
    """

    device: str = "auto"
    allow_fallback: bool = False
    batch_size: int | None = None
    threads: int | None = None
    target: str | None = None
    precision: str | None = None
    mode: str = LATENCY
    unverified: bool = False
    cache: str | os.PathLike[str] | None = None
    verify: bool = True
    load_plugins: bool = False
    sixteen_bit_range: Ranges | None = None
    max_image_pixels: int | None = None
    accept_truncated: bool | None = None

    def __post_init__(self) -> None:
        one_of("device", self.device, DEVICES)
        one_of("mode", self.mode, MODES)
        if self.threads is not None:
            whole_number("threads", self.threads)
        # rejected now, for all targets
        _ = self.cache_folder

    @property
    def cache_folder(self) -> Path | None:
        """`cache` as a path.

        Raises:
            InputError: it is no path.
        """
        try:
            return None if self.cache is None else Path(self.cache)
        except TypeError as error:
            raise InputError(f"cache must be the path of a folder, not {shown_text(repr(self.cache))}.") from error
