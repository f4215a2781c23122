"""Which GPUs a plugin library serves, read from containers of device code that are made here byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from mambapro.errors import SetupError
from mambapro.export.engines.library_gpus import library_gpus, require_gpus

PTX, MACHINE_CODE = 1, 2


def entry(kind: int, architecture: int, body: int = 24) -> bytes:
    """A head of 64 bytes, the architecture at 28, and a body."""
    head = struct.pack("<HHIQ", kind, 0, 64, body).ljust(28, b"\0") + struct.pack("<I", architecture)
    return head.ljust(64, b"\0") + b"\x5a" * body


def container(*entries: bytes) -> bytes:
    """Magic number, version, length of the head, then how many bytes follow."""
    content = b"".join(entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(content)) + content


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Machine code of 8.0 and 8.6 in one container, PTX of 9.0 in another, among other bytes."""
    path = tmp_path / "scan.so"
    first = container(entry(MACHINE_CODE, 80), entry(MACHINE_CODE, 86, 100))
    path.write_bytes(b"\x7fELF" + b"x" * 77 + first + b"y" * 33 + container(entry(PTX, 90), entry(7, 61)) + b"z")
    return path


def test_machine_code_and_ptx_are_told_apart(library: Path) -> None:
    """Every entry of every container counts; kinds that are neither do not."""
    assert library_gpus(library) == ({80, 86}, {90})


@pytest.mark.parametrize("capability", ["8.0", "8.6", "8.9", "9.0", "12.0"])
def test_gpus_that_it_serves(library: Path, capability: str) -> None:
    """Machine code serves its own and later GPUs of the major version, PTX all from its own on."""
    require_gpus(library, (capability,))


@pytest.mark.parametrize("capability", ["7.5", "6.1"])
def test_gpus_that_it_does_not(library: Path, capability: str) -> None:
    """Neither earlier GPUs nor those of another major version; all of the asked ones must be served."""
    with pytest.raises(SetupError, match=rf"8\.0, 8\.6, 9\.0, not for {capability}"):
        require_gpus(library, ("8.6", capability))


def test_machine_code_of_another_major_version(tmp_path: Path) -> None:
    """Machine code of 8.6 alone runs neither on 9.0 nor on 8.0."""
    path = tmp_path / "scan.so"
    path.write_bytes(container(entry(MACHINE_CODE, 86)))

    require_gpus(path, ("8.6", "8.9"))
    for capability in ("8.0", "9.0", "12.0"):
        with pytest.raises(SetupError, match=f"not for {capability}"):
            require_gpus(path, (capability,))


def test_no_device_code(tmp_path: Path) -> None:
    """A library without any is for no GPU."""
    (tmp_path / "scan.so").write_bytes(b"\x7fELF" + b"x" * 100)

    with pytest.raises(SetupError, match=r"for compute capability no GPU at all, not for 8\.6"):
        require_gpus(tmp_path / "scan.so", ("8.6",))
