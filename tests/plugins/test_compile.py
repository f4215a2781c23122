"""The cache of compiled libraries: filled once, and clear about a folder that cannot be written."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from mambapro.errors import SetupError
from mambapro.plugins import compile as compiling
from mambapro.plugins.compile import cxx_compiler, shared_library


def test_compiled_once_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first use compiles and says so, the second takes what is there."""
    monkeypatch.setenv("MAMBAPRO_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "one.cpp"
    source.write_text('extern "C" int one() { return 1; }\n')

    with caplog.at_level(logging.INFO, "mambapro"):
        paths = [shared_library("one", [source], ["-fPIC"], cxx_compiler()) for _ in range(2)]

    assert paths[0] == paths[1] and paths[0].is_file()
    assert caplog.text.count("compiling libone.so, once") == 1


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SetupError names the folder and the variable that moves it."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("MAMBAPRO_CACHE", str(tmp_path / "file" / "cache"))
    source = tmp_path / "one.cpp"
    source.write_text("int one;\n")

    with pytest.raises(SetupError, match=r"which cannot be written \(Not a directory\)\. Let \$MAMBAPRO_CACHE"):
        shared_library("one", [source], [], cxx_compiler())


def test_what_a_killed_compiler_left_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler's temporary files are in the library's folder, and go with the next attempt and with its own end."""
    monkeypatch.setenv("MAMBAPRO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir(mode=0o700)
    source = tmp_path / "one.cpp"
    source.write_text("not C++")
    compiler = cxx_compiler()
    with pytest.raises(SetupError, match=r"compiling libone\.so failed"):
        shared_library("one", [source], ["-fPIC"], compiler)
    (folder,) = (tmp_path / "cache").iterdir()
    assert not (folder / "partial").exists()
    (folder / "partial").mkdir()
    (folder / "partial" / "ccabcdef.s").touch()
    source.write_text('extern "C" int one() { return 1; }')
    key = folder.name
    monkeypatch.setattr("mambapro.plugins.compile._fingerprint", lambda *_: key.removeprefix("one-"))

    library = shared_library("one", [source], ["-fPIC"], compiler)

    assert library.exists() and not (folder / "partial").exists()


def test_the_key_of_the_cache(tmp_path: Path) -> None:
    """Content of sources and of headers beside them, flags, and the compiler with its version make another library."""
    source, header, compiler = (tmp_path / name for name in ("one.cpp", "one.h", "cc"))
    found: list[str] = []

    def key(flags: tuple[str, ...] = ("-O2",), version: str = "1", text: str = "int a;", head: str = "") -> None:
        source.write_text(text)
        header.write_text(head)
        compiler.write_text(f"#!/bin/sh\necho {version}\n")
        compiler.chmod(0o755)
        found.append(compiling._fingerprint([source], flags, str(compiler)))

    key()
    key(flags=("-O3",))
    key(flags=("-O2", "-g"))
    key(version="2")
    key(text="int b;")
    key(head="#define A")
    assert len(set(found)) == 6

    key()
    assert found[-1] == found[0]
