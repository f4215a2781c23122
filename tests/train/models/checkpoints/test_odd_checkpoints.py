"""Checkpoints of others: hostile, damaged and odd ones are a named error at once, and nothing in them runs."""

from __future__ import annotations

import os
import socket
import time
import zipfile
from pathlib import Path

import odd_checkpoints
import pytest
import torch
from mambapro.common.formats.size_limits import VARIABLE
from mambapro.errors import ArtifactError, InputError
from mambapro.train.models.checkpoints import torch_files
from mambapro.train.models.checkpoints.tensor_files import read_content, read_tensors
from mambapro.train.models.checkpoints.torch_files import read_torch_file
from mambapro.train.models.checkpoints.weights import load_checkpoint
from odd_zips import archive


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every odd checkpoint."""
    folder = tmp_path_factory.mktemp("odd")
    odd_checkpoints.write_all(folder)
    return folder


def peak() -> int:
    """Most bytes this process held since the peak was set back, which this does too."""
    text = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return 1024 * int(text.split("VmHWM:")[1].split()[0])


class TestCorpus:
    @pytest.mark.timeout(120)
    def test_every_file_is_refused(self, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error of ours, short and printable, in seconds and within 300 MB; no folder, which code would make."""
        monkeypatch.chdir(tmp_path)
        paths, odd = sorted(corpus.iterdir()), {}
        peak()
        before = peak()

        for path in paths:
            started = time.monotonic()
            with pytest.raises((ArtifactError, InputError)) as caught:
                load_checkpoint(path, (64, 32))
            text = str(caught.value)
            if time.monotonic() - started > 10 or len(text) > 3000 or not text.replace("\n", "").isprintable():
                odd[path.name] = text[:300]

        assert len(paths) > 100
        assert odd == {}
        assert peak() - before < 300e6
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("name", "words"),
        (
            ("zip_code.pth", "could run code. It names .*mkdir"),
            ("bare_long_name.pth", r"It names a{200}\.\.\. \(2,?999,?802 more"),
            ("zip_hash_of_nested_key.pth", "a key is a tuple"),
            ("bare_doubled_value.pth", "more than 500,000 values"),
            ("zip_large_bytearray.pth", "builtins.bytearray"),
            ("bomb.pt", f"unpacks to 300,000,000 bytes; at most 268,435,456.*{VARIABLE}"),
            ("claimed_values.pt", f"unpacks to 2,147,483,.*{VARIABLE}"),
            ("many_entries.pt", "entries; at most 65,536"),
            ("directory_of_4_gib.pt", "its directory has 4,294,967,294 bytes"),
            ("short_values.pt", "values of 0 are incomplete"),
            ("repeated_new.bin", r"\(1000000000000,\) repeats 1 stored values"),
            ("overlapping_old.bin", r"\(1000, 1000\) repeats 2,000 stored values"),
            ("sparse_new.bin", rf"{odd_checkpoints.KEY} is a sparse tensor"),
            ("quantised_new.bin", rf"{odd_checkpoints.KEY} is a quantised tensor"),
            ("meta_new.bin", rf"{odd_checkpoints.KEY} is a tensor without values"),
            ("meta_old.bin", "a tensor without values"),
            ("huge_shape.safetensors", "has no possible shape"),
            ("beyond_the_end.safetensors", "are not that of the file"),
            ("endless_number.safetensors", "1,000,000 digits"),
            ("nested_header.safetensors", "nested too deep"),
        ),
    )
    def test_the_reason_is_told(self, name: str, words: str, corpus: Path) -> None:
        """The message names what is wrong with the file."""
        with pytest.raises(ArtifactError, match=words):
            read_tensors(corpus / name)

    @pytest.mark.timeout(20)
    def test_only_regular_files_are_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """FIFO, socket, device and folder are named; none of them blocks."""
        monkeypatch.chdir(tmp_path)
        os.mkfifo("fifo.pth")
        Path("folder.safetensors").mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket.pth")
            for name, word in (
                ("fifo.pth", "a FIFO"),
                ("folder.safetensors", "a folder"),
                ("socket.pth", "a socket"),
                ("/dev/zero", "a device"),
                ("nul\0.pth", "No checkpoint at"),
            ):
                with pytest.raises(InputError, match=word):
                    load_checkpoint(name, (64, 32))


class TestWhatTorchWrites:
    @pytest.mark.parametrize("new", (True, False))
    def test_values_views_and_types(self, new: bool, tmp_path: Path) -> None:
        """Both formats come back as torch.load reads them, bit for bit, with the same strides and shared values."""
        base = torch.randn(10, 20)
        linear = torch.nn.Linear(3, 4)
        optimizer = torch.optim.Adam(linear.parameters())
        linear(torch.randn(5, 3)).sum().backward()
        optimizer.step()
        content = {
            "whole": base,
            "transposed": base.T,
            "part": base[2:4],
            **{str(kind): base.to(kind) for kind in (torch.float64, torch.float16, torch.bfloat16, torch.int8)},
            **{str(kind): base.gt(0).to(kind) for kind in (torch.bool, torch.uint8, torch.int16, torch.int32)},
            "counter": torch.tensor(7),
            "empty": torch.empty(0, 3),
            "parameter": torch.nn.Parameter(base),
            "module": linear.state_dict(),
            "optimizer": optimizer.state_dict(),
            "plain": [None, True, 1, 2.5, "text", (1, 2), {"a": torch.Size([1, 2])}],
        }
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=new)

        found = read_torch_file(tmp_path / "a.pth")

        assert_same(found, torch.load(tmp_path / "a.pth", weights_only=True))
        assert found["part"].untyped_storage().data_ptr() == found["whole"].untyped_storage().data_ptr()

    def test_compressed_and_big_endian(self, tmp_path: Path) -> None:
        """An archive that was packed again is read, and one of a big-endian machine."""
        values = torch.arange(6.0)
        torch.save({"a": values}, tmp_path / "a.pth")
        with zipfile.ZipFile(tmp_path / "a.pth") as file:
            entries = {info.filename: file.read(info) for info in file.infolist()}
        archive(tmp_path / "packed.pth", entries, zipfile.ZIP_DEFLATED)
        data = next(name for name in entries if name.endswith("data/0"))
        order = next(name for name in entries if name.endswith("byteorder"))
        swapped = values.numpy().astype(">f4").tobytes()
        archive(tmp_path / "big.pth", {**entries, data: swapped, order: b"big"})

        for name in ("packed.pth", "big.pth"):
            assert torch.equal(read_torch_file(tmp_path / name)["a"], values)

    def test_the_limit_can_be_raised(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that unpacks to more than is allowed is read where the option says so."""
        torch.save({"a": torch.zeros(10**6)}, tmp_path / "a.pth")
        with zipfile.ZipFile(tmp_path / "a.pth") as file:
            entries = {info.filename: file.read(info) for info in file.infolist()}
        packed = archive(tmp_path / "packed.pth", entries, zipfile.ZIP_DEFLATED)
        monkeypatch.setattr(torch_files, "_CONTENT", 10**6)

        with pytest.raises(ArtifactError, match=VARIABLE):
            read_content(packed)
        monkeypatch.setenv(VARIABLE, "0.01")

        assert torch.equal(read_content(packed).tree["a"], torch.zeros(10**6))


def assert_same(found: object, expected: object) -> None:
    """Equal trees of plain values and tensors."""
    if isinstance(expected, torch.Tensor):
        assert isinstance(found, torch.Tensor)
        assert (found.dtype, found.stride()) == (expected.dtype, expected.stride())
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert isinstance(found, dict) and list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list | tuple):
        assert isinstance(found, list | tuple) and len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert (type(found), found) == (type(expected), expected)
