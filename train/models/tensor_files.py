"""Reading and writing files of tensors without ever running code from them."""

from __future__ import annotations

import errno
import json
import pickle
import re
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...errors import ArtifactError, InputError
from ...runtime.files import write_atomically

#: Marks our own files, in the header of .safetensors and beside the state dict of .pth.
MARK = "mambapro"


@dataclass(frozen=True)
class TensorFile:
    """The tensors of a file; `header` is what our own formats store beside them (empty for others)."""

    tensors: dict[str, Tensor]
    header: dict[str, Any] = field(default_factory=dict)


def read_tensors(path: Path) -> TensorFile:
    """Tensors of a `.safetensors`, `.pth`, `.pt` or `.bin` file, on the CPU.

    Pickles are read with weights only: one that would run code is refused.

    Raises:
        InputError: no such file.
        ArtifactError: truncated, malicious, or not a file of tensors.
    """
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    if size is None:
        raise InputError(f"No checkpoint at {path}. Give the path of a .pth or .safetensors file.")
    if size == 0:
        raise ArtifactError(f"{path} is empty (0 bytes). Copy or download it again.")
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)


def _read_safetensors(path: Path) -> TensorFile:
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(MARK, "{}"))
            if not isinstance(header, dict):
                raise ValueError(f"its {MARK} header is no object")
            return TensorFile({key: file.get_tensor(key) for key in file.keys()}, header)  # noqa: SIM118
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise ArtifactError(f"{path} is no readable .safetensors file: {error}. Copy or download it again.") from error


def _read_pickle(path: Path) -> TensorFile:
    try:
        with warnings.catch_warnings():
            # torch warns of pickle protocols it refuses a moment later
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path) or "GLOBAL" in str(error) or _is_plain_pickle(path):
            # torch's own text goes on to advise reading it all the same
            found = re.search(r"GLOBAL:? ([\w.]+)", str(error))
            what = f" It names {found[1]}." if found else ""
            raise ArtifactError(
                f"{path} holds more than tensors and was refused, because reading it could run code.{what} "
                "Save the state dict alone: torch.save(model.state_dict(), path)."
            ) from error
        raise ArtifactError(f"{path} is truncated or no PyTorch file. Copy or download it again.") from error
    except Exception as error:  # a damaged archive fails in many ways, none of which is the caller's to tell apart
        raise ArtifactError(f"{path} is truncated or no PyTorch file: {_first_line(error)}. Copy it again.") from error
    if (
        isinstance(content, dict)
        and isinstance(content.get(MARK), dict)
        and isinstance(content.get("state_dict"), dict)
    ):
        return TensorFile(_only_tensors(content["state_dict"], path), content[MARK])
    return TensorFile(_only_tensors(content, path))


def _is_plain_pickle(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(1) == b"\x80"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _only_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(content, dict):
        raise ArtifactError(f"{path} holds a {type(content).__name__}, not a state dict of named tensors.")
    if not content:
        raise ArtifactError(f"{path} holds an empty state dict.")
    for key, value in content.items():
        if not isinstance(key, str):
            raise ArtifactError(f"{path} is no state dict: its key {key!r} is a {type(key).__name__}, not a name.")
        if not isinstance(value, Tensor):
            raise ArtifactError(
                f"{path} is no plain state dict: entry {key!r} is a {type(value).__name__}, not a tensor. "
                "Save the state dict alone: torch.save(model.state_dict(), path)."
            )
    return content


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any] | None, overwrite: bool) -> None:
    """Write tensors to `.safetensors` or `.pth`, atomically; `header` must be plain JSON, None leaves it out.

    Raises:
        InputError: another suffix, or the file exists and `overwrite` is false.
        SetupError: no room on the disk.
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
        raise InputError(f"Cannot save a checkpoint as {path.name}: give it the suffix .safetensors or .pth.")


def _plain(header: dict[str, Any] | None) -> dict[str, Any] | None:
    """A header as JSON will give it back: what JSON cannot hold could not be read either."""
    try:
        return None if header is None else json.loads(json.dumps(header, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"What is stored beside the weights must be plain JSON: {error}.") from error


def save_pickle(content: Any, file: Path) -> None:
    """torch.save, a write that failed told as the OSError it was."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        # torch's writer reports a failed write without its reason; a full disk is the one there is
        raise OSError(errno.ENOSPC, f"the file could not be written ({_first_line(error)})") from error


def _save_safetensors(data: dict[str, Tensor], file: Path, marks: dict[str, str] | None) -> None:
    try:
        save_file(data, file, metadata=marks)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, _first_line(error)) from error
