"""Attribute models on this CPU: PyTorch with sequential loops, PyTorch with our operator, and the bundle's OpenVINO.

    python benchmarks/attribute_speed.py [--model par_image_vim_s] [--precision bf16] [--rounds 3] [--json FILE]

Each model has its published size and drawn weights, the same in every candidate. It is exported and built by the
product's own commands. Then the candidates run batch 1 in turns, each in a process of its own on all threads; the
median of the rounds. A loop replaces the operator in every scan: the recurrence in eager PyTorch, token by token, plain
or with the exponentials of all tokens before it (see scan_cpu.py).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import torch
from precision import bundle_milliseconds, child_of, median_milliseconds
from scan_cpu import loop, plain_loop

if TYPE_CHECKING:
    from mambapro.train.models.model_spec import Model

MODELS = ("par_image_vim_s", "par_image_vmamba_b")
LOOPS = {"PyTorch, plain loop": plain_loop, "PyTorch, hoisted loop": loop}
OURS, OPENVINO = "PyTorch, our operator", "OpenVINO"
CANDIDATES = (*LOOPS, OURS, OPENVINO)
#: Timed calls in a process.
RUNS = {OURS: 7, OPENVINO: 11}


def drawn_model(name: str) -> Model:
    """Model of this name with weights from its own initialization, in eval mode."""
    from mambapro.train.models.attributes.named_models import NAMED_MODELS
    from mambapro.train.models.registry import model_class

    torch.manual_seed(0)
    named = NAMED_MODELS[name]
    return model_class(named.kind)(named.config).eval()


def drawn_image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)


def replace_operator(scan: Callable[..., torch.Tensor]) -> None:
    """Run every scan of the models by another function, from now on."""
    from mambapro.train.models.parts import cross_scan, mamba_mixer

    modules: tuple[Any, ...] = (cross_scan, mamba_mixer)
    for module in modules:
        module.selective_scan = scan


def built_bundle(model: Model, folder: Path, precision: str) -> Path:
    """Export and build by the command line. Returns the bundle, with an OpenVINO artifact of this precision."""
    from mambapro.train.models.checkpoints.weights import save_checkpoint

    checkpoint, bundle = folder / "model.pth", folder / "model.mambapro"
    save_checkpoint(model, checkpoint)
    program = [sys.executable, "-m", "mambapro"]
    subprocess.run([*program, "export", "--ckpt", str(checkpoint), "--output", str(bundle)], check=True)
    # drawn weights: the gate is for trained ones, the difference is printed
    build = ["build", str(bundle), "--target", "openvino", "--precision", precision, "--max-cosine-distance", "2"]
    subprocess.run([*program, *build], check=True)
    return bundle


def pytorch_call(name: str) -> Callable[[], np.ndarray]:
    """Call that computes the model's logits of the drawn image."""
    model = drawn_model(name)
    pixels = model.normalized(drawn_image(*model.config.image_size))

    @torch.inference_mode()
    def call() -> np.ndarray:
        return model(pixels).numpy()

    return call


def time_one(candidate: str, name: str) -> dict[str, Any]:
    """Milliseconds of one candidate of PyTorch in this process, and its logits."""
    if candidate in LOOPS:
        replace_operator(LOOPS[candidate])
    call = pytorch_call(name)
    return {"ms": median_milliseconds(call, RUNS.get(candidate, 2)), "logits": call().tolist()}


def measure(name: str, precision: str, rounds: int, threads: int) -> dict[str, float]:
    """Milliseconds of each candidate by name, the median of the rounds; prints how far the loops' logits differ."""
    times: dict[str, list[float]] = {candidate: [] for candidate in CANDIDATES}
    logits: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        bundle = built_bundle(drawn_model(name), Path(folder), precision)
        for _ in range(rounds):
            for candidate in (*LOOPS, OURS):
                fixed = ("--only", candidate, "--model", name, "--threads", str(threads))
                result = json.loads(child_of(__file__, *fixed))
                times[candidate].append(result["ms"])
                logits[candidate] = np.array(result["logits"])
            # as on a device, where no PyTorch shares the threads
            times[OPENVINO].append(bundle_milliseconds(bundle, "openvino", precision, "latency", 1, RUNS[OPENVINO]))
    for candidate in LOOPS:
        difference = np.abs(logits[candidate] - logits[OURS]).max()
        click.echo(f"logits of {candidate} and of our operator differ by at most {difference:.2g}")
    return {candidate: statistics.median(values) for candidate, values in times.items()}


@click.command(help=__doc__)
@click.option("--model", "models", multiple=True, default=MODELS, show_default=True)
@click.option("--precision", default="bf16", show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--json", "file", type=click.Path(path_type=Path))
@click.option("--only", type=click.Choice((*LOOPS, OURS)), help="Time one candidate and print JSON.")
def main(models: tuple[str, ...], precision: str, rounds: int, threads: int, file: Path | None, only: str) -> None:
    torch.set_num_threads(threads)
    if only:
        click.echo(json.dumps(time_one(only, models[0])))
        return
    results = {}
    for name in models:
        times = results[name] = measure(name, precision, rounds, threads)
        click.echo(f"\n{name}, batch 1, {threads} threads")
        for candidate, value in times.items():
            label = f"{candidate} {precision}" if candidate == OPENVINO else candidate
            click.echo(f"  {label:24}{value:10.1f} ms{times[OURS] / value:8.2f} times our PyTorch")
    if file is not None:
        file.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
