"""QuickGELU and attention with backward passes of their own, which keep less and, on CPUs, take a fraction of the time.

Where no gradient is asked for (evaluation, export) the plain expressions run, so graphs look as they always did.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

#: sigmoid(1.702 x) is CLIP's stand-in for the normal distribution function.
SLOPE = 1.702


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x) for any shape; keeps x alone for the backward pass, autograd would keep the sigmoid too."""
    if _differentiated(x):
        return _QuickGELU.apply(x)
    return x * torch.sigmoid(SLOPE * x)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax(q k^T / sqrt(d)) v; each (batch, heads, tokens, d), and so is the result.

    Training in half precision on a CPU takes whole matrix products: the backward pass of PyTorch's blocked kernel needs
    six times as long there. It keeps the probabilities, (batch, heads, tokens, tokens).
    """
    if q.device.type == "cpu" and q.dtype in (torch.bfloat16, torch.float16) and _differentiated(q, k, v):
        return _Attention.apply(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)


def _differentiated(*tensors: Tensor) -> bool:
    if torch.compiler.is_compiling():
        return False
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


class _QuickGELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return (SLOPE * x).sigmoid_().mul_(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        # x sigmoid(a x) = silu(a x) / a, and the two a cancel in the derivative
        return torch.ops.aten.silu_backward(gradient, SLOPE * x)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):  # type: ignore[no-untyped-def]
        shape = q.shape
        q, k, v = (x.flatten(0, 1) for x in (q, k, v))
        # float32 up to the probabilities: rounding a score to bfloat16 moves its exponential by some percent
        with torch.autocast(q.device.type, enabled=False):
            scores = torch.bmm(q.float() * shape[-1] ** -0.5, k.float().transpose(1, 2))
            share = torch.softmax(scores, -1).to(q.dtype)
        ctx.save_for_backward(q, k, v, share)
        return torch.bmm(share, v).view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        q, k, v, share = ctx.saved_tensors
        shape = gradient.shape
        gradient = gradient.flatten(0, 1)
        of_v = torch.bmm(share.transpose(1, 2), gradient)
        of_share = torch.bmm(gradient, v.transpose(1, 2))
        of_scores = torch.ops.aten._softmax_backward_data(of_share, share, -1, share.dtype).mul_(shape[-1] ** -0.5)
        of_q, of_k = torch.bmm(of_scores, k), torch.bmm(of_scores.transpose(1, 2), q)
        return of_q.view(shape), of_k.view(shape), of_v.view(shape)
