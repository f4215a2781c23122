"""A full-size training step on a CPU: ours beside three passes with the scan as a loop in eager PyTorch.

    python benchmarks/train_step.py [--batch 16] [--rounds 5] [--precision bfloat16] [--scan unbind] [--json FILE]

One process, the two in turn, medians; memory from a process for each. Same parameters, losses and optimiser; random
images. First both are held to the same loss and gradient. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import torch
from mambapro.train.engine.device import autocast, peak_mebibytes
from mambapro.train.engine.frozen import prepare_training
from mambapro.train.engine.optimizer import build_optimizer, freeze_pretrained
from mambapro.train.models.mambapro.mambapro import MambaPro
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.reid.losses import pair_losses
from three_passes import RECURRENCES, ThreePasses
from torch import Tensor

CPU = torch.device("cpu")
NAMES = ("three passes", "mambapro")
PARTS = (
    "backbone forward",
    "aggregation, losses forward",
    "aggregation, losses backward",
    "backbone backward",
    "optimiser",
)
#: How far loss, length and direction of the gradient may lie apart; bfloat16 has 8 bits.
LIMITS = {"bfloat16": 2e-2, "float32": 1e-4}
#: Samples of the comparison in float32, which would take the longest of all.
FEW = 8


@dataclass
class Candidate:
    """One way to take the step, and the seconds of its parts, one list for each round."""

    forward: Callable[[Tensor, Tensor], Any]
    rounds: list[list[float]] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def seconds(self) -> dict[str, float]:
        """Median of each part, of the whole step and of the processor's time."""
        columns = zip(*self.rounds, strict=True)
        parts = {name: statistics.median(values) for name, values in zip(PARTS, columns, strict=True)}
        whole = {"step": statistics.median(map(sum, self.rounds)), "processor": statistics.median(self.processor)}
        return parts | whole


class Bench:
    """A model, a batch, and the candidates that train the one on the other."""

    def __init__(self, batch: int, size: str = "vit_b16", scan: str = "unbind") -> None:
        torch.manual_seed(0)
        self.model: MambaPro = build_model(size, image_size=(256, 128), cameras=4, identities=171)
        freeze_pretrained(self.model)
        self.model.train()
        self.optimizer = build_optimizer(self.model.named_parameters(), self.model.spec.pretrained, base=3.5e-4)
        self.all_images = torch.randn(batch, 3, 3, 256, 128)
        self.candidates = {name: Candidate(ThreePasses(self.model, scan)) for name in NAMES}
        self.marks: list[float] = []
        self.use("float32", batch)

    def use(self, precision: str, samples: int) -> None:
        """From now on compute in `precision`, on the first `samples`."""
        self.precision, self.images = precision, self.all_images[:samples]
        self.labels, self.cameras = torch.arange(samples) // 4, torch.arange(samples) % 4
        self.candidates["mambapro"].forward = prepare_training(self.model, precision, CPU)

    def mark(self) -> None:
        self.marks.append(time.perf_counter())

    def gradients(self, candidate: Candidate) -> Tensor:
        """Forward and backward pass; marks the parts' ends, returns the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        self.mark()
        watch = Watch(self)
        with autocast(self.precision, CPU):
            outputs = candidate.forward(self.images, self.cameras)
        watch.remove()
        losses = pair_losses(outputs, self.labels)
        self.mark()
        losses.total.backward()
        self.mark()
        return losses.total.detach()

    def loss_and_gradient(self, candidate: Candidate) -> tuple[float, Tensor]:
        """The loss, and the gradients of all parameters in a row, float64."""
        loss = float(self.gradients(candidate))
        return loss, torch.cat([p.grad.flatten().double() for p in self.model.parameters() if p.grad is not None])

    def step(self, candidate: Candidate) -> None:
        """One training step, timed."""
        self.marks, busy = [], time.process_time()
        self.gradients(candidate)
        self.optimizer.step()
        self.mark()
        candidate.processor.append(time.process_time() - busy)
        candidate.rounds.append([end - start for start, end in pairwise(self.marks)])


class Watch:
    """Marks when the last token has left the backbone, and when the first gradient of tokens comes back to it.

    The norm behind the last layer is what both candidates call, three times or once.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench, self.tokens = bench, 0
        norm = bench.model.backbone.ln_post
        self.hook = norm.register_forward_hook(self.leaves)

    def leaves(self, module: Any, inputs: Any, output: Tensor) -> None:
        self.tokens += output.shape[0]
        output.register_hook(self.returns)
        if self.tokens == 3 * len(self.bench.labels):
            self.bench.mark()

    def returns(self, gradient: Tensor) -> None:
        if len(self.bench.marks) == 3:
            self.bench.mark()

    def remove(self) -> None:
        self.hook.remove()


def agreement(bench: Bench) -> dict[str, float]:
    """Relative differences of loss and length of the gradient, and 1 - cosine of the two gradients.

    Raises:
        SystemExit: they lie further apart than the arithmetic explains.
    """
    (loss, gradient), (our_loss, our_gradient) = map(bench.loss_and_gradient, bench.candidates.values())
    apart = {
        "loss": abs(our_loss / loss - 1),
        "length of the gradient": abs(float(our_gradient.norm() / gradient.norm()) - 1),
        "direction of the gradient": 1 - float(torch.cosine_similarity(gradient, our_gradient, 0)),
    }
    if any(not value <= LIMITS[bench.precision] for value in apart.values()):
        raise SystemExit(f"the two do not compute the same in {bench.precision}: {apart}")
    return apart


def child_memory(options: argparse.Namespace, name: str) -> float:
    """Peak MiB of a process that takes two steps one way."""
    command = [sys.executable, __file__, "--batch", options.batch, "--precision", options.precision]
    command += ["--threads", options.threads, "--size", options.size, "--scan", options.scan, "--only", name]
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--batch", type=int, default=16, help="a multiple of 4, at least 8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=LIMITS, default="bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", default="vit_b16", help="a size of `mambapro train`")
    parser.add_argument("--scan", choices=RECURRENCES, default="unbind", help="how the other scans; indexed takes long")
    parser.add_argument("--bare", action="store_true", help="times alone: neither memory nor the comparison first")
    parser.add_argument("--only", choices=NAMES, help="two steps of one, prints its peak memory in MiB")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # first: a process starts with the peak of the one that started it
    memory = {} if options.only or options.bare else {name: child_memory(options, name) for name in NAMES}
    bench = Bench(options.batch, options.size, options.scan)
    if options.only:
        bench.use(options.precision, options.batch)
        for _ in range(2):
            bench.step(bench.candidates[options.only])
        click.echo(peak_mebibytes(CPU))
        return
    apart = {}
    for precision, samples in (("float32", FEW), (options.precision, options.batch)):
        bench.use(precision, samples)
        if not options.bare:
            apart[precision] = agreement(bench)
    for number in range(options.rounds + 1):
        for candidate in bench.candidates.values():
            bench.step(candidate)
            if number == 0:
                # the first of each is slower: memory is new, Adam has no state yet
                candidate.rounds.clear()
                candidate.processor.clear()
    report(options, bench, apart, memory)


def report(
    options: argparse.Namespace, bench: Bench, apart: dict[str, dict[str, float]], memory: dict[str, float]
) -> None:
    seconds = {name: candidate.seconds() for name, candidate in bench.candidates.items()}
    rates = {name: options.batch / values["step"] for name, values in seconds.items()}
    steps = [[sum(parts) for parts in candidate.rounds] for candidate in bench.candidates.values()]
    ratios = sorted(theirs / ours for theirs, ours in zip(*steps, strict=True))
    threads = f"{options.threads} threads, scan {options.scan}"
    setting = f"{options.size}, batch {options.batch}, {options.precision}, {threads}"
    click.echo(f"{setting}, {torch.backends.cpu.get_cpu_capability()}, medians of {options.rounds} rounds")
    click.echo(f"{'':30}{NAMES[0]:>14}{NAMES[1]:>14}")
    for part in (*PARTS, "step", "processor"):
        label = {"processor": "processor time of a step"}.get(part, part)
        click.echo(f"{label + ', s':30}" + "".join(f"{seconds[name][part]:14.2f}" for name in NAMES))
    click.echo(f"{'samples/s':30}" + "".join(f"{rates[name]:14.3f}" for name in NAMES))
    if memory:
        click.echo(f"{'peak memory, MiB':30}" + "".join(f"{memory[name]:14.0f}" for name in NAMES))
    ratio = statistics.median(ratios)
    busy = seconds[NAMES[0]]["processor"] / seconds[NAMES[1]]["processor"]
    click.echo(f"ours, times the samples/s: {ratio:.2f} (rounds {ratios[0]:.2f} to {ratios[-1]:.2f})")
    click.echo(f"the same by processor time: {busy:.2f}")
    for precision, values in apart.items():
        click.echo(f"apart in {precision}: " + ", ".join(f"{name} {value:.1e}" for name, value in values.items()))
    if options.json:
        found = {"setting": setting, "seconds": seconds, "samples_per_second": rates, "memory_mib": memory}
        found |= {"ratios": ratios, "ratio": ratio, "processor_ratio": busy, "apart": apart}
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
