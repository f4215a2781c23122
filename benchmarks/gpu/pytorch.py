"""The PyTorch operator on CUDA: forward and backward against double precision and against mamba-ssm's kernel."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any

import torch
from mambapro.errors import SetupError
from mambapro.plugins.selective_scan import torch_op
from mambapro.plugins.selective_scan.schema import INPUTS
from part import BATCHES, FULL_SIZE, TYPES, NoGpu, Record, Skipped, finish
from scan_cases import (
    CASES,
    GRADIENT_CASES,
    GRADIENT_LIMIT,
    LIMITS,
    PARAMETERS,
    Case,
    error_of,
    output_gradient,
    stored,
    wanted,
    wanted_gradients,
)
from torch import Tensor

#: Calls in one CUDA graph, so that the time between launches does not count, and how often it is replayed.
CALLS, REPLAYS = 20, 31


def tensors(case: Case, kind: str, device: str) -> dict[str, Tensor]:
    """Inputs of a case by name."""
    arrays = {name: torch.from_numpy(x) for name, x in stored(case, kind).items()}
    if kind == "bfloat16":
        arrays = {name: x if name in PARAMETERS else x.view(torch.bfloat16) for name, x in arrays.items()}
    return {name: x.to(device) for name, x in arrays.items()}


def compare(case: Case, kind: str, device: str, by: str, record: Record) -> None:
    """Forward and, for cases that have them, gradients; twice, for results must be the same."""
    inputs = tensors(case, kind, device)
    with_gradients = case in GRADIENT_CASES
    results = []
    for _ in range(2):
        leaves = {name: x.detach().requires_grad_(with_gradients) for name, x in inputs.items()}
        y = torch_op.selective_scan(**leaves)
        gradients: tuple[Tensor, ...] = ()
        if with_gradients:
            dy = torch.from_numpy(output_gradient(case)).to(y)
            gradients = torch.autograd.grad(y, list(leaves.values()), dy)
        results.append((y.detach(), *gradients))
    name = f"{by} {kind} {case}"
    record.check(f"{name} y", error_of(results[0][0].double().cpu().numpy(), wanted(case, kind)), LIMITS[kind])
    for key, gradient in zip(INPUTS, results[0][1:], strict=False):
        limit = GRADIENT_LIMIT if key in PARAMETERS else max(GRADIENT_LIMIT, LIMITS[kind])
        error = error_of(gradient.double().cpu().numpy(), wanted_gradients(case, kind)[key])
        record.check(f"{name} d{key}", error, limit)
    if by == "mambapro":
        same = all(torch.equal(a, b) for a, b in zip(*results, strict=True) if not a.isnan().any())
        record.hold(f"{name} is the same twice", same)


def compare_all(record: Record, device: str, cases: Iterable[Case] = CASES, kinds: Iterable[str] = TYPES) -> None:
    for case in cases:
        for kind in kinds:
            compare(case, kind, device, "mambapro", record)


def graph_milliseconds(call: Callable[[], Any]) -> float:
    """Median of one call within a CUDA graph of CALLS."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for _ in range(CALLS):
            call()
    times = []
    for _ in range(REPLAYS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / CALLS)
    return statistics.median(times)


def normal_inputs(batch: int, sizes: tuple[int, int, int, int], kind: str) -> list[Tensor]:
    length, channels, groups, state = sizes
    dtype = getattr(torch, kind)
    shapes = [(batch, length, channels)] * 2 + [(channels, state)] + [(batch, length, groups, state)] * 2
    torch.manual_seed(0)
    x = [torch.randn(shape, device="cuda") for shape in (*shapes, (channels,), (channels,))]
    x[2] = -x[2].exp()
    return [value if i in (2, 5, 6) else value.to(dtype) for i, value in enumerate(x)]


def mamba_ssm_calls(inputs: list[Tensor]) -> dict[str, Callable[[], Any]]:
    """Forward and backward of mamba-ssm's own kernel, on inputs that already lie as it wants them.

    Raises:
        SetupError: it is not installed.
    """
    scan = torch_op._mamba_ssm()
    u, delta, A, B, C, D, bias = inputs
    u, delta = (x.transpose(1, 2).contiguous() for x in (u, delta))
    B, C = (x.permute(0, 2, 3, 1).contiguous() for x in (B, C))
    leaves = [x.detach().requires_grad_() for x in (u, delta, A, B, C, D, bias)]

    def forward() -> Tensor:
        with torch.no_grad():
            return scan(u, delta, A, B, C, D, delta_bias=bias, delta_softplus=True)

    def both() -> tuple[Tensor, ...]:
        y = scan(*leaves[:6], delta_bias=leaves[6], delta_softplus=True)
        return torch.autograd.grad(y, leaves, y.detach())

    return {"forward": forward, "forward + backward": both}


def our_calls(inputs: list[Tensor]) -> dict[str, Callable[[], Any]]:
    leaves = [x.detach().requires_grad_() for x in inputs]

    def both() -> tuple[Tensor, ...]:
        y = torch_op.selective_scan(*leaves)
        return torch.autograd.grad(y, leaves, y.detach())

    return {"forward": lambda: torch_op.selective_scan(*inputs), "forward + backward": both}


def measure(record: Record, with_mamba_ssm: bool) -> None:
    for kind in TYPES:
        for sizes in FULL_SIZE:
            for batch in BATCHES:
                inputs = normal_inputs(batch, sizes, kind)
                makers = {"mambapro": our_calls, **({"mamba-ssm": mamba_ssm_calls} if with_mamba_ssm else {})}
                shape = dict(zip(("length", "channels", "groups", "state"), sizes, strict=True))
                for by, make in makers.items():
                    for what, call in make(inputs).items():
                        ms = graph_milliseconds(call)
                        record.times.append({"what": what, "by": by, "type": kind, "batch": batch, **shape, "ms": ms})


def run(record: Record) -> None:
    if not torch.backends.cuda.is_built():
        raise Skipped(f"torch {torch.__version__} was built without CUDA")
    if not torch.cuda.is_available():
        raise NoGpu(f"torch {torch.__version__}, built for CUDA {torch.version.cuda}, sees no GPU")
    record.notes.append(f"torch {torch.__version__}, CUDA {torch.version.cuda}")
    compare_all(record, "cuda")
    with_mamba_ssm = True
    try:
        torch_op.use_cuda_kernel("mamba-ssm")
    except SetupError as error:
        with_mamba_ssm = False
        record.notes.append(f"not compared with mamba-ssm: {error}")
    if with_mamba_ssm:
        for case in (Case(2, length, channels, groups, state) for length, channels, groups, state in FULL_SIZE):
            # the limits are ours: where mamba-ssm departs by more that is worth a note, and no failure
            theirs = Record()
            compare(case, "float32", "cuda", "mamba-ssm", theirs)
            record.notes += [f"mamba-ssm itself: {failure}" for failure in theirs.failures]
        torch_op.use_cuda_kernel("mambapro")
    measure(record, with_mamba_ssm)


if __name__ == "__main__":
    finish(run)
