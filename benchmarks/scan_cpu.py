"""The selective scan on this CPU: our operator, the loop in eager PyTorch, and the exponentials alone, side by side.

    python benchmarks/scan_cpu.py [--threads 2] [--length 384] [--channels 1024] [--groups 1] [--json FILE]

With several groups (directions of Vim and VMamba) --channels is that of each.

One process, the candidates in turn, medians. Run it on a quiet machine: another busy process doubles any of them.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
from mambapro.plugins.compile import cxx_compiler, shared_library
from mambapro.plugins.selective_scan.cpu import kernel as cpu_kernel
from mambapro.plugins.selective_scan.torch_op import selective_scan
from torch import Tensor

Inputs = tuple[Tensor, ...]


def loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    """The recurrence in PyTorch: decays and inputs at once, states one after the other."""
    step = torch.nn.functional.softplus(delta + delta_bias)
    # (batch, length, channels, state)
    decay = torch.exp(step.unsqueeze(-1) * A)
    groups = B.shape[2]
    added = (step * u).unsqueeze(-1) * B.repeat_interleave(u.shape[2] // groups, 2)
    h = added.new_zeros(decay[:, 0].shape)
    outputs = []
    # unbind, not [:, t]: the gradient of each slice would be as large as the whole, ten times slower
    for keep, add, c in zip(decay.unbind(1), added.unbind(1), C.unbind(1), strict=True):
        h = keep * h + add
        outputs.append((h.unflatten(1, (groups, -1)) @ c.unsqueeze(-1)).flatten(1))
    return torch.stack(outputs, 1) + D * u


def indexed_loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    """The same with each token indexed, as published reference scans are written.

    In the backward pass each slice's gradient is as large as the whole: `loop` is what one makes of it.
    """
    step = torch.nn.functional.softplus(delta + delta_bias)
    decay = torch.exp(step.unsqueeze(-1) * A)
    added = (step * u).unsqueeze(-1) * B
    h = added.new_zeros(decay[:, 0].shape)
    outputs = []
    for t in range(u.shape[1]):
        h = decay[:, t] * h + added[:, t]
        outputs.append((h @ C[:, t].transpose(1, 2)).squeeze(-1))
    return torch.stack(outputs, 1) + D * u


def plain_loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    """The recurrence as it is written down: everything of a token inside the loop."""
    step = torch.nn.functional.softplus(delta + delta_bias)
    channels = u.shape[2] // B.shape[2]
    h = u.new_zeros(u.shape[0], *A.shape)
    outputs = []
    for t in range(u.shape[1]):
        b, c = (x[:, t].repeat_interleave(channels, 1) for x in (B, C))
        h = torch.exp(step[:, t, :, None] * A) * h + (step[:, t] * u[:, t])[..., None] * b
        outputs.append((h * c).sum(-1))
    return torch.stack(outputs, 1) + D * u


def inputs(batch: int, length: int, channels: int, state: int, groups: int = 1) -> Inputs:
    """Inputs as in a Mamba block at its start: A from -1 to -state, steps from 0.001 to 0.1.

    With normal numbers for the steps the loop's gradients decay into denormal numbers, and it takes a second.
    """
    normal = torch.Generator().manual_seed(0)
    u, delta, B, C, D = (
        torch.randn(shape, generator=normal)
        for shape in [(batch, length, channels)] * 2 + [(batch, length, groups, state)] * 2 + [(channels,)]
    )
    A = -torch.arange(1.0, state + 1).repeat(channels, 1)
    steps = torch.logspace(-3, -1, channels)
    bias = steps + torch.log(-torch.expm1(-steps))
    return tuple(x.requires_grad_() for x in (u, 0.1 * delta, A, B, C, D, bias))


def forward_and_backward(scan: Callable[..., Tensor], arguments: Inputs) -> tuple[Tensor, ...]:
    y = scan(*arguments)
    return torch.autograd.grad(y, arguments, torch.ones_like(y))


def exponentials(arguments: Inputs, threads: int) -> Callable[[], None]:
    """A call that computes exp(step A) for every token, channel and state with the compiler's vector library."""
    flags = ["-Ofast", "-march=native", "-fopenmp", "-fPIC"]
    source = Path(__file__).parent / "csrc" / "exponentials.cpp"
    library = ctypes.CDLL(str(shared_library("exponentials", [source], flags, cxx_compiler())))
    _, delta, A, *_, bias = (x.detach() for x in arguments)
    length, channels, state = delta.shape[1], *A.shape
    if delta.shape[0] != 1 or channels % 16:
        raise SystemExit("the exponentials are measured for batch 1 and channels in sixteens")
    step = torch.nn.functional.softplus(delta + bias).contiguous()
    rates = A.view(channels // 16, 16, state).transpose(1, 2).contiguous()
    out = torch.empty(channels)
    sizes = [ctypes.c_int64(n) for n in (length, channels, state)]

    def run() -> None:
        pointers = [ctypes.c_void_p(x.data_ptr()) for x in (step, rates, out)]
        library.exponentials(*pointers[:2], *sizes, pointers[2], ctypes.c_int(threads))

    run()
    wanted = torch.exp(step[0].unsqueeze(-1) * A).sum((0, 2))
    torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-4)
    return run


def milliseconds(candidates: dict[str, tuple[Callable[[], object], int]], rounds: int) -> dict[str, float]:
    """Median of each candidate, taken in turn: (what to run, how often in one round)."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, (run, repeats) in candidates.items():
            run()
            for _ in range(repeats):
                start = time.perf_counter()
                run()
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--length", type=int, default=384)
    parser.add_argument("--channels", type=int, default=1024)
    parser.add_argument("--groups", type=int, default=1)
    parser.add_argument("--state", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    channels = options.groups * options.channels
    arguments = inputs(1, options.length, channels, options.state, options.groups)
    plain = tuple(x.detach() for x in arguments)
    torch.testing.assert_close(selective_scan(*plain), loop(*plain), rtol=1e-4, atol=1e-3)
    times = milliseconds(
        {
            "exponentials alone": (exponentials(arguments, options.threads), 20),
            "ours, forward": (lambda: selective_scan(*plain), 20),
            "loop, forward": (lambda: loop(*plain), 2),
            "ours, forward + backward": (lambda: forward_and_backward(selective_scan, arguments), 10),
            "loop, forward + backward": (lambda: forward_and_backward(loop, arguments), 1),
        },
        options.rounds,
    )
    ratios = {
        "forward, times the loop": times["loop, forward"] / times["ours, forward"],
        "forward + backward, times the loop": times["loop, forward + backward"] / times["ours, forward + backward"],
        "forward / exponentials alone": times["ours, forward"] / times["exponentials alone"],
    }
    report(options, times, ratios)


def report(options: argparse.Namespace, times: dict[str, float], ratios: dict[str, float]) -> None:
    size = f"batch 1, length {options.length}, {options.groups} x {options.channels} channels, {options.state} states"
    click.echo(f"{size}, float32, {options.threads} threads, {cpu_kernel.instruction_set()}")
    for name, value in times.items():
        click.echo(f"{name:26} {value:8.3f} ms")
    for name, value in ratios.items():
        click.echo(f"{name:36} {value:6.2f}")
    if options.json:
        options.json.write_text(json.dumps({"size": size, "ms": times, "ratios": ratios}, indent=1) + "\n")


if __name__ == "__main__":
    main()
