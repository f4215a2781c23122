"""A model's artifacts beside PyTorch, end to end, and what share of the machine's matrix products each reaches.

    python benchmarks/precision.py CKPT BUNDLE [--dataset rgbnt201] [--batch 1,8] [--rounds 3] [--runs 5] [--json FILE]

Every candidate runs in a process of its own, in turns: the checkpoint in PyTorch in float32, as it is trained and
evaluated, then every artifact of the bundle that runs here; OpenVINO in throughput mode too where a batch can be
divided. Timed from decoded images, twice the model's size, to the feature; the median of the rounds. The rate of matrix
products is that of one layer of the model's size (width x 4 width), through PyTorch and through OpenVINO, the best of
the two and of the rounds.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

PYTORCH = "PyTorch fp32"
END_TO_END = "end to end"


def pytorch_milliseconds(checkpoint: Path, dataset: str, batch: int, runs: int) -> float:
    """Median of the checkpoint in eager float32, from the same images as `mambapro bench` draws."""
    from mambapro.runtime.data.decoding import decode
    from mambapro.runtime.data.modalities import MODALITIES
    from mambapro.runtime.data.readers.benchmarks import benchmark_info
    from mambapro.runtime.evaluation.latency import SOURCE_SCALE
    from mambapro.train.engine.feature_function import torch_feature_function
    from mambapro.train.engine.image_ranges import model_preprocessing
    from mambapro.train.models.checkpoints.weights import load_checkpoint

    model = load_checkpoint(checkpoint, None, default_image_size=benchmark_info(dataset).image_size)
    pre, random = model_preprocessing(model), np.random.default_rng(0)
    shape = (pre.height * SOURCE_SCALE, pre.width * SOURCE_SCALE, 3)
    images = [{m: random.integers(0, 256, shape, np.uint8) for m in MODALITIES} for _ in range(batch)]
    function, cameras = torch_feature_function(model), np.zeros(batch, np.int64)

    def call() -> None:
        function(decode(images, cameras, MODALITIES, pre)[0])

    return median_milliseconds(call, runs)


def median_milliseconds(call: Any, runs: int) -> float:
    """Of `runs` calls, after two that do not count."""
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def product_rates(rows: int, width: int) -> dict[str, float]:
    """Operations (2 per multiply and add) per second of rows x width times width x 4 width, by precision."""
    import torch

    rates: dict[str, list[float]] = {"fp32": [], "bf16": [], "int8": []}
    work = 2.0 * rows * width * 4 * width
    for precision, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        x, w = torch.randn(rows, width).to(kind), torch.randn(width, 4 * width).to(kind)
        rates[precision].append(work / median_milliseconds(lambda x=x, w=w: x @ w, 20) * 1e3)
    for precision in rates:
        rates[precision].append(work / openvino_product(rows, width, precision) * 1e3)
    return {precision: max(values) for precision, values in rates.items()}


def openvino_product(rows: int, width: int, precision: str) -> float:
    """Milliseconds of that product in OpenVINO."""
    import openvino
    from openvino import opset13 as ops

    x = ops.parameter([rows, width], np.float32)
    weight = ops.constant(np.random.default_rng(0).normal(size=(width, 4 * width)).astype(np.float32))
    left, right = x, weight
    if precision == "int8":
        left = ops.fake_quantize(x, *(np.float32(v) for v in (-4, 4, -4, 4)), 256)
        right = ops.fake_quantize(weight, *(np.float32(v) for v in (-4, 4, -4, 4)), 255)
    model = openvino.Model([ops.matmul(left, right, False, False)], [x])
    hint = "bf16" if precision == "bf16" else "f32"
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    request, feed = compiled.create_infer_request(), np.random.default_rng(1).normal(size=(rows, width))
    return median_milliseconds(lambda: request.infer([feed.astype(np.float32)]), 20)


def operations_of(checkpoint: Path, dataset: str) -> tuple[float, int, int]:
    """Operations of one sample in matrix products and all else, rows of its backbone's products, its width."""
    from mambapro.runtime.data.readers.benchmarks import benchmark_info
    from mambapro.train.models.checkpoints.weights import load_checkpoint
    from mambapro.train.paper.cost.operations import operations
    from mambapro.train.paper.cost.parameters import empty_model

    config = load_checkpoint(checkpoint, None, default_image_size=benchmark_info(dataset).image_size).config
    (height, width), patch = config.image_size, config.patch_size
    tokens = (height // patch) * (width // patch) + 1 + 3 * config.prompt_tokens
    return 2.0 * sum(operations(empty_model(config)).values()), 3 * tokens, config.width


def child_of(script: str, *arguments: str) -> str:
    """Output of a script in a process of its own."""
    return subprocess.run([sys.executable, script, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def bundle_milliseconds(bundle: Path, target: str, precision: str, mode: str, batch: int, runs: int) -> float:
    """Median end to end of one artifact, by `mambapro bench`."""
    command = [sys.executable, "-m", "mambapro", "bench", str(bundle), "--target", target, "--precision", precision]
    command += ["--mode", mode, "--batch", str(batch), "--runs", str(runs), "--warmup", "2", "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return next(item["p50"] for item in json.loads(done.stdout)["timings"] if item["scope"] == END_TO_END)


def candidates(bundle: Path, batch: int) -> list[tuple[str, str, str]]:
    """(target, precision, mode) of what runs here."""
    from mambapro.runtime.bundle.bundle import Bundle
    from mambapro.runtime.run_options import RunOptions
    from mambapro.runtime.selection import why_not

    opened = Bundle.open(bundle)
    found = [item for item in opened.artifacts if why_not(opened, item, RunOptions(unverified=True)) is None]
    latency = [(item.target, item.precision, "latency") for item in found]
    return latency + [(t, p, "throughput") for t, p, _ in latency if t == "openvino" and batch > 1]


def measure(
    checkpoint: Path, bundle: Path, dataset: str, batch: int, rounds: int, runs: int, size: tuple[int, int]
) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of one sample by name, median over the rounds; products per second by precision, best of them."""
    times: dict[str, list[float]] = {}
    rates: dict[str, float] = {}
    for _ in range(rounds):
        found_rates = json.loads(
            child_of(__file__, "--only-products", ",".join(map(str, size)), str(checkpoint), str(bundle))
        )
        rates = {name: max(rate, rates.get(name, 0.0)) for name, rate in found_rates.items()}
        found = child_of(
            __file__, "--only-pytorch", str(checkpoint), str(bundle), "--dataset", dataset, "--batch", str(batch)
        )
        times.setdefault(PYTORCH, []).append(float(found) / batch)
        for target, precision, mode in candidates(bundle, batch):
            name = f"{target} {precision}" + (" throughput" if mode == "throughput" else "")
            found_ms = bundle_milliseconds(bundle, target, precision, mode, batch, runs)
            times.setdefault(name, []).append(found_ms / batch)
    return {name: statistics.median(values) for name, values in times.items()}, rates


@click.command(help=__doc__)
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.argument("bundle", type=click.Path(exists=True, path_type=Path))
@click.option("--dataset", default="rgbnt201", show_default=True, help="Gives the image size.")
@click.option("--batch", "batches", default="1,8", show_default=True, help="Batch sizes, with commas.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--runs", default=5, show_default=True, help="Timed calls of each process.")
@click.option("--json", "file", type=click.Path(path_type=Path))
@click.option("--only-products", help="ROWS,WIDTH: print the rates of products as JSON and stop.")
@click.option("--only-pytorch", is_flag=True, help="Print PyTorch's milliseconds for the first batch size and stop.")
def main(
    checkpoint: Path,
    bundle: Path,
    dataset: str,
    batches: str,
    rounds: int,
    runs: int,
    file: Path | None,
    only_products: str | None,
    only_pytorch: bool,
) -> None:
    """Print the tables."""
    sizes = [int(size) for size in batches.split(",")]
    if only_products:
        rows, width = (int(number) for number in only_products.split(","))
        click.echo(json.dumps(product_rates(rows, width)))
        return
    if only_pytorch:
        click.echo(pytorch_milliseconds(checkpoint, dataset, sizes[0], max(2, runs // 2)))
        return
    work, rows, width = operations_of(checkpoint, dataset)
    result: dict[str, Any] = {"operations": work, "batches": {}}
    for batch in sizes:
        times, rates = measure(checkpoint, bundle, dataset, batch, rounds, runs, (rows * batch, width))
        result["batches"][batch] = {"products_per_second": rates, "milliseconds": times}
        listed = ", ".join(f"{name} {rate / 1e12:.2f}" for name, rate in rates.items())
        click.echo(f"\nbatch {batch}; matrix products in tera-operations per second: {listed}")
        click.echo(f"{'':32}{'ms a sample':>12}{'times as fast':>15}{'share of products':>19}")
        for name, milliseconds in times.items():
            precision = next((p for p in ("int8", "bf16") if p in name), "fp32")
            share = work / (milliseconds * 1e-3) / rates[precision]
            click.echo(f"{name:32}{milliseconds:12.1f}{times[PYTORCH] / milliseconds:15.2f}{share:19.0%}")
    if file is not None:
        file.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
