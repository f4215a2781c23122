"""How a bundle is opened and run: device, artifact, threads, limits of decoding."""

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
    """How to open and run a bundle.

    Attributes:
        device: "cpu", "cuda", or "auto" = a GPU where an engine fits it or ONNX Runtime offers CUDA, else the CPU.
        allow_fallback: run on the CPU, with a warning, where CUDA was asked for and cannot be used.
        batch_size: samples decoded and run at a time; None = the model's own, or 32.
        threads: threads of one operator; None leaves it to the library.
        target, precision: of the artifact; None = what is fastest here, see `candidates`.
        mode: "latency", or "throughput": OpenVINO divides a batch among its streams.
        unverified: take an artifact that no machine has verified yet.
        cache: folder where OpenVINO keeps compiled models, so that the next start is faster; None = nowhere.
        verify: compare the hashes of the files that are loaded.
        load_plugins: load the code that the bundle holds for the processor: libraries, and what is inside of engines.
        sixteen_bit_range: (low, high) of 16-bit images, or by sensor, in place of the bundle's.
        max_image_pixels: images of more pixels are refused; None = the limit of the process.
        accept_truncated: take what can be decoded of damaged or cut files; None = as the process does.

    Raises:
        InputError: a value that cannot be used.
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
        # refused now, whatever runs
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
