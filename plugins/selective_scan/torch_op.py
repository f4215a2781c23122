"""The selective scan as a PyTorch operator, `torch.ops.mambapro.selective_scan`, for any device.

The states run token by token, but everything that does not depend on the state is computed for a chunk of tokens at
once, so a step costs one fused multiply-add. The backward pass keeps the state at the chunk borders only and computes
the rest again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .schema import INPUTS, ScanShape, check_shapes, check_types

#: Added to every input of a state and far below its rounding: a state that has decayed stays an ordinary number.
#: Denormal numbers make a processor up to a hundred times slower, and flushing them is set for each thread apart.
_FLOOR = 1e-18
#: exp of this is about the same floor; what decays faster has forgotten its past as well.
_SMALLEST_EXPONENT = -40.0
#: Tokens whose decays are computed at once: long enough to hide the cost of a call, short enough for the cache.
CHUNK = 16


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    """Selective scan over tokens; shapes and meaning as in schema.py, differentiable in all seven inputs.

    Args:
        u, delta: (batch, length, channels), float32, float16, bfloat16 or float64.
        A: (channels, state), negative.
        B, C: (batch, length, groups, state), of u's type.
        D, delta_bias: (channels,). A, D and delta_bias are float32 (float64 beside float64).

    Returns:
        y, (batch, length, channels), of u's type. States and sums are float32 (float64 for float64 input).

    Raises:
        InputError: shapes or types that break the contract.
    """
    inputs = dict(zip(INPUTS, (u, delta, A, B, C, D, delta_bias), strict=True))
    if not torch.compiler.is_compiling():
        check_shapes({name: tuple(x.shape) for name, x in inputs.items()})
        check_types({name: str(x.dtype).removeprefix("torch.") for name, x in inputs.items()})
    return torch.ops.mambapro.selective_scan(u, delta, A, B, C, D, delta_bias)


class _Scan:
    """One scan laid out for the loop: time first, states (batch, groups, state, channels of a group)."""

    def __init__(self, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor) -> None:
        batch, length, channels = u.shape
        groups, state = B.shape[2:]
        self.size = ScanShape(batch, length, channels, groups, state)
        self.dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
        # u and delta with shape (length, batch, groups, 1, channels of a group)
        self.u, delta = (self.split(x.to(self.dtype)) for x in (u, delta))
        self.raw = delta + bias.view(groups, 1, -1)
        self.step = torch.nn.functional.softplus(self.raw)
        # A with shape (groups, state, channels of a group)
        self.A = A.view(groups, -1, state).transpose(1, 2).contiguous()
        # B and C with shape (length, batch, groups, state, 1)
        self.B, self.C = (x.to(self.dtype).transpose(0, 1).unsqueeze(-1) for x in (B, C))
        self.D = D.view(groups, 1, -1)

    def split(self, x: Tensor) -> Tensor:
        """(batch, length, channels) -> (length, batch, groups, 1, channels of a group)."""
        batch, length, _, groups, _ = self.size
        return x.transpose(0, 1).reshape(length, batch, groups, 1, -1)

    def join(self, x: Tensor) -> Tensor:
        """The reverse of split."""
        batch, length, channels = self.size[:3]
        return x.reshape(length, batch, channels).transpose(0, 1).contiguous()

    def zero_state(self) -> Tensor:
        batch, _, channels, groups, state = self.size
        return self.u.new_zeros(batch, groups, state, channels // groups)

    def states(self, start: int, h: Tensor) -> tuple[Tensor, Tensor]:
        """Decays and states of the chunk that begins at `start`, each (steps, batch, groups, state, channels)."""
        part = slice(start, start + CHUNK)
        decay = torch.exp((self.step[part] * self.A).clamp_(min=_SMALLEST_EXPONENT))
        states = ((self.step[part] * self.u[part]) * self.B[part]).add_(_FLOOR)
        for t in range(states.shape[0]):
            h = states[t].addcmul_(decay[t], h)
        return decay, states


@torch.library.custom_op("mambapro::selective_scan", mutates_args=())
def _forward(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    scan = _Scan(u, delta, A, B, C, D, delta_bias)
    y = scan.u * scan.D
    h = scan.zero_state()
    for start in range(0, scan.size.length, CHUNK):
        _, states = scan.states(start, h)
        part = slice(start, start + CHUNK)
        # (1, state) @ (state, channels of a group)
        y[part] += scan.C[part].transpose(-1, -2) @ states
        h = states[-1]
    return scan.join(y).to(u.dtype)


@_forward.register_fake
def _fake(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    return torch.empty_like(u, memory_format=torch.contiguous_format)


@torch.library.custom_op("mambapro::selective_scan_backward", mutates_args=())
def _backward(
    dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor
) -> list[Tensor]:
    scan = _Scan(u, delta, A, B, C, D, delta_bias)
    dy = scan.split(dy.to(scan.dtype))
    borders = [scan.zero_state()]
    for start in range(0, scan.size.length - CHUNK, CHUNK):
        borders.append(scan.states(start, borders[-1])[1][-1].clone())
    du, d_step = scan.D * dy, torch.empty_like(scan.step)
    dB, dC = torch.empty_like(scan.B), torch.empty_like(scan.C)
    dA = torch.zeros_like(scan.A)
    carry = scan.zero_state()
    for start in reversed(range(0, scan.size.length, CHUNK)):
        part = slice(start, start + CHUNK)
        before = borders.pop()
        decay, states = scan.states(start, before)
        dC[part] = states @ dy[part].transpose(-1, -2)
        grad = scan.C[part] * dy[part]
        for t in reversed(range(grad.shape[0])):
            carry = grad[t].add_(carry)
            carry = carry * decay[t]
        step, x = scan.step[part], scan.u[part]
        # gradient of the exponent step * A, through h_{t-1}
        d_exponent = grad * torch.cat((before.unsqueeze(0), states[:-1])) * decay
        d_input = (grad * scan.B[part]).sum(-2, keepdim=True)
        dB[part] = grad @ (step * x).transpose(-1, -2)
        dA += (d_exponent * step).sum((0, 1))
        d_step[part] = (d_exponent * scan.A).sum(-2, keepdim=True) + d_input * x
        du[part] += d_input * step
    # torch's softplus is the identity above 20, and so is its derivative
    d_raw = torch.where(scan.raw > 20, d_step, d_step * torch.sigmoid(scan.raw))
    return [
        scan.join(du).to(u.dtype),
        scan.join(d_raw).to(delta.dtype),
        dA.transpose(1, 2).reshape(A.shape).to(A.dtype),
        dB.squeeze(-1).transpose(0, 1).contiguous().to(B.dtype),
        dC.squeeze(-1).transpose(0, 1).contiguous().to(C.dtype),
        (dy * scan.u).sum((0, 1)).reshape(D.shape).to(D.dtype),
        d_raw.sum((0, 1)).reshape(delta_bias.shape).to(delta_bias.dtype),
    ]


@_backward.register_fake
def _backward_fake(
    dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor
) -> list[Tensor]:
    inputs = (u, delta, A, B, C, D, delta_bias)
    return [torch.empty_like(x, memory_format=torch.contiguous_format) for x in inputs]


def _setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs)


def _autograd(ctx, dy: Tensor):  # type: ignore[no-untyped-def]
    return tuple(torch.ops.mambapro.selective_scan_backward(dy, *ctx.saved_tensors))


_forward.register_autograd(_autograd, setup_context=_setup_context)

#: What graphs and exporters see.
OPERATOR = torch.ops.mambapro.selective_scan.default
