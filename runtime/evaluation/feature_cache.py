"""Features of a test set by a reference model, kept from build to build in the user's cache.

A reference is evaluated to be compared with, again and again on the same images, and that takes long. What is kept is
keyed by everything that the features are a function of: the model, its runtime and machine, the images' content, and
what is done to them. Features are biometric data: the folder is its owner's alone, and one that is not is not used.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...common.files.atomic import sha256_of, write_atomically
from ...common.formats.npz_files import read_npz
from ...common.machine.packages import installed_versions
from ...common.progress import Track, silent
from ...errors import MambaProError, SetupError
from ...plugins.compile import cache_folder
from ..data.image_settings import image_settings
from ..data.sample import Sample
from ..environment import machine_name
from ..extractor import Extractor

log = logging.getLogger("mambapro")

#: Bytes of all entries together; those that were not used for longest go first.
MOST_BYTES = 2**30
_VERSION = 1
#: Packages that decide what features are.
_PACKAGES = (
    "python", "mambapro", "numpy", "Pillow", "torch", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt",
)  # fmt: skip


def features_folder() -> Path | None:
    """Folder of the entries; None where this user has no place for a cache."""
    try:
        return cache_folder() / "features"
    except SetupError:
        return None


class FeatureCache:
    """Entries by key. Whatever is wrong with the folder or an entry: it is as if there were none.

    Args:
        folder: made when something is kept; None keeps nothing.
        most_bytes: of all entries together.
    """

    def __init__(self, folder: Path | None, most_bytes: int = MOST_BYTES) -> None:
        self.folder, self.most_bytes = folder, most_bytes

    def get(self, key: str, rows: int) -> np.ndarray | None:
        """Features, float32 (rows, dim) and finite, or None."""
        if self.folder is None:
            return None
        path = _entry(self.folder, key)
        try:
            if not (path.exists() and _private(self.folder) and _owned(path)):
                return None
            arrays = read_npz(path, "kept features", content=self.most_bytes, members=2)
            os.utime(path)
        except (OSError, MambaProError) as error:
            log.debug("features in the cache are not used: %s", error)
            return None
        found = arrays.get("features")
        if found is None or str(arrays.get("key")) != key or found.dtype != np.float32 or found.ndim != 2:
            return None
        return found if len(found) == rows and np.isfinite(found).all() else None

    def put(self, key: str, features: np.ndarray) -> None:
        """Keep features; without room, permission or a folder of one's own they are not kept."""
        folder = self.folder
        if folder is None or features.nbytes > self.most_bytes:
            return
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            if not _private(folder):
                log.debug("%s is not this user's alone: features are not kept there", folder)
                return
            path = _entry(folder, key)
            write_atomically(path, lambda temporary: _write(temporary, key, features))
            _evict(folder, path, self.most_bytes)
        except (OSError, MambaProError) as error:
            log.debug("features are not kept: %s", error)


def _entry(folder: Path, key: str) -> Path:
    return folder / f"{key}.npz"


def _evict(folder: Path, kept: Path, most_bytes: int) -> None:
    """Remove what was not used for longest until the rest fits."""
    entries = [(path.stat().st_mtime_ns, path.stat().st_size, path) for path in folder.glob("*.npz")]
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= most_bytes or path == kept:
            continue
        path.unlink(missing_ok=True)
        total -= size


def _private(folder: Path) -> bool:
    """A real folder of this user into which nobody else may write or look."""
    mode = folder.lstat().st_mode
    return stat.S_ISDIR(mode) and _owned(folder) and not (os.name == "posix" and mode & 0o077)


def _owned(path: Path) -> bool:
    return not hasattr(os, "geteuid") or path.lstat().st_uid == os.geteuid()


def _write(path: Path, key: str, features: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.savez(file, features=features, key=np.array(key))


def extractor_identity(extractor: Extractor, strict_cameras: bool = False) -> dict[str, Any]:
    """What the features of an opened bundle depend on beside the images."""
    artifact = extractor.artifact
    return {
        "model": artifact.sha256,
        "artifact": artifact.stem,
        "hint": artifact.hint,
        "provider": extractor.provider,
        "space": extractor.fingerprint,
        "strict_cameras": strict_cameras,
        **asdict(extractor.preprocessing),
    }


def images_digest(samples: Sequence[Sample], track: Track = silent) -> str:
    """Hex SHA-256 over the content of all images in order, their boxes and cameras; where they lie is not in it.

    Raises:
        OSError, MambaProError: an image that cannot be read.
    """
    images: dict[Path, str] = {}
    digest = hashlib.sha256()
    for sample in track(samples, "Hashing images", len(samples)):
        for sensor, source in sample.sources.items():
            if source.path not in images:
                images[source.path] = sha256_of(source.path)
            digest.update(f"{sensor} {images[source.path]} {source.box};".encode())
        digest.update(f"{sample.camera}\n".encode())
    return digest.hexdigest()


def features_key(identity: Mapping[str, Any], images: str) -> str:
    """Key of the features of images: hex SHA-256 over the model's identity, the machine and the images' digest.

    How this process decodes is part of it: an image that it refuses must not be found in the cache.
    """
    packages = installed_versions(_PACKAGES)
    here: dict[str, Any] = {"version": _VERSION, "machine": machine_name(), "packages": packages}
    here["decoding"] = asdict(image_settings())
    return hashlib.sha256(json.dumps([here, images, dict(identity)], sort_keys=True, default=str).encode()).hexdigest()
