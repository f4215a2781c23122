"""Selection of the training device and the autocast precision."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from ...common.foreign_text import shown_value
from ...common.machine.memory import peak_memory
from ...errors import InputError, SetupError

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the torch device of a name; "auto" is CUDA where a card is available, else the CPU.

    A bare "cuda" is card `local_rank`.

    Raises:
        InputError: a name that is none of auto, cpu, cuda and cuda:N.
        SetupError: CUDA was requested and is not available.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:(0|[1-9][0-9]{0,2}))?", name):
        raise InputError(f"device must be auto, cpu, cuda or one card such as cuda:0, not {shown_value(name, 40)}.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise SetupError(f"device={name!r} was asked for, but PyTorch sees no CUDA card. Use device='cpu'.")
    device = torch.device(name, local_rank) if name == "cuda" else torch.device(name)
    if device.type == "cuda" and device.index >= torch.cuda.device_count():
        raise SetupError(f"device={name!r}: PyTorch sees {torch.cuda.device_count()} CUDA card(s), numbered from 0.")
    return device


def peak_mebibytes(device: torch.device) -> float:
    """Return the most memory held so far, PyTorch's on the GPU, the process's on a CPU; NaN where it is not known."""
    held = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory()
    return float("nan") if held is None else held / 2**20


def resolve_precision(name: str, device: torch.device) -> str:
    """Return the precision of the forward pass; "auto" is float16 on CUDA and float32 elsewhere.

    Raises:
        InputError: float16 without CUDA, where it cannot train.
    """
    if name == "auto":
        return "float16" if device.type == "cuda" else "float32"
    if name == "float16" and device.type != "cuda":
        raise InputError(f"precision='float16' needs CUDA, not {device.type}. Use 'float32' or 'bfloat16'.")
    return name


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the autocast context of a forward pass; `precision` is a result of `resolve_precision`."""
    return nullcontext() if precision == "float32" else torch.autocast(device.type, dtype=_DTYPES[precision])


def autocast_type(precision: str) -> torch.dtype | None:
    """Return the type that `autocast` converts to, None for float32."""
    return _DTYPES.get(precision)
