"""The PyTorch operator over all cases, and as a citizen of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mambapro.errors import InputError, SetupError
from mambapro.plugins.selective_scan import torch_op
from mambapro.plugins.selective_scan.schema import INPUTS
from mambapro.plugins.selective_scan.torch_op import selective_scan
from scan_cases import (
    CASES,
    GRADIENT_CASES,
    GRADIENT_LIMIT,
    LIMITS,
    PARAMETERS,
    Case,
    assert_close,
    inputs,
    output_gradient,
    wanted,
    wanted_gradients,
)


def tensors(case: Case, kind: str, device: str = "cpu") -> dict[str, torch.Tensor]:
    """A case's inputs by name, in the types the contract wants."""
    parameter = "float64" if kind == "float64" else "float32"
    return {
        name: torch.from_numpy(array).to(getattr(torch, parameter if name in PARAMETERS else kind)).to(device)
        for name, array in inputs(case).items()
    }


@pytest.mark.parametrize("kind", LIMITS)
class TestNumbers:
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_forward(self, case: Case, kind: str) -> None:
        """y agrees with the definition and has u's type."""
        y = selective_scan(**tensors(case, kind))

        assert y.dtype == getattr(torch, kind)
        assert_close(y.double().numpy(), wanted(case, kind), LIMITS[kind])

    @pytest.mark.parametrize("case", GRADIENT_CASES, ids=str)
    def test_backward(self, case: Case, kind: str) -> None:
        """autograd returns the definition's gradients, each in its input's type."""
        arguments = {name: x.requires_grad_() for name, x in tensors(case, kind).items()}

        selective_scan(**arguments).backward(torch.from_numpy(output_gradient(case)).to(arguments["u"].dtype))

        expected = wanted_gradients(case, kind)
        for name, x in arguments.items():
            assert x.grad is not None and x.grad.dtype == x.dtype
            limit = LIMITS[kind] if x.dtype in (torch.float16, torch.bfloat16) else GRADIENT_LIMIT
            assert_close(x.grad.double().numpy(), expected[name], limit, f"gradient of {name}")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
class TestCuda:
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_forward(self, case: Case, kind: str) -> None:
        """On a GPU y agrees with the definition."""
        y = selective_scan(**tensors(case, kind, "cuda"))

        assert_close(y.double().cpu().numpy(), wanted(case, kind), LIMITS[kind])

    @pytest.mark.parametrize("case", GRADIENT_CASES, ids=str)
    def test_backward(self, case: Case, kind: str) -> None:
        """On a GPU the gradients agree with the definition and are the same twice."""
        arguments = {name: x.requires_grad_() for name, x in tensors(case, kind, "cuda").items()}
        dy = torch.from_numpy(output_gradient(case)).to(arguments["u"])

        first, second = (torch.autograd.grad(selective_scan(**arguments), arguments.values(), dy) for _ in range(2))

        expected = wanted_gradients(case, kind)
        for name, gradient, again in zip(INPUTS, first, second, strict=True):
            limit = LIMITS[kind] if gradient.dtype in (torch.float16, torch.bfloat16) else GRADIENT_LIMIT
            assert_close(gradient.double().cpu().numpy(), expected[name], limit, f"gradient of {name}")
            assert torch.equal(gradient, again)


class TestOperator:
    @pytest.mark.parametrize("case", [Case(2, 5, 6, 3, 2), Case(1, 18, 2, 1, 3), Case(1, 9, 9, 1, 16)], ids=str)
    def test_gradcheck(self, case: Case) -> None:
        """The backward pass agrees with numerical derivatives in all seven inputs, in float64."""
        arguments = [x.requires_grad_() for x in tensors(case, "float64").values()]

        assert torch.autograd.gradcheck(selective_scan, arguments)

    @pytest.mark.parametrize("kind", LIMITS)
    def test_opcheck(self, kind: str) -> None:
        """torch's own checks of schema, fake tensors, autograd and ahead-of-time dispatch pass."""
        arguments = [x.requires_grad_() for x in tensors(Case(2, 5, 6, 3, 2), kind).values()]

        results = torch.library.opcheck(torch.ops.mambapro.selective_scan, arguments)

        assert set(results.values()) == {"SUCCESS"}

    def test_export_with_a_dynamic_batch(self) -> None:
        """torch.export keeps one node of ours for any batch."""

        class Scan(torch.nn.Module):
            def forward(self, *arguments: torch.Tensor) -> torch.Tensor:
                return selective_scan(*arguments) * 2

        example = tensors(Case(2, 5, 6, 3, 2), "float32")
        batch = torch.export.Dim("batch", min=1, max=64)
        dynamic = tuple({0: batch} if name not in PARAMETERS else None for name in INPUTS)

        program = torch.export.export(Scan(), tuple(example.values()), dynamic_shapes=(dynamic,))

        other = tensors(Case(3, 5, 6, 3, 2), "float32")
        assert [node.target for node in program.graph.nodes].count(torch_op.OPERATOR) == 1
        torch.testing.assert_close(program.module()(*other.values()), selective_scan(**other) * 2)

    def test_compile(self) -> None:
        """torch.compile runs it forward and backward without breaking the graph."""

        def loss(*arguments: torch.Tensor) -> torch.Tensor:
            return (selective_scan(*arguments).sin()).sum()

        arguments = [x.requires_grad_() for x in tensors(Case(2, 9, 12, 3, 4), "float32").values()]
        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")

        expected = torch.autograd.grad(loss(*arguments), arguments)
        found = torch.autograd.grad(compiled(*arguments), arguments)

        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)

    def test_views_are_read_as_they_are(self) -> None:
        """Transposed and sliced inputs, and an expanded dy, give what their copies give."""
        arguments = tensors(Case(2, 9, 12, 3, 4), "float32")
        views = dict(arguments)
        views["u"] = arguments["u"].transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
        views["B"] = torch.cat([arguments["B"], arguments["C"]], -1)[..., :4]
        views["A"] = arguments["A"].T.contiguous().T

        y = selective_scan(**views)
        (gradient,) = torch.autograd.grad(y.sum(), [views["u"]])

        u = arguments["u"].requires_grad_()
        copy = selective_scan(**arguments)
        assert not views["u"].is_contiguous() and y.is_contiguous()
        assert torch.equal(y, copy)
        assert torch.equal(gradient, torch.autograd.grad(copy.sum(), [u])[0])

    def test_it_is_the_same_for_any_number_of_threads(self) -> None:
        """torch.set_num_threads changes no bit, forward or backward."""
        arguments = {name: x.requires_grad_() for name, x in tensors(Case(2, 100, 160, 2, 16), "float32").items()}
        before = torch.get_num_threads()
        results = []
        try:
            for threads in (1, 2, 5):
                torch.set_num_threads(threads)
                y = selective_scan(**arguments)
                results.append([y, *torch.autograd.grad(y.sum(), arguments.values())])
        finally:
            torch.set_num_threads(before)

        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                assert torch.equal(a, b)

    def test_groups_are_scans_of_their_own(self) -> None:
        """A call with groups equals one call for each block of channels."""
        together = tensors(Case(2, 9, 12, 3, 4), "float64")
        y = selective_scan(**together)

        for g in range(3):
            part = slice(4 * g, 4 * g + 4)
            alone = {name: together[name][..., part] for name in ("u", "delta", "D", "delta_bias")}
            alone |= {"A": together["A"][part], **{name: together[name][:, :, g : g + 1] for name in ("B", "C")}}
            torch.testing.assert_close(selective_scan(**alone), y[..., part])

    def test_it_keeps_its_inputs_only(self) -> None:
        """For the backward pass no states are stored: the saved tensors are the seven inputs."""
        arguments = {name: x.requires_grad_() for name, x in tensors(Case(1, 64, 32), "float32").items()}
        saved = []

        with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.shape) or x, lambda x: x):
            selective_scan(**arguments)

        assert sorted(saved) == sorted(x.shape for x in arguments.values())


class TestErrors:
    def test_wrong_types_and_shapes(self) -> None:
        """The operator refuses what the contract refuses."""
        arguments = tensors(Case(1, 2, 4, 1, 2), "float32")

        with pytest.raises(InputError, match="delta is float16"):
            selective_scan(**{**arguments, "delta": arguments["delta"].half()})
        with pytest.raises(InputError, match="A must have shape"):
            selective_scan(**{**arguments, "A": arguments["A"].T})

    def test_several_devices(self) -> None:
        """Inputs on different devices are named with their devices."""
        arguments = tensors(Case(1, 2, 4, 1, 2), "float32")

        with pytest.raises(InputError, match="delta meta"):
            selective_scan(**{**arguments, "delta": arguments["delta"].to("meta")})

    def test_unknown_cuda_kernel(self) -> None:
        """The names that can be asked for are told."""
        with pytest.raises(InputError, match="mamba-ssm"):
            torch_op.use_cuda_kernel("triton")

    def test_mamba_ssm_must_be_there(self) -> None:
        """Asking for mamba-ssm without it says how to get it, and changes nothing."""
        try:
            import mamba_ssm  # noqa: F401
        except ImportError:
            with pytest.raises(SetupError, match=r"\[mamba\]"):
                torch_op.use_cuda_kernel("mamba-ssm")
            assert torch_op._cuda_kernel == "mambapro"
        else:
            pytest.skip("mamba-ssm is installed")


def test_numpy_and_torch_agree_on_bfloat16() -> None:
    """The cases' own rounding to bfloat16 is torch's."""
    from scan_cases import from_bfloat16, to_bfloat16

    values = np.random.default_rng(0).standard_normal(10000).astype(np.float32)

    expected = torch.from_numpy(values).bfloat16().float().numpy()

    np.testing.assert_array_equal(from_bfloat16(to_bfloat16(values)), expected)
