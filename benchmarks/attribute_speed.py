"""Attribute models on this CPU: PyTorch with a sequential loop, PyTorch with our operator, and the bundle's OpenVINO.

    python benchmarks/attribute_speed.py [--model par_image_vim_s] [--precision bf16] [--rounds 5] [--json FILE]

Each model has its published size and drawn weights, the same in every candidate. It is exported and built by the
product's own commands. Then the candidates run batch 1 in turns in one process, each on all threads; medians. The loop
replaces the operator in every scan and is the recurrence in eager PyTorch, token by token (see scan_cpu.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import torch
from scan_cpu import loop, milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mambapro.train.models.model_spec import Model

MODELS = ("par_image_vim_s", "par_image_vmamba_b")


def drawn_model(name: str) -> Model:
    """Model of this name with weights from its own initialization, in eval mode."""
    from mambapro.train.models.attributes.named_models import NAMED_MODELS
    from mambapro.train.models.registry import model_class

    torch.manual_seed(0)
    named = NAMED_MODELS[name]
    return model_class(named.kind)(named.config).eval()


@contextmanager
def looped() -> Iterator[None]:
    """Run every scan of the models as the loop."""
    from mambapro.train.models.parts import cross_scan, mamba_mixer

    modules: tuple[Any, ...] = (cross_scan, mamba_mixer)
    operators = [module.selective_scan for module in modules]
    for module in modules:
        module.selective_scan = loop
    try:
        yield
    finally:
        for module, operator in zip(modules, operators, strict=True):
            module.selective_scan = operator


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


def bundle_call(bundle: Path, precision: str, images: np.ndarray) -> Callable[[], np.ndarray]:
    """Call that computes the bundle's compared output for uint8 images (B, H, W, 3)."""
    from mambapro.runtime.data.batch import Batch
    from mambapro.runtime.run_options import RunOptions
    from mambapro.runtime.session import Session

    session = Session(bundle, RunOptions(target="openvino", precision=precision))
    batch = Batch.of({"rgb": images})
    return lambda: session.run(batch)["logits"]


def measure(name: str, precision: str, rounds: int) -> dict[str, float]:
    """Milliseconds of each candidate by name."""
    model = drawn_model(name)
    image = np.random.default_rng(0).integers(0, 256, (1, *model.config.image_size, 3), np.uint8)
    pixels = model.normalized(image)

    @torch.inference_mode()
    def ours() -> torch.Tensor:
        return model(pixels)

    def with_loop() -> torch.Tensor:
        with looped():
            return ours()

    torch.testing.assert_close(ours(), with_loop(), rtol=1e-4, atol=1e-4)
    with tempfile.TemporaryDirectory() as folder:
        call = bundle_call(built_bundle(model, Path(folder), precision), precision, image)
        click.echo(f"largest difference of {precision} logits: {np.abs(call() - ours().numpy()).max():.2g}")
        candidates = {
            "PyTorch, loop": (with_loop, 1),
            "PyTorch, our operator": (ours, 4),
            f"OpenVINO {precision}": (call, 8),
        }
        return milliseconds(candidates, rounds)


@click.command(help=__doc__)
@click.option("--model", "models", multiple=True, default=MODELS, show_default=True)
@click.option("--precision", default="bf16", show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--json", "file", type=click.Path(path_type=Path))
def main(models: tuple[str, ...], precision: str, rounds: int, threads: int, file: Path | None) -> None:
    torch.set_num_threads(threads)
    results = {}
    for name in models:
        times = results[name] = measure(name, precision, rounds)
        click.echo(f"\n{name}, batch 1, {threads} threads")
        ours = times["PyTorch, our operator"]
        for candidate, value in times.items():
            click.echo(f"  {candidate:24}{value:10.1f} ms{ours / value:8.2f} times our PyTorch")
        click.echo(f"  our operator is {times['PyTorch, loop'] / ours:.1f} times as fast as the loop")
    if file is not None:
        file.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
