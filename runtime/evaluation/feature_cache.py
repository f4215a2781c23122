"""Cache of a reference model's features of a test set, in the user's cache folder.

A reference is evaluated repeatedly on the same images, which takes long. Entries are keyed by everything that
determines the features: the model, its runtime and machine, the images' content, and their preprocessing. Features are
biometric data: the folder must be private to its owner, otherwise it is not used.
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

#: Bytes of all entries together; the least recently used are removed first.
MOST_BYTES = 2**30
_VERSION = 1
#: Packages that affect features.
_PACKAGES = (
    "python", "mambapro", "numpy", "Pillow", "torch", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt",
)  # fmt: skip


def features_folder() -> Path | None:
    """Return the folder of the entries; None if this user has no cache folder."""
    try:
        return cache_folder() / "features"
    except SetupError:
        return None


class FeatureCache:
    """Entries by key. Problems with the folder or an entry count as a missing entry.

    Args:
        folder: created with the first entry; None stores nothing.
        most_bytes: of all entries together.
    """

    def __init__(self, folder: Path | None, most_bytes: int = MOST_BYTES) -> None:
        self.folder, self.most_bytes = folder, most_bytes

    def get(self, key: str, rows: int) -> np.ndarray | None:
        """Return the features of a key: float32 (rows, dim), finite; or None."""
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
        features = arrays.get("features")
        if features is None or str(arrays.get("key")) != key or features.dtype != np.float32 or features.ndim != 2:
            return None
        return features if len(features) == rows and np.isfinite(features).all() else None

    def put(self, key: str, features: np.ndarray) -> None:
        """Store features; skipped if the disk is full, permission is missing or the folder is not private."""
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
    """Remove the least recently used entries until the rest fits."""
    entries = [(path.stat().st_mtime_ns, path.stat().st_size, path) for path in folder.glob("*.npz")]
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= most_bytes or path == kept:
            continue
        path.unlink(missing_ok=True)
        total -= size


def _private(folder: Path) -> bool:
    """Return True for a real folder of this user that others can neither read nor write."""
    mode = folder.lstat().st_mode
    return stat.S_ISDIR(mode) and _owned(folder) and not (os.name == "posix" and mode & 0o077)


def _owned(path: Path) -> bool:
    return not hasattr(os, "geteuid") or path.lstat().st_uid == os.geteuid()


def _write(path: Path, key: str, features: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.savez(file, features=features, key=np.array(key))


def extractor_identity(extractor: Extractor, strict_cameras: bool = False) -> dict[str, Any]:
    """Return everything besides the images that the features of an opened bundle depend on."""
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
    """Return the hex SHA-256 over the content of all images in order, their boxes and cameras, but not their paths.

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
    """Return the key of the features of images: SHA-256 over model identity, machine and images' digest.

    The decoding settings of this process are part of it: an image that it rejects must not be served from the cache.
    """
    packages = installed_versions(_PACKAGES)
    here: dict[str, Any] = {"version": _VERSION, "machine": machine_name(), "packages": packages}
    here["decoding"] = asdict(image_settings())
    return hashlib.sha256(json.dumps([here, images, dict(identity)], sort_keys=True, default=str).encode()).hexdigest()
