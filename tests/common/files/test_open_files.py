"""Files that others made: what is no regular file is told at once, never opened; sizes are refused unread."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from mambapro.common.files.open_files import open_regular, read_limited, require_regular
from mambapro.errors import ArtifactError, InputError


class TestOpenRegular:
    def test_content(self, tmp_path: Path) -> None:
        """A file, and a link to one, open."""
        (tmp_path / "a").write_bytes(b"abc")
        (tmp_path / "link").symlink_to("a")

        with open_regular(tmp_path / "link") as file:
            assert file.read() == b"abc"

    @pytest.mark.timeout(10)
    def test_fifo(self, tmp_path: Path) -> None:
        """A FIFO is refused without waiting for a writer."""
        os.mkfifo(tmp_path / "x.jpg")

        with pytest.raises(InputError, match=r"image .*x\.jpg is a FIFO"), open_regular(tmp_path / "x.jpg", "image"):
            pass

    def test_socket_folder_device(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Other things are named."""
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
            for path, word in (("socket", "a socket"), (tmp_path, "a folder"), ("/dev/zero", "a device")):
                with pytest.raises(ArtifactError, match=word), open_regular(path, kind=ArtifactError):
                    pass

    @pytest.mark.parametrize("name", ["a\0b", "x" * 300, "missing", "\udce9"])
    def test_impossible_names(self, tmp_path: Path, name: str) -> None:
        """NUL, too long, missing, undecodable: an error of ours that can be printed."""
        with pytest.raises(InputError) as error, open_regular(tmp_path / name):
            pass

        assert str(error.value).isprintable()
        assert require_regular(__file__) == Path(__file__)


class TestReadLimited:
    def test_size_is_refused_before_it_is_read(self, tmp_path: Path) -> None:
        """A sparse file of a terabyte costs nothing."""
        with (tmp_path / "sparse").open("wb") as file:
            file.truncate(1 << 40)

        with pytest.raises(InputError, match="1,099,511,627,776 bytes; at most 10"):
            read_limited(tmp_path / "sparse", 10)

    def test_up_to_the_limit(self, tmp_path: Path) -> None:
        """The limit itself is allowed."""
        (tmp_path / "a").write_bytes(b"abc")

        assert read_limited(tmp_path / "a", 3) == b"abc"
        with pytest.raises(InputError, match="at most 2"):
            read_limited(tmp_path / "a", 2)
