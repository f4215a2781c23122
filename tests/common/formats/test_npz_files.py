"""npz files of others: what would take memory, run code or has no plain header is refused before it is unpacked."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import odd_npz
import pytest
from mambapro.common.formats.npz_files import read_npz
from mambapro.common.formats.size_limits import VARIABLE
from mambapro.errors import ArtifactError, InputError
from odd_npz import FINE
from odd_zips import archive, npy


class TestReadNpz:
    @pytest.mark.parametrize("save", (np.savez, np.savez_compressed))
    def test_what_numpy_writes(self, save, tmp_path: Path) -> None:
        """Arrays of numbers, truth values and text come back bit for bit, empty ones and Fortran order too."""
        arrays = {
            "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,
            "b": np.array(["x", "yy"]),
            "c": np.zeros((0, 4), np.uint8),
            "d": np.array(True),
            "in/side": np.arange(3, dtype=">i2"),
        }
        save(tmp_path / "a.npz", **arrays)

        found = read_npz(tmp_path / "a.npz")

        assert list(found) == list(arrays)
        for name, value in arrays.items():
            assert found[name].dtype == value.dtype and found[name].flags.f_contiguous == value.flags.f_contiguous
            np.testing.assert_array_equal(found[name], value)

    def test_a_bomb_is_refused_unread(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Sizes in the zip directory decide, whatever the file's own size; the option allows more."""
        content = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (50000000,)}", bytes(50_000_000))
        path = archive(tmp_path / "bomb.npz", {"a.npy": content}, zipfile.ZIP_DEFLATED)
        del content
        tracemalloc.start()

        with pytest.raises(ArtifactError, match=rf"unpacks to 50,000,\d+ bytes; at most 1,000,000.*{VARIABLE}"):
            read_npz(path, content=10**6)

        assert tracemalloc.get_traced_memory()[1] < 10**7
        tracemalloc.stop()
        monkeypatch.setenv(VARIABLE, "0.1")
        assert read_npz(path, content=10**6)["a"].shape == (50_000_000,)

    def test_a_directory_of_many_entries(self, tmp_path: Path) -> None:
        """Their number is limited, and a directory that is too long for it is not read."""
        path = archive(tmp_path / "many.npz", {f"{i}.npy": b"" for i in range(2000)})

        with pytest.raises(ArtifactError, match="2,000 entries; at most 1,000"):
            read_npz(path, members=1000)
        with pytest.raises(ArtifactError, match="directory has"):
            read_npz(path, members=10)

    @pytest.mark.parametrize("name", odd_npz.ENTRIES)
    def test_odd_headers(self, name: str, tmp_path: Path) -> None:
        """Objects, records, nested, endless, contradicting and foreign headers are one named, printable error."""
        assert read_npz(archive(tmp_path / "fine.npz", {"fine.npy": FINE}))["fine"].tolist() == [97, 98]
        path = archive(tmp_path / "odd.npz", {"fine.npy": FINE, "odd.npy": odd_npz.ENTRIES[name]})

        with pytest.raises(ArtifactError, match=r"golden batch .*odd\.npz cannot be read") as caught:
            read_npz(path, "golden batch")

        assert str(caught.value).isprintable() and len(str(caught.value)) < 800

    def test_odd_archives(self, tmp_path: Path) -> None:
        """No zip, cut, another compression, encrypted, an entry twice or of another kind: an error each."""
        buffer = io.BytesIO()
        np.savez(buffer, a=np.zeros(9))
        whole = buffer.getvalue()
        entry = whole.rfind(b"PK\x01\x02")
        method, flags = (bytearray(whole) for _ in range(2))
        method[entry + 10] = 99
        flags[entry + 8] |= 1
        with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "twice", "w") as twice:
            twice.writestr("a.npy", FINE)
            twice.writestr("a.npy", FINE)
        odd = {"text": b"text", "cut": whole[:-30], "method": bytes(method), "encrypted": bytes(flags), "none": b""}
        for name, content in odd.items():
            (tmp_path / name).write_bytes(content)
        archive(tmp_path / "other", {"a.txt": b"text"})

        for name in (*odd, "twice", "other"):
            with pytest.raises(ArtifactError, match=f"{name} cannot be read"):
                read_npz(tmp_path / name)

    @pytest.mark.timeout(10)
    def test_no_regular_file(self, tmp_path: Path) -> None:
        """A FIFO is not opened, a missing file is named."""
        os.mkfifo(tmp_path / "a.npz")

        for name, word in (("a.npz", "a FIFO"), ("b.npz", "There is no")):
            with pytest.raises(ArtifactError, match=word):
                read_npz(tmp_path / name)

    @pytest.mark.parametrize("value", ("much", "-1", "nan", "inf"))
    def test_the_option_must_be_a_number(self, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A variable that is no positive number is told, not ignored."""
        monkeypatch.setenv(VARIABLE, value)

        with pytest.raises(InputError, match=VARIABLE):
            read_npz(tmp_path / "a.npz")
