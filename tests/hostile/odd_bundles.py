"""Bundles that are damaged, hostile or merely odd, made from a good one; hashes are right, so that all is read."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from mambapro.runtime.bundle.checksums import GOLDEN, METADATA, MODEL, PARITY, SUMS, write_sums
from odd_graphs import odd_graphs

Change = Callable[[Path], None]


def write_all(folder: Path, good: Path) -> list[Path]:
    """Every odd bundle in a folder of its own below `folder`; `good` is a bundle that passes."""
    paths = []
    for name, change in changes().items():
        path = folder / f"{name}.mambapro"
        shutil.copytree(good, path)
        change(path)
        # links and pipes cannot be hashed, and lists that are wrong stay so
        if not name.startswith("unlisted"):
            write_sums(path)
        paths.append(path)
    return paths


@cache
def changes() -> dict[str, Change]:
    """What is done to each bundle, by its name."""
    graphs = {f"graph_{name}": _replaced(MODEL, content) for name, content in odd_graphs().items()}
    return {**graphs, **_metadata(), **_parity(), **_goldens(), **_sidecars(), **_folders()}


def _metadata() -> dict[str, Change]:
    return {
        "metadata_huge_images": lambda path: _huge(path, 12_000),
        "metadata_endless_digits": _replaced(METADATA, b'{"schema": ' + b"9" * 100_000 + b"}"),
        "metadata_deep": _replaced(METADATA, b"[" * 100_000),
        "metadata_many_tensors": lambda path: _edit(path, METADATA, lambda x: x.update(outputs=x["outputs"] * 5000)),
        "metadata_many_axes": lambda path: _edit(
            path, METADATA, lambda x: x["outputs"][0].update(shape=["batch", *[1] * 10_000])
        ),
        "metadata_large_axis": lambda path: _edit(
            path, METADATA, lambda x: (x["outputs"][0].update(shape=["batch", 2**40]), x["embedding"].update(dim=2**40))
        ),
        "metadata_escape_sequences": lambda path: _edit(path, METADATA, lambda x: x.update(name="\x1b[2Jred\x1b[31m")),
        "metadata_label": lambda path: _edit(path, METADATA, lambda x: x["precision"].update(label="fp3")),
        "metadata_no_text": _replaced(METADATA, b"\xff\xfe\x00"),
    }


def _parity() -> dict[str, Change]:
    return {
        "parity_infinite": _replaced(PARITY, b'{"limit": Infinity}'),
        "parity_infinite_in_digits": _replaced(PARITY, b'{"limit": 1e999}'),
        "parity_not_a_number": _replaced(PARITY, b'{"limit": NaN}'),
        "parity_endless_digits": _replaced(PARITY, b'{"limit": ' + b"9" * 50_000 + b"}"),
    }


def _goldens() -> dict[str, Change]:
    return {
        "golden_bomb": lambda path: _replaced(GOLDEN, _bomb())(path),
        "golden_huge_claim": _replaced(GOLDEN, _claim((2**40,))),
        "golden_negative_claim": _replaced(GOLDEN, _claim((-1,))),
        "golden_pickle": _replaced(GOLDEN, _npz(embedding=np.array([{}], object))),
        "golden_not_finite": lambda path: _golden(path, "embedding", np.nan),
        "golden_empty": _replaced(GOLDEN, b""),
    }


def _sidecars() -> dict[str, Change]:
    return {
        "sidecar_engine_without_needs": lambda path: _sidecar(path, target="tensorrt", precision="fp16"),
        "sidecar_of_another_model": lambda path: _sidecar(path, source="0" * 64),
        "sidecar_of_another_name": lambda path: _sidecar(path, name="openvino-bf16"),
        "sidecar_deep": lambda path: (path / "openvino-fp32.json").write_text("[" * 100_000) and None,
        "sidecar_names_outside": lambda path: _sidecar(path, file="../../secret"),
    }


def _folders() -> dict[str, Change]:
    return {
        "unlisted_pipe": lambda path: _instead(path / MODEL, os.mkfifo),
        "unlisted_folder": lambda path: _instead(path / MODEL, os.mkdir),
        "unlisted_link_outside": lambda path: _instead(path / MODEL, lambda name: name.symlink_to("/etc/hostname")),
        "unlisted_link_circle": lambda path: _instead(path / MODEL, lambda name: name.symlink_to(MODEL)),
        "unlisted_line_twice": lambda path: (path / SUMS).write_text((path / SUMS).read_text() * 2) and None,
        "unlisted_many_lines": lambda path: (
            (path / SUMS).write_text("".join(f"{'0' * 64}  f{number}\n" for number in range(200_000))) and None
        ),
        "unlisted_name_outside": lambda path: (
            (path / SUMS).write_text((path / SUMS).read_text() + f"{'0' * 64}  ../../etc/passwd\n") and None
        ),
    }


def _replaced(name: str, content: bytes) -> Change:
    def change(path: Path) -> None:
        (path / name).write_bytes(content)

    return change


def _edit(path: Path, name: str, change: Callable[[Any], object]) -> None:
    content = json.loads((path / name).read_text())
    change(content)
    (path / name).write_text(json.dumps(content))


def _huge(path: Path, size: int) -> None:
    def change(content: dict) -> None:
        content["preprocessing"].update(height=size, width=size)
        for tensor in content["inputs"]:
            if tensor["role"] == "image":
                tensor["shape"][1:3] = [size, size]

    _edit(path, METADATA, change)


def _npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


@cache
def _bomb() -> bytes:
    """Three hundred megabytes of zeros in one."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("embedding.npy", "w") as entry,
    ):
        entry.write(_header((300 * 2**18,)))
        for _ in range(300):
            entry.write(bytes(2**20))
    return stream.getvalue()


def _claim(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("embedding.npy", _header(shape) + bytes(16))
    return stream.getvalue()


def _header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape!r}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def _golden(path: Path, name: str, value: float) -> None:
    with np.load(path / GOLDEN) as arrays:
        content = dict(arrays)
    content[name] = np.full_like(content[name], value)
    np.savez(path / GOLDEN, **content)  # type: ignore[arg-type]


def _sidecar(path: Path, name: str = "", **changed: object) -> None:
    """A sidecar of the exported model itself."""
    sums = dict(line.split("  ")[::-1] for line in (path / SUMS).read_text().splitlines())
    content = {
        "schema": "mambapro.artifact/2",
        "file": MODEL,
        "target": "openvino",
        "precision": "fp32",
        "state": "verified",
        "sha256": sums[MODEL],
        "onnx": MODEL,
        "build": {"seconds": 1.0, "bytes": (path / MODEL).stat().st_size, "layers": None, "plugin_layers": None},
        "max_departure": 1e-8,
        "max_map_drop": 0.005,
        **changed,
    }
    stem = name or f"{content['target']}-{content['precision']}"
    (path / f"{stem}.json").write_text(json.dumps(content))


def _instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)
