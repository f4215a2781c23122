"""Attribute models of published size through the export: ONNX Runtime and OpenVINO in float32 against the reference.

    python benchmarks/attribute_goldens.py [--model hybrid5_mahdft] [--reference FOLDER] [--factor 10] [--json FILE]

Weights and images are drawn from their names (tests/golden/attribute_reference.py), and the logits compared with those
of the public code. The limit is FACTOR times the error of the reference's own float32 run. FOLDER holds seedN/NAME.npz
and tolerances.json in place of the recorded outputs. Exit code 1 if a model is above the limit.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "golden"))

import attribute_reference as reference

SEED, LABELS = 1, 26


class Result(NamedTuple):
    """Error of one runtime."""

    model: str
    runtime: str
    error: float
    limit: float
    seconds: float

    def __str__(self) -> str:
        mark = "" if self.error <= self.limit else "  ABOVE"
        return (
            f"{self.model:24} {self.runtime:12} {self.error:8.1e}  limit {self.limit:7.1e}  {self.seconds:5.0f} s{mark}"
        )


def names() -> list[str]:
    """Models with logits of attributes, of published size."""
    from mambapro.train.models.attributes.named_models import NAMED_MODELS

    return [name for name in NAMED_MODELS if name.startswith(("par_", "hybrid"))]


def wanted(name: str, folder: Path | None, seed: int) -> tuple[np.ndarray, float] | None:
    """Logits of the reference for what is deployed, and the error of its float32 run; None without a record."""
    if folder is None:
        arrays, facts = reference.recorded(name), reference.facts()["tolerances"]
        errors = {key: facts[f"{name}/{key}"] for key in arrays}
    else:
        with np.load(folder / f"seed{seed}" / f"{name}.npz") as file:
            arrays = dict(file)
        stored = json.loads((folder / "tolerances.json").read_text())[name]
        errors = {key: min(run["max_abs"] for run in stored[key].values()) for key in arrays}
    key = "logits" if "logits" in arrays else "logits_vim"
    return (arrays[key], errors[key]) if key in arrays else None


def exported(name: str, file: Path, seed: int) -> None:
    """Export a model with drawn weights to an ONNX file."""
    from mambapro.export.pytorch.onnx_graph import check_graph, onnx_from_model
    from mambapro.graph.onnx_file import save_onnx
    from mambapro.train.models.attributes.named_models import NAMED_MODELS
    from mambapro.train.models.registry import model_class

    named = NAMED_MODELS[name]
    with torch.device("meta"):
        model = model_class(named.kind)(named.config)
    model.load_state_dict(reference.state_of(model, seed=seed), assign=True)
    if "fixedtext" in name:
        model.set_constants(label_vectors=reference.label_vectors(LABELS, 768, seed))
    elif model.constants:
        model.set_constants(label_tokens=reference.token_ids(LABELS, seed))
    graph = onnx_from_model(model.eval())
    check_graph(graph, model.spec)
    save_onnx(graph, file)


def run(name: str, folder: Path | None, seed: int, factor: float) -> Iterator[Result]:
    """Compare one model in both runtimes."""
    from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
    from mambapro.runtime.backends.openvino import OpenVinoBackend

    target = wanted(name, folder, seed)
    if target is None:
        click.echo(f"{name:24} has no recorded logits")
        return
    logits, error = target
    # the pictures are bytes that were normalized to [-1, 1]
    pixels = np.rint((reference.images(224, seed).transpose(0, 2, 3, 1) + 1) * 127.5).astype(np.uint8)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "model.onnx")
        exported(name, file, seed)
        for runtime, kind in (("ONNX Runtime", OnnxRuntimeBackend), ("OpenVINO", OpenVinoBackend)):
            backend = kind(file)
            found = backend.run({"image": pixels})["logits"]
            backend.close()
            difference = float(np.abs(found.astype(np.float64) - logits).max())
            yield Result(name, runtime, difference, factor * error, time.perf_counter() - started)


@click.command()
@click.option("--model", "models", multiple=True, help="Name of a model; repeat it. Default: all.")
@click.option("--reference", "folder", type=click.Path(path_type=Path, exists=True), help="Folder of other outputs.")
@click.option("--seed", type=int, default=SEED, show_default=True, help="Seed of weights, images and outputs.")
@click.option("--factor", type=float, default=10.0, show_default=True, help="Limit in errors of the reference.")
@click.option("--json", "output", type=click.Path(path_type=Path), help="Write the results to this file.")
def main(models: tuple[str, ...], folder: Path | None, seed: int, factor: float, output: Path | None) -> None:
    """Compare exported attribute models with the reference."""
    results = []
    for name in models or names():
        for result in run(name, folder, seed, factor):
            click.echo(result)
            results.append(result)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    click.echo(f"peak {peak:.1f} GiB")
    if output is not None:
        output.write_text(json.dumps([result._asdict() for result in results], indent=1))
    # written so that NaN fails
    sys.exit(0 if results and all(result.error <= result.limit for result in results) else 1)


if __name__ == "__main__":
    main()
