"""The selective scan in NumPy float64: the definition every other face is tested against."""

from __future__ import annotations

import numpy as np

from .schema import check_shapes


def softplus(x: np.ndarray) -> np.ndarray:
    """`x` above 20, else `log1p(exp(x))`; any shape."""
    return np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 20))))


def selective_scan(
    u: np.ndarray,
    delta: np.ndarray,
    A: np.ndarray,
    B: np.ndarray,
    C: np.ndarray,
    D: np.ndarray,
    delta_bias: np.ndarray,
) -> np.ndarray:
    """Selective scan, token by token (Mamba, algorithm 2, with the skip D u).

    Args:
        u, delta: (batch, length, channels).
        A: (channels, state), negative.
        B, C: (batch, length, groups, state); group g serves channels g * channels / groups and on.
        D, delta_bias: (channels,).

    Returns:
        y, (batch, length, channels), float64.

    Raises:
        InputError: shapes that break the contract.
    """
    arrays = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "delta_bias": delta_bias}
    size = check_shapes({name: array.shape for name, array in arrays.items()})
    u, delta, A, B, C, D, delta_bias = (np.asarray(array, np.float64) for array in arrays.values())
    step = softplus(delta + delta_bias)
    per_group = size.channels // size.groups
    y = np.empty(u.shape)
    h = np.zeros((size.batch, size.channels, size.state))
    for t in range(size.length):
        # B and C with shape (batch, channels, state)
        b, c = (np.repeat(x[:, t], per_group, axis=1) for x in (B, C))
        d = step[:, t, :, None]
        h = np.exp(d * A) * h + d * u[:, t, :, None] * b
        y[:, t] = (c * h).sum(-1) + D * u[:, t]
    return y
