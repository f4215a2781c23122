"""Checkpoints that are damaged, hostile or merely odd; every function writes its files into a folder."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from odd_zips import archive, patched

#: A key that makes a file look like a checkpoint of the authors.
KEY = "BACKBONE.base.conv1.weight"


def write_all(folder: Path) -> list[Path]:
    """Every odd checkpoint: .pth, .pt, .bin and .safetensors."""
    return [*write_pickles(folder), *write_safetensors(folder), *write_odd_tensors(folder)]


def write_pickles(folder: Path) -> list[Path]:
    """Bare pickles and archives whose pickle or directory is hostile or damaged."""
    paths = []
    for name, content in _pickles().items():
        bare = folder / f"bare_{name}.pth"
        bare.write_bytes(content)
        paths += [bare, archive(folder / f"zip_{name}.pth", {"a/data.pkl": content, "a/version": b"3\n"})]
    for name, content in _archives():
        path = folder / f"{name}.pt"
        path.write_bytes(content)
        paths.append(path)
    return paths


def _pickles() -> dict[str, bytes]:
    """Pickles that call, claim or nest; each a few bytes or a few megabytes."""

    class Call:
        def __reduce__(self) -> tuple:
            return os.mkdir, ("this_folder_was_made_by_a_pickle",)

    def of(body: bytes) -> bytes:
        return b"\x80\x02" + body + b"."

    # a tuple that holds the one before twice, sixty times over
    doubled = b")q\x000" + b"".join(b"h%ch%c\x86q%c0" % (i, i, i + 1) for i in range(60)) + b"h%c" % 60
    size = struct.pack("<q", 40 * 10**9)
    return {
        "code": pickle.dumps({KEY: Call()}),
        "long_name": of(b"c" + b"a" * 3_000_000 + b"\nb\n"),
        "dotted_name": of(b"c" + b"a." * 1_500_000 + b"\nb\n"),
        "hash_of_nested_key": of(b"}" + doubled + b"K\x01s"),
        "doubled_value": of(b"}X\x01\x00\x00\x00a" + doubled + b"s"),
        "nested_lists": of(b"}X\x01\x00\x00\x00a" + b"]" * 100_000 + b"a" * 99_999 + b"s"),
        "large_bytearray": of(b"}U\x01acbuiltins\nbytearray\n\x8a\x05" + size[:5] + b"\x85Rs"),
        "large_string": of(b"X\xff\xff\xff\xff"),
        "large_number": of(b"\x8b\xff\xff\xff\x7f"),
        "large_frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"}.",
        "far_memo": of(b"}r\xff\xff\xff\xff"),
        "codec": of(b"c_codecs\nencode\nX\x01\x00\x00\x00aU\x08punycode\x86R"),
        "no_storage": of(b"}X\x01\x00\x00\x00a(U\x07storageK\x01tQs"),
        "number": of(b"K\x05"),
        "deep_import": of(b"ctorch._inductor.utils\nrun_and_get_code\n)R"),
        "empty": b"",
        "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
    }


def _saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _zipped(entries: dict[str, bytes], compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression, compresslevel=1) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return buffer.getvalue()


def _archives() -> Iterator[tuple[str, bytes]]:
    """Archives whose directory, entries or claims are wrong."""
    whole = _saved({KEY: torch.arange(64.0).reshape(8, 8)})
    entry, end = whole.find(b"PK\x01\x02"), whole.rfind(b"PK\x05\x06")
    for part in (3, 30, 200, len(whole) // 2, len(whole) - 5):
        yield f"cut_{part}", whole[:part]
    yield "encrypted", patched(whole, entry + 8, b"\x01")
    yield "compression_99", patched(whole, entry + 10, b"\x63")
    yield "entry_elsewhere", patched(whole, entry + 42, struct.pack("<I", len(whole) - 10))
    yield "directory_of_4_gib", patched(whole, end + 12, struct.pack("<I", 2**32 - 2))
    yield "bomb", _zipped({"a/data.pkl": bytes(300_000_000)}, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        entries = {info.filename: file.read(info) for info in file.infolist()}
    root = next(iter(entries)).split("/")[0]
    data = f"{root}/data/0"
    yield "many_entries", _zipped({**entries, **{f"{root}/data/x{i}": b"" for i in range(70_000)}}, zipfile.ZIP_STORED)
    yield "short_values", _zipped({**entries, data: entries[data][:-4]}, zipfile.ZIP_STORED)
    yield "no_values", _zipped({name: content for name, content in entries.items() if name != data}, zipfile.ZIP_STORED)
    packed = _zipped(entries, zipfile.ZIP_DEFLATED)
    place = packed.find(data.encode(), packed.find(b"PK\x01\x02")) - 46
    yield "claimed_values", patched(packed, place + 24, struct.pack("<I", 2**31))


def write_odd_tensors(folder: Path) -> list[Path]:
    """State dicts whose tensors are no dense ones, or no state dicts at all, in both formats of torch.save."""
    paths = []
    for name, content in _odd_contents():
        for new in (True, False):
            path = folder / f"{name}_{'new' if new else 'old'}.bin"
            torch.save(content, path, _use_new_zipfile_serialization=new)
            paths.append(path)
    return paths


def _odd_contents() -> Iterator[tuple[str, object]]:
    base = torch.arange(12.0).reshape(3, 4)
    odd = {
        "sparse": base.to_sparse(),
        "quantised": torch.quantize_per_tensor(base, 1.0, 0, torch.qint8),
        "meta": torch.empty(3, 4, device="meta"),
        "float8": base.to(torch.float8_e4m3fn),
        "complex": torch.complex(base, base),
        "repeated": torch.zeros(1).expand(10**12),
        "overlapping": torch.zeros(2000).as_strided((1000, 1000), (1, 1)),
        "whole_numbers": base.long(),
        "scalar": torch.tensor(1.0),
        "none": torch.zeros(0, 3, 16, 16),
    }
    for name, value in odd.items():
        yield name, {KEY: value}
    nested: dict = {KEY: base}
    for _ in range(40):
        nested = {"state_dict": nested}
    yield "nested", nested
    yield "list", [{KEY: base}]
    yield "tensor", base
    yield "number_keys", {0: base}
    yield "empty_dict", {}
    yield "escapes", {"\x1b[2J\x1b[31m" + "k" * 100_000: base}
    yield "nul", {"a\0b": base, "\ud800": base}
    yield (
        "header",
        {"mambapro": {"version": 1, "config": {"depth": 10**9, "image_size": [10**5] * 2}}, "state_dict": {}},
    )
    yield "header_of_lists", {"mambapro": {"version": [[]], "config": [[[]]]}, "state_dict": {KEY: base}}


def write_safetensors(folder: Path) -> list[Path]:
    """Headers that claim, nest or contradict the file."""
    paths = []
    for name, header in _headers().items():
        path = folder / f"{name}.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
        paths.append(path)
    for name, content in {
        "short": b"\x01",
        "length_of_exabytes": struct.pack("<Q", 2**60) + b"{}",
        "length_beyond": struct.pack("<Q", 100) + b"{}",
        "no_bytes": b"",
    }.items():
        path = folder / f"{name}.safetensors"
        path.write_bytes(content)
        paths.append(path)
    return paths


def _headers() -> dict[str, bytes]:
    def one(dtype: object = "F32", shape: object = (4,), offsets: object = (0, 16)) -> bytes:
        return json.dumps({KEY: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()

    return {
        "nested_header": b'{"a":' + b"[" * 2000,
        "deep_header": b'{"a":' * 100_000,
        "endless_number": b'{"a": ' + b"9" * 1_000_000 + b"}",
        "many_tensors": b"{" + b",".join(b'"%d":[]' % i for i in range(100_000)) + b"}",
        "huge_shape": one(shape=(2**62, 2**62, 0), offsets=(0, 0)),
        "huge_empty_shape": one(shape=(2**39, 0), offsets=(0, 0)),
        "negative_shape": one(shape=(-2, -2)),
        "beyond_the_end": one(shape=(2**30,), offsets=(0, 2**32)),
        "backwards": one(offsets=(16, 0)),
        "another_type": one("F8_E4M3", (16,)),
        "number_as_type": one(5),
        "text_as_shape": one(shape="4"),
        "no_offsets": one(offsets=None),
        "list": b"[]",
        "metadata_of_numbers": b'{"__metadata__": {"mambapro": 5}}',
        "metadata_not_json": b'{"__metadata__": {"mambapro": "{"}}',
        "metadata_endless": b'{"__metadata__": {"mambapro": "' + b"[" * 90_000 + b'"}}',
        "not_utf8": b'{"\xff": 1}',
    }
