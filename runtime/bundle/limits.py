"""Limits of the distance between an artifact and PyTorch, by precision."""

from __future__ import annotations

from ...errors import InputError

#: Largest 1 - cosine of an embedding. A wrong scan order costs only 1e-5, so the limits are tight.
LIMITS = {"fp32": 1e-8, "fp16": 1e-4, "bf16": 1e-3, "int8": 1e-2}

#: Largest loss of mAP, a fraction.
MAP_DROPS = {"fp32": 0.005, "fp16": 0.005, "bf16": 0.005, "int8": 0.01}


def believed(stored: float, default: float, asked: float | None, option: str) -> tuple[float, tuple[str, ...]]:
    """Return the limit in force, and notes on the reason if it is not the one stored in the bundle.

    A bundle may be stricter with itself than this product, but not looser: its author would otherwise judge it.

    Args:
        stored: the bundle's.
        own: this product's.
        asked: the caller's, who may allow more; None = nothing was asked.
        option: how the caller asks for it.
    """
    if asked is not None:
        loose = asked > default
        return asked, (f"the limit {asked:g} was asked for, {default:g} is usual",) if loose else ()
    if stored <= default:
        return stored, ()
    return default, (f"the bundle's own limit {stored:g} does not count, {default:g} does ({option} allows more)",)


def require_limit(asked: float | None, most: float, option: str) -> None:
    """Raise InputError for a limit that accepts everything or nothing; None = no limit given."""
    # written so that NaN fails
    if asked is not None and not 0 < asked <= most:
        raise InputError(f"{option} must be above 0 and at most {most:g}, not {asked:g}.")
