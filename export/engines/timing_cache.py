"""Cache of TensorRT's kernel timings between builds: one file for each GPU and version.

Several builds may use one file at once: each reads it at its start, and at its end merges its timings into the current
content.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

from ...common.files.atomic import make_folder, write_atomically
from ...common.files.locks import locked_file
from ...plugins.compile import cache_folder
from ...plugins.private_folder import why_untrusted

log = logging.getLogger("mambapro")


def cache_file(folder: Path | None, version: str, gpu: str, capability: str) -> Path:
    """Return the file of timings of a GPU under a version of TensorRT."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"tensorrt-{version}-{gpu}-{capability}").strip("-").lower()
    return (folder or cache_folder() / "timing") / f"{name}.cache"


def load(config: Any, file: Path) -> None:
    """Load the timings of `file` into a builder configuration; an empty cache if there are no usable ones."""
    stored = b""
    if os.path.lexists(file):
        if reason := why_untrusted(file):
            log.warning("the timings in %s are not used: %s", file, reason)
        else:
            stored = file.read_bytes()
    cache = config.create_timing_cache(stored)
    if cache is None or not config.set_timing_cache(cache, False):
        log.warning("%s is no timing cache of this TensorRT and GPU; it starts anew", file)
        config.set_timing_cache(config.create_timing_cache(b""), False)


def store(config: Any, file: Path) -> None:
    """Merge the timings of a build into `file`; without a lock they are discarded, with a warning."""
    make_folder(file.parent)
    try:
        with locked_file(file.with_suffix(".lock")):
            _add(config.get_timing_cache(), config, file)
    except OSError as error:
        log.warning("the timings of this build are not kept in %s: %s", file, error.strerror or error)


def _add(timings: Any, config: Any, file: Path) -> None:
    if file.is_file() and not why_untrusted(file):
        # timings of another GPU or version are left out
        other = config.create_timing_cache(file.read_bytes())
        if other is not None:
            timings.combine(other, False)
    content = bytes(timings.serialize())
    write_atomically(file, lambda path: path.write_bytes(content))
