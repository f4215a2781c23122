"""Operations with backward passes of their own, against autograd through the plain expressions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from mambapro.train.models.parts.fused import attention, quick_gelu
from torch import Tensor

Function = Callable[..., Tensor]


def plain_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1) @ v


def results(function: Function, inputs: list[Tensor]) -> list[Tensor]:
    """The output and the gradients of the inputs, for a fixed random gradient of the output."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    y = function(*leaves)
    generator = torch.Generator().manual_seed(1)
    return [y.detach(), *torch.autograd.grad(y, leaves, torch.randn(y.shape, generator=generator).to(y.dtype))]


def errors(found: list[Tensor], wanted: list[Tensor]) -> list[float]:
    """Relative distance of each tensor."""
    return [float((a.double() - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True)]


def heads(scale: float, kind: torch.dtype = torch.bfloat16) -> list[Tensor]:
    """q, k, v of two streams, three heads, 37 tokens, views into one packed tensor as in the model."""
    generator = torch.Generator().manual_seed(0)
    packed = (scale * torch.randn(2, 37, 3, 3, 64, generator=generator)).to(kind)
    return list(packed.permute(2, 0, 3, 1, 4))


class TestQuickGELU:
    def test_gradient(self) -> None:
        """In double precision output and gradient are those of the plain expression, far out too."""
        x = torch.linspace(-700, 700, 1001, dtype=torch.float64)

        found, wanted = results(quick_gelu, [x]), results(plain_gelu, [x])

        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
    def test_output_has_the_same_bits(self, kind: torch.dtype) -> None:
        """With a gradient asked for or not, the output has the same bits."""
        x = torch.randn(5, 999, generator=torch.Generator().manual_seed(0)).mul(4).to(kind)

        assert torch.equal(quick_gelu(x.clone().requires_grad_()), plain_gelu(x))
        assert torch.equal(quick_gelu(x), plain_gelu(x))

    def test_bfloat16_gradient(self) -> None:
        """The gradient in bfloat16 is nearer to the exact one than autograd's through the plain expression."""
        x = torch.randn(4, 4001, generator=torch.Generator().manual_seed(0)).mul(2).bfloat16()
        exact = results(plain_gelu, [x.double()])
        exact_gradient = [exact[1]]

        ours = errors(results(quick_gelu, [x])[1:], exact_gradient)[0]

        assert ours < errors(results(plain_gelu, [x])[1:], exact_gradient)[0]

    def test_keeps_one_tensor(self) -> None:
        """The graph holds the input and nothing of its size besides."""
        x = torch.randn(8, 8, requires_grad=True)
        kept: list[Tensor] = []

        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):  # type: ignore[func-returns-value]
            quick_gelu(x)

        assert [t.data_ptr() for t in kept] == [x.data_ptr()]


class TestAttention:
    @pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
    def test_as_exact_as_pytorch(self, scale: float) -> None:
        """Trained in bfloat16, output and gradients are as near to double precision as those of PyTorch's kernel."""
        inputs = heads(scale)
        exact = results(plain_attention, [x.double() for x in inputs])

        ours = errors(results(attention, inputs), exact)
        theirs = errors(results(F.scaled_dot_product_attention, inputs), exact)

        assert all(a < 1.5 * b for a, b in zip(ours, theirs, strict=True)), (ours, theirs)
        assert max(ours) < 2e-2

    def test_same_result_under_autocast(self) -> None:
        """Autocast around it changes no bit: the scores stay float32."""
        inputs = heads(1.0)

        with torch.autocast("cpu", torch.bfloat16):
            inside = results(attention, inputs)

        assert all(torch.equal(a, b) for a, b in zip(inside, results(attention, inputs), strict=True))

    @pytest.mark.parametrize("kind", [torch.float32, torch.float64])
    def test_other_types_are_pytorchs(self, kind: torch.dtype) -> None:
        """Float32 and float64 go through PyTorch's attention, bit for bit."""
        inputs = heads(1.0, kind)

        found, wanted = results(attention, inputs), results(F.scaled_dot_product_attention, inputs)

        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))

    def test_evaluation_is_pytorchs(self) -> None:
        """Without a gradient the plain operator runs, which exporters know."""
        inputs = heads(1.0)

        assert torch.equal(attention(*inputs), F.scaled_dot_product_attention(*inputs))

    def test_large_scores(self) -> None:
        """Scores in the thousands give no NaN, forwards or backwards."""
        assert all(bool(torch.isfinite(x).all()) for x in results(attention, heads(60.0)))
