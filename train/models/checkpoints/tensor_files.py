"""Reading and writing tensor files without running code from them."""

from __future__ import annotations

import errno
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ....common.files.atomic import write_atomically
from ....common.files.open_files import open_regular
from ....common.files.targets import BUNDLE_MARKS
from ....common.foreign_text import escaped, shown_text
from ....common.formats.json_files import parse_json
from ....errors import ArtifactError, InputError
from .plain_pickle import OddTensor
from .safetensors_files import read_safetensors
from .torch_files import read_torch_file

#: Mark of our own files, in the header of .safetensors and next to the state dict of .pth.
MARK = "mambapro"


@dataclass(frozen=True)
class Content:
    """Content of a file: a state dict, or dictionaries around one; `header` as in TensorFile."""

    tree: Any
    header: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TensorFile:
    """Tensors of a file; `header` is the metadata of our own formats (empty for others)."""

    tensors: dict[str, Tensor]
    header: dict[str, Any] = field(default_factory=dict)


def read_tensors(path: Path) -> TensorFile:
    """Read the tensors of a `.safetensors`, `.pth`, `.pt` or `.bin` file onto the CPU.

    Raises:
        InputError: no such file, or not readable.
        ArtifactError: truncated, malicious, or not a file of tensors.
    """
    content = read_content(path)
    return TensorFile(only_tensors(content.tree, path), content.header)


def read_content(path: Path) -> Content:
    """Read the whole content of a tensor file, with the dictionaries that wrap the tensors.

    Nothing in the file is called or built.

    Raises:
        InputError: no such file, or not readable.
        ArtifactError: truncated or malicious.
    """
    require_checkpoint_file(path)
    with open_regular(path, "checkpoint") as file:
        if not os.fstat(file.fileno()).st_size:
            raise ArtifactError(f"{shown_text(path)} is empty (0 bytes). Copy or download it again.")
    if path.suffix == ".safetensors":
        tensors, beside = read_safetensors(path)
        return Content(tensors, _header(beside.get(MARK), path))
    tree = read_torch_file(path)
    if isinstance(tree, dict) and isinstance(tree.get(MARK), dict) and isinstance(tree.get("state_dict"), dict):
        return Content(tree["state_dict"], tree[MARK])
    return Content(tree)


def require_checkpoint_file(path: Path) -> None:
    """Raise InputError if there is no file at `path`; a folder is named as what it is."""
    # os.path's do not raise for names that are too long
    if not os.path.lexists(path):
        raise InputError(f"No checkpoint at {shown_text(path)}. Give the path of a .pth or .safetensors file.")
    if os.path.isdir(path):  # noqa: PTH112
        bundle = all((path / name).is_file() for name in BUNDLE_MARKS)
        kind = "a bundle, which was exported from a checkpoint" if bundle else "a folder"
        raise InputError(f"{shown_text(path)} is {kind}. As a checkpoint give the path of a .pth or .safetensors file.")


def _header(text: str | None, path: Path) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        header = parse_json(text)
    except ValueError as error:
        raise ArtifactError(f"{shown_text(path)}: its {MARK} header is not JSON: {shown_text(error)}.") from error
    if not isinstance(header, dict):
        raise ArtifactError(f"{shown_text(path)} is no readable checkpoint: its {MARK} header is no object.")
    return header


def only_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Return `content` if it is a state dict, that is, a dict of tensors by name.

    Raises:
        ArtifactError: it is not; the message describes it.
    """
    shown = shown_text(path)
    if not isinstance(content, dict):
        raise ArtifactError(f"{shown} holds a {type(content).__name__}, not a state dict of named tensors.")
    if not content:
        raise ArtifactError(f"{shown} holds an empty state dict.")
    for key, value in content.items():
        if not isinstance(key, str):
            raise ArtifactError(f"{shown} is no state dict: its key {shown_text(key)} is no name.")
        if isinstance(value, OddTensor):
            raise ArtifactError(
                f"{shown}: {shown_text(key)} is {value.kind}; dense tensors of float or whole numbers are read. "
                "Convert it before saving, for example with to_dense() or dequantize()."
            )
        if not isinstance(value, Tensor):
            raise ArtifactError(
                f"{shown} is no plain state dict: entry {shown_text(key)} is a {type(value).__name__}, not a tensor."
            )
    return content


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any] | None, overwrite: bool) -> None:
    """Write tensors to `.safetensors` or `.pth`, atomically; `header` must be plain JSON, None omits it.

    Raises:
        InputError: another suffix, or the file exists and `overwrite` is false.
        SetupError: the disk is full.
    """
    header = _plain(header)
    if path.suffix == ".safetensors":
        data = {key: value.contiguous() for key, value in tensors.items()}
        marks = None if header is None else {MARK: json.dumps(header)}
        write_atomically(path, lambda file: _save_safetensors(data, file, marks), overwrite=overwrite)
    elif path.suffix == ".pth":
        content: Any = tensors if header is None else {MARK: header, "state_dict": tensors}
        write_atomically(path, lambda file: save_pickle(content, file), overwrite=overwrite)
    else:
        raise InputError(f"Cannot save a checkpoint as {escaped(path.name)}: give it the suffix .safetensors or .pth.")


def _plain(header: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a header as JSON restores it; values that JSON cannot hold are rejected."""
    try:
        return None if header is None else json.loads(json.dumps(header, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"What is stored beside the weights must be plain JSON: {error}.") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def save_pickle(content: Any, file: Path) -> None:
    """Call torch.save; a failed write is raised as its OSError."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        # torch's writer reports a failed write without its reason; in practice the disk is full
        raise OSError(errno.ENOSPC, f"the file could not be written ({_first_line(error)})") from error


def _save_safetensors(data: dict[str, Tensor], file: Path, marks: dict[str, str] | None) -> None:
    try:
        save_file(data, file, metadata=marks)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, _first_line(error)) from error
