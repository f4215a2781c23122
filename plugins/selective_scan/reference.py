"""The selective scan in NumPy float64: the definition that every implementation is tested against."""

from __future__ import annotations

import numpy as np

from .schema import check_shapes


def softplus(x: np.ndarray) -> np.ndarray:
    """Compute `x` above 20, else `log1p(exp(x))`; any shape."""
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
    """Compute the scan token by token (Mamba, https://arxiv.org/abs/2312.00752, algorithm 2, with skip D u).

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


def selective_scan_backward(
    dy: np.ndarray,
    u: np.ndarray,
    delta: np.ndarray,
    A: np.ndarray,
    B: np.ndarray,
    C: np.ndarray,
    D: np.ndarray,
    delta_bias: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return gradients of `sum(dy * selective_scan(...))` in all seven inputs, by name, float64.

    With g_t the gradient of h_t, from the last token to the first:

        g_t = C_t dy_t + exp(d_{t+1} A) g_{t+1}
        du_t = D dy_t + d_t <g_t, B_t>,   dB_t = sum over channels of d_t u_t g_t,   dC_t = the same of dy_t h_t
        dA = sum over t of d_t e_t,   dd_t = u_t <g_t, B_t> + <A, e_t>   where e_t = exp(d_t A) h_{t-1} g_t

    The derivative of softplus is 1 above 20, else the logistic function.

    Args:
        dy: (batch, length, channels); the others as in `selective_scan`. Keeps every state: for short scans.

    Raises:
        InputError: shapes that break the contract.
    """
    arrays = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "delta_bias": delta_bias}
    size = check_shapes({name: array.shape for name, array in arrays.items()})
    u, delta, A, B, C, D, delta_bias = (np.asarray(array, np.float64) for array in arrays.values())
    raw = delta + delta_bias
    step = softplus(raw)
    per_group = size.channels // size.groups
    # B and C with shape (batch, length, channels, state)
    b, c = (np.repeat(x, per_group, axis=2) for x in (B, C))
    # h with shape (batch, 1 + length, channels, state): h[:, t + 1] is the state after token t
    h = np.zeros((size.batch, size.length + 1, size.channels, size.state))
    for t in range(size.length):
        d = step[:, t, :, None]
        h[:, t + 1] = np.exp(d * A) * h[:, t] + d * u[:, t, :, None] * b[:, t]
    g = c * dy[..., None]
    decay = np.exp(step[..., None] * A)
    for t in reversed(range(size.length - 1)):
        g[:, t] += decay[:, t + 1] * g[:, t + 1]
    e = decay * h[:, :-1] * g
    gb = (g * b).sum(-1)
    d_raw = (u * gb + (A * e).sum(-1)) * np.where(raw > 20, 1.0, 1 / (1 + np.exp(-np.minimum(raw, 20))))

    def over_channels(x: np.ndarray) -> np.ndarray:
        """Repeat groups: (batch, length, groups, state) -> (batch, length, channels, state)."""
        return x.reshape(size.batch, size.length, size.groups, per_group, size.state).sum(3)

    return {
        "u": D * dy + step * gb,
        "delta": d_raw,
        "A": (step[..., None] * e).sum((0, 1)),
        "B": over_channels((step * u)[..., None] * g),
        "C": over_channels(dy[..., None] * h[:, 1:]),
        "D": (dy * u).sum((0, 1)),
        "delta_bias": d_raw.sum((0, 1)),
    }
