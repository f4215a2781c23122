"""The selective scan as a PyTorch operator, `torch.ops.mambapro.selective_scan`.

On CPUs it runs the kernel of csrc/scan_cpu.cpp, on NVIDIA GPUs that of csrc/*.cu. The backward pass stores only the
inputs and recomputes the states. Results are deterministic for any number of threads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import InputError, SetupError
from .cpu import kernel as cpu_kernel
from .cuda import launch
from .schema import INPUTS, ScanShape, check_shapes, check_types

#: Kernels for CUDA tensors.
CUDA_KERNELS = ("mambapro", "mamba-ssm")
_cuda_kernel = CUDA_KERNELS[0]


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    """Compute the scan over tokens; shapes and meaning as in schema.py, once differentiable in all seven inputs.

    Args:
        u, delta: (batch, length, channels), float32, float16, bfloat16, on CPUs also float64.
        A: (channels, state), negative.
        B, C: (batch, length, groups, state), of u's type.
        D, delta_bias: (channels,). A, D and delta_bias are float32 (float64 beside float64).

    Returns:
        y, (batch, length, channels), of u's type. States and sums are float32 (float64 for float64 input).

    Raises:
        InputError: shapes, types or devices that violate the contract.
        SetupError: the kernel is unavailable: no compiler at installation, no driver.
    """
    inputs = dict(zip(INPUTS, (u, delta, A, B, C, D, delta_bias), strict=True))
    if not torch.compiler.is_compiling():
        _check(inputs)
    if u.is_cuda and _cuda_kernel == "mamba-ssm":
        return _with_mamba_ssm(u, delta, A, B, C, D, delta_bias)
    return torch.ops.mambapro.selective_scan(u, delta, A, B, C, D, delta_bias)


def use_cuda_kernel(name: str) -> None:
    """Select the kernel of CUDA tensors: "mambapro" (the default) or "mamba-ssm".

    Raises:
        InputError: neither of the two.
        SetupError: mamba-ssm is not installed.
    """
    global _cuda_kernel
    if name not in CUDA_KERNELS:
        raise InputError(f"selective scan: CUDA kernel {name!r} is not known; there are {', '.join(CUDA_KERNELS)}.")
    if name == "mamba-ssm":
        _mamba_ssm()
    _cuda_kernel = name


def _check(inputs: dict[str, Tensor]) -> None:
    check_shapes({name: tuple(x.shape) for name, x in inputs.items()})
    check_types({name: str(x.dtype).removeprefix("torch.") for name, x in inputs.items()})
    devices = {x.device for x in inputs.values()}
    if len(devices) > 1:
        places = ", ".join(f"{name} {x.device}" for name, x in inputs.items())
        raise InputError(f"selective scan: all inputs must be on one device, got {places}.")
    if inputs["u"].is_cuda and inputs["u"].dtype == torch.float64:
        raise InputError("selective scan: float64 runs on CPUs only; on CUDA give float32, float16 or bfloat16.")


def _size(u: Tensor, B: Tensor) -> ScanShape:
    return ScanShape(*u.shape, *B.shape[2:])


def _name(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _empty(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op("mambapro::selective_scan", mutates_args=(), device_types="cpu")
def _forward(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    inputs = [x.contiguous() for x in (u, delta, A, B, C, D, delta_bias)]
    y = _empty(u)
    addresses = [x.data_ptr() for x in inputs]
    cpu_kernel.forward(_size(u, B), _name(u), torch.get_num_threads(), addresses, y.data_ptr())
    return y


@_forward.register_fake
def _fake(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    return _empty(u)


@torch.library.custom_op("mambapro::selective_scan_backward", mutates_args=(), device_types="cpu")
def _backward(
    dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor
) -> list[Tensor]:
    dy, *inputs = (x.contiguous() for x in (dy, u, delta, A, B, C, D, delta_bias))
    gradients = [_empty(x) for x in inputs]
    addresses, results = ([x.data_ptr() for x in tensors] for tensors in (inputs, gradients))
    cpu_kernel.backward(_size(u, B), _name(u), torch.get_num_threads(), dy.data_ptr(), addresses, results)
    return gradients


@_backward.register_fake
def _backward_fake(
    dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor
) -> list[Tensor]:
    return [_empty(x) for x in (u, delta, A, B, C, D, delta_bias)]


@_forward.register_kernel("cuda")
def _forward_cuda(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    inputs = [x.contiguous() for x in (u, delta, A, B, C, D, delta_bias)]
    y = _empty(u)
    with torch.cuda.device(u.device):
        stream = torch.cuda.current_stream().cuda_stream
        launch.forward(_size(u, B), _name(u), [x.data_ptr() for x in inputs], y.data_ptr(), 0, stream, u.device.index)
    return y


@_backward.register_kernel("cuda")
def _backward_cuda(
    dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor
) -> list[Tensor]:
    dy, *inputs = (x.contiguous() for x in (dy, u, delta, A, B, C, D, delta_bias))
    gradients = [_empty(x) for x in inputs]
    size = _size(u, B)
    addresses, results = ([x.data_ptr() for x in tensors] for tensors in (inputs, gradients))
    with torch.cuda.device(u.device):
        workspace = torch.empty(launch.workspace_bytes(size), dtype=torch.uint8, device=u.device)
        stream = torch.cuda.current_stream().cuda_stream
        places = (dy.data_ptr(), addresses, results, workspace.data_ptr())
        launch.backward(size, _name(u), *places, stream, u.device.index)
    return gradients


def _setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs)


def _autograd(ctx, dy: Tensor):  # type: ignore[no-untyped-def]
    return tuple(torch.ops.mambapro.selective_scan_backward(dy, *ctx.saved_tensors))


_forward.register_autograd(_autograd, setup_context=_setup_context)


def _mamba_ssm():  # type: ignore[no-untyped-def]
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError as error:
        raise SetupError(
            f"selective scan: mamba-ssm cannot be imported ({error}); install mambapro's extra [mamba] "
            'where CUDA is, or use_cuda_kernel("mambapro").'
        ) from None
    return selective_scan_fn


def _with_mamba_ssm(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    """Call mamba-ssm, which takes (batch, channels, length) and (batch, groups, state, length)."""
    u, delta = (x.transpose(1, 2).contiguous() for x in (u, delta))
    B, C = (x.permute(0, 2, 3, 1).contiguous() for x in (B, C))
    y = _mamba_ssm()(u, delta, A, B, C, D, delta_bias=delta_bias, delta_softplus=True)
    return y.transpose(1, 2).contiguous()


#: Name of the operator in graphs and exporters.
OPERATOR = torch.ops.mambapro.selective_scan.default
