"""Reading both formats of torch.save within limits, without running code."""

from __future__ import annotations

import io
import math
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ....common.files.open_files import open_regular
from ....common.foreign_text import shown_text
from ....common.formats.plain_pickles import PlainPickleError, shown_reason
from ....common.formats.size_limits import ADVICE, size_limit
from ....common.formats.zip_files import ZIP_ERRORS, open_zip
from ....errors import ArtifactError
from .plain_pickle import LARGEST, OddTensor, StoredTensor, StoredValues, limited, read_plain

#: Most entries of an archive; a tensor has one.
_MEMBERS = 2**16
#: Bytes that a small archive may unpack to; a large one to twice its own size. PyTorch does not compress.
_CONTENT = 256 * 2**20
#: First value of the older format.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_HEADER_BYTES = 30

_ERRORS = (*ZIP_ERRORS, TypeError, AttributeError, IndexError, pickle.UnpicklingError, RecursionError)


class TorchScriptError(ArtifactError):
    """TorchScript archive, which holds code."""


def read_torch_file(path: Path) -> Any:
    """Read dicts, lists, tuples, text, numbers and CPU tensors from a torch.save file; others as `OddTensor`.

    Raises:
        InputError: no such file, or not readable.
        ArtifactError: damaged, beyond a limit, or with content that would be called or built.
    """
    with open_regular(path, "checkpoint") as file:
        try:
            start = file.read(4)
            file.seek(0)
            if start.startswith(b"PK\x03\x04"):
                return _read_archive(file, path)
            return _read_legacy(file)
        except PlainPickleError as error:
            raise _not_plain(path, error) from error
        except _ERRORS as error:
            raise _damaged(path, error) from error


def _not_plain(path: Path, error: PlainPickleError) -> ArtifactError:
    if not error.name:
        return ArtifactError(f"{shown_text(path)} is refused: {shown_reason(error)}.")
    return ArtifactError(
        f"{shown_text(path)} holds more than tensors and was refused, because reading it could run code. It names "
        f"{shown_text(error.name)}. Where you trust its source, load it there and save the state dict alone: "
        "torch.save(model.state_dict(), path)."
    )


def _damaged(path: Path, error: Exception) -> ArtifactError:
    reason = shown_reason(error)
    advice = ADVICE if "unpacks to" in reason else "Copy it again."
    return ArtifactError(f"{shown_text(path)} is truncated or no PyTorch file: {reason}. {advice}")


def _read_archive(file: BinaryIO, path: Path) -> Any:
    """Read the current format: a zip archive with the pickle and one file per storage."""
    length = os.fstat(file.fileno()).st_size
    with open_zip(file, _MEMBERS, size_limit(max(_CONTENT, 2 * length))) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("it has no data.pkl")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in entries:
            raise TorchScriptError(
                f"{shown_text(path)} is a TorchScript archive: reading it runs code from the file. Save the state dict "
                "alone: torch.save(model.state_dict(), path)."
            )
        limit = size_limit(LARGEST)
        if entries[pickles[0]].file_size > limit:
            raise ValueError(f"its data.pkl unpacks to more than {limit:,} bytes")
        content = read_plain(limited(io.BytesIO(archive.read(pickles[0])), limit))
        order = archive.read(f"{root}byteorder")[:8] if f"{root}byteorder" in entries else b"little"

        def load(values: StoredValues) -> Tensor:
            """Read one storage."""
            assert values.type is not None
            entry = entries.get(f"{root}data/{values.key}")
            if entry is None or entry.file_size < values.count * values.type.itemsize:
                raise ValueError(f"the values of {shown_text(values.key, 40)} are incomplete")
            raw = _entry_bytes(file, archive, entry, values.count * values.type.itemsize)
            if order == b"big":
                raw.untyped_storage().byteswap(values.type)
            return raw.view(values.type)

        return _resolved(content, _Storages(load))


def _entry_bytes(file: BinaryIO, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, size: int) -> Tensor:
    """Read the first `size` bytes of an entry, uint8."""
    raw = torch.empty(size, dtype=torch.uint8)
    target = raw.numpy().data
    if entry.compress_type != zipfile.ZIP_STORED:
        with archive.open(entry) as stream:
            _fill(target, stream)
        return raw
    # without zipfile, whose checksum torch.load ignores and which takes longer than reading
    file.seek(entry.header_offset)
    header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(b"PK\x03\x04"):
        raise ValueError("an entry is not where its directory says")
    file.seek(sum(struct.unpack_from("<HH", header, 26)), os.SEEK_CUR)
    _fill(target, file)
    return raw


def _fill(target: memoryview, stream: Any) -> None:
    done = 0
    while done < len(target):
        # in parts, so that Ctrl-C works between them
        count = stream.readinto(target[done : done + 2**24])
        if not count:
            raise EOFError("it ends early")
        done += count


def _read_legacy(file: BinaryIO) -> Any:
    """Read the format before 2020: consecutive pickles, then the values of each storage."""
    part = limited(file, size_limit(LARGEST))
    if read_plain(part) != _MAGIC or read_plain(part) != _PROTOCOL:
        raise PlainPickleError("it is no file of torch.save")
    read_plain(part)  # sizes of the machine's own integers
    content = read_plain(part)
    keys = read_plain(part)
    if type(keys) is not list or not all(isinstance(key, str) for key in keys):
        raise ValueError("its list of values is no list of names")
    if (odd := _odd(content)) is not None:
        # the size of its values is unknown, so nothing after them can be read
        raise PlainPickleError(f"it holds {odd.kind}; save dense tensors of float or whole numbers")
    stored: dict[str, StoredValues] = {}
    _collect(content, stored)
    end = os.fstat(file.fileno()).st_size
    tensors: dict[StoredValues, Tensor] = {}
    for key in keys:
        values = stored.get(key)
        (count,) = struct.unpack("<q", file.read(8))
        if values is None or values.type is None or count != values.count:
            raise ValueError(f"the values of {shown_text(key, 40)} are not those of its tensors")
        size = count * values.type.itemsize
        if size > end - file.tell():
            raise EOFError("it ends early")
        raw = torch.empty(size, dtype=torch.uint8)
        _fill(raw.numpy().data, file)
        tensors[values] = raw.view(values.type)
    return _resolved(content, _Storages(tensors.__getitem__))


def _collect(content: Any, stored: dict[str, StoredValues]) -> None:
    """Collect every storage that tensors of a tree are views of."""
    if isinstance(content, StoredTensor):
        if stored.setdefault(content.values.key, content.values) != content.values:
            raise ValueError("two tensors disagree about their values")
    elif isinstance(content, dict | list | tuple):
        for one in content.values() if isinstance(content, dict) else content:
            _collect(one, stored)


def _odd(content: Any) -> OddTensor | None:
    """Return the first unsupported tensor of a tree, None if there is none."""
    if isinstance(content, dict | list | tuple):
        children = content.values() if isinstance(content, dict) else content
        return next((odd for child in children if (odd := _odd(child)) is not None), None)
    if isinstance(content, StoredValues):
        return OddTensor("a bare storage")
    return content if isinstance(content, OddTensor) else None


class _Storages:
    """Storages by key, each read once, so that tensors keep sharing them."""

    def __init__(self, load: Any) -> None:
        self._load, self._known = load, dict[str, tuple[StoredValues, Tensor]]()

    def tensor(self, description: StoredTensor) -> Tensor:
        """Build the tensor of a description, after comparing it with the storage."""
        values = description.values
        _check_view(description)
        if values.key not in self._known:
            self._known[values.key] = values, self._load(values)
        stored, flat = self._known[values.key]
        if stored != values:
            raise ValueError("two tensors disagree about their values")
        return flat.as_strided(description.shape, description.strides, description.offset)


def _check_view(tensor: StoredTensor) -> None:
    """Check that a view lies in its storage and repeats no value: few bytes could otherwise claim any size."""
    count = math.prod(tensor.shape)
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if count and last >= tensor.values.count:
        raise PlainPickleError("a tensor is larger than its values")
    if count > tensor.values.count or any(size > 2**40 for size in tensor.shape):
        raise PlainPickleError(
            f"a tensor of shape {shown_text(tensor.shape, 80)} repeats {tensor.values.count:,} stored values; save a "
            "contiguous copy of it"
        )


def _resolved(content: Any, storages: _Storages) -> Any:
    """Return the tree with tensors in place of their descriptions."""
    if isinstance(content, StoredTensor):
        return storages.tensor(content)
    if isinstance(content, dict):
        return {key: _resolved(value, storages) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_resolved(value, storages) for value in content)
    return _odd(content) or content
