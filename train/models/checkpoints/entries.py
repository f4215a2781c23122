"""Validation of state-dict entries against a model: completeness, shapes, finite values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ....common.foreign_text import shown_text
from ....errors import ArtifactError

_COUNTER = "num_batches_tracked"
_SHOWN = 10


def check_entries(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """Compare keys, shapes and types.

    Raises:
        ArtifactError: missing or surplus keys, other shapes or types, all in one message.
    """
    problems = [f"missing: {key} {tuple(expected[key].shape)}" for key in expected if key not in tensors]
    problems += [f"surplus: {shown_text(key)} {tuple(tensors[key].shape)}" for key in tensors if key not in expected]
    for key in expected:
        if key in tensors and tensors[key].shape != expected[key].shape:
            problems.append(f"shape of {key}: {tuple(tensors[key].shape)}, expected {tuple(expected[key].shape)}")
        elif key in tensors and expected[key].is_floating_point() and not tensors[key].is_floating_point():
            problems.append(f"type of {key}: {tensors[key].dtype}, expected {expected[key].dtype}")
    if problems:
        shown = "\n  ".join(problems[:_SHOWN])
        more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ArtifactError(
            f"{shown_text(path)} does not fit the model, {len(problems)} entries differ:\n  {shown}{more}"
        )


def without_heads(tensors: Mapping[str, Tensor], ours: Mapping[str, str], heads: tuple[str, ...]) -> bool:
    """Return True if a state dict has no classifier, as in a file reduced to inference.

    Args:
        tensors: by the file's keys.
        ours: our key of each of the file's.
        heads: prefixes of our keys of parameters that only training needs.
    """
    classifiers = {key for key, name in ours.items() if name.startswith(heads) and name.endswith("classifier.weight")}
    return bool(classifiers) and not classifiers & tensors.keys()


def fill(
    tensors: dict[str, Tensor], expected: Mapping[str, Tensor], ours: Mapping[str, str], heads: tuple[str, ...]
) -> list[str]:
    """Add BatchNorm counters, which are never read, and keys that start with one of `heads`, in place.

    Returns:
        the keys that were missing.
    """
    missing = [
        key for key in expected if key not in tensors and (key.endswith(_COUNTER) or ours[key].startswith(heads))
    ]
    for key in missing:
        ones = key.endswith("running_var") or ("classifier" not in key and key.endswith("weight"))
        make = torch.ones if ones else torch.zeros
        tensors[key] = make(expected[key].shape, dtype=expected[key].dtype)
    return missing


def require_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Reject NaN and infinity.

    Raises:
        ArtifactError: the tensors that hold any, by name.
    """
    bad = [key for key, value in tensors.items() if value.is_floating_point() and not _is_finite(value)]
    if bad:
        shown = ", ".join(shown_text(key) for key in bad[:_SHOWN])
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise ArtifactError(
            f"{shown_text(path)} holds NaN, infinity or numbers beyond float32 in {len(bad)} of {len(tensors)} "
            f"tensors: {shown}{more}. Its training diverged, or the file was damaged: take an earlier checkpoint."
        )


def _is_finite(value: Tensor) -> bool:
    # A finite sum implies finite values, at a tenth of the time; it may overflow although all values are finite.
    # NumPy's has no threads to wait for, which on a busy machine takes longer than the sums.
    with np.errstate(all="ignore"):
        return math.isfinite(float(value.detach().float().numpy().sum())) or bool(torch.isfinite(value).all())
