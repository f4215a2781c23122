"""Cache of the kernels that TensorRT-RTX compiles for a shape, shared between processes.

One file for each GPU and version. It only saves time: without it the same kernels are compiled again. Problems with it
are therefore warnings, never errors.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ....common.files.atomic import write_atomically
from ....errors import InputError, SetupError
from ....plugins.compile import cache_folder
from ....plugins.cuda.memory import Gpu
from ....plugins.private_folder import why_untrusted

logger = logging.getLogger("mambapro")


def kernel_file(version: str, gpu: Gpu) -> Path | None:
    """Return the cache file for a GPU and version of TensorRT-RTX; None if this user has no cache folder."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"tensorrt-rtx-{version}-{gpu.name}-{gpu.capability}").strip("-").lower()
    try:
        return cache_folder() / "kernels" / f"{name}.cache"
    except SetupError as error:
        logger.warning("Compiled kernels are not kept: %s", error)
        return None


class Kernels:
    """Kernels of one engine, shared by its execution contexts, which it must outlive.

    The GPU's context must be current on the calling thread.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lock = threading.RLock()
        self._cache: Any = None
        self._stored = b""
        self._storing = file is not None

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Serialize the first runs of a shape; compiled kernels are stored after success."""
        with self._lock:
            yield
            self._store()

    def give(self, config: Any) -> None:
        """Attach the cache to a runtime configuration, whose contexts read and extend it."""
        with self._lock:
            if self._cache is None:
                self._cache = self._load(config.create_runtime_cache())
            if not config.set_runtime_cache(self._cache):
                logger.warning("TensorRT-RTX takes no cache: it compiles its kernels again in every process.")

    def _load(self, cache: Any) -> Any:
        if self._file is None:
            return cache
        # they are code for the GPU
        if os.path.lexists(self._file) and (reason := why_untrusted(self._file)):
            logger.warning("The kernels in %s are not used (%s); they are compiled again.", self._file, reason)
            return cache
        try:
            content = self._file.read_bytes()
        except FileNotFoundError:
            return cache
        except OSError as error:
            logger.warning("The kernels in %s cannot be read (%s); they are compiled again.", self._file, error)
            return cache
        if cache.deserialize(content):
            self._stored = content
        else:
            logger.warning("%s does not hold kernels for this GPU and driver; they are compiled again.", self._file)
        return cache

    def _store(self) -> None:
        if self._cache is None or not self._storing or self._file is None:
            return
        found = self._cache.serialize()
        content = b"" if found is None else bytes(found)
        if content in (b"", self._stored):
            return
        try:
            write_atomically(self._file, lambda path: path.write_bytes(content))
            self._stored = content
            # with a umask that lets others write, the file would not be loaded
            self._file.chmod(self._file.stat().st_mode & ~0o022)
        except (InputError, SetupError, OSError) as error:
            # warn only once
            self._storing = False
            logger.warning("Compiled kernels are not kept: %s", error)
