"""Profile of a whole model in OpenVINO: with the extension of the selective scan, and with its inlined function."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import openvino
from mambapro.plugins.selective_scan.openvino import extension
from mambapro.plugins.selective_scan.schema import OP_TYPE

#: What OpenVINO calls a Scan.
_LOOPS = ("TensorIterator", "Loop")
#: (height, width) where neither the file nor the caller says one.
USUAL_SIZE = (256, 128)


def onnx_model(path: Path | None, image_size: tuple[int, int] | None) -> onnx.ModelProto:
    """The file's model, or the export of a checkpoint or of random weights."""
    if path is not None and path.suffix == ".onnx":
        return onnx.load(path)
    # PyTorch is needed for checkpoints alone
    import torch
    from mambapro.export.pytorch.onnx_graph import onnx_from_model
    from mambapro.train.models.checkpoints.weights import load_checkpoint
    from mambapro.train.models.mambapro.mambapro import MambaPro
    from mambapro.train.models.mambapro.model_config import MambaProConfig

    if path is not None:
        return onnx_from_model(load_checkpoint(path, image_size, default_image_size=USUAL_SIZE))
    torch.manual_seed(0)
    return onnx_from_model(MambaPro(MambaProConfig(image_size=image_size or USUAL_SIZE)).eval())


def random_inputs(model: onnx.ModelProto, batch: int) -> dict[str, np.ndarray]:
    """Noise images of every modality, camera 0, all modalities present."""
    random = np.random.default_rng(0)
    feeds: dict[str, np.ndarray] = {}
    for value in model.graph.input:
        kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        shape = [dim.dim_value or batch for dim in value.type.tensor_type.shape.dim]
        feeds[value.name] = random.integers(0, 256, shape).astype(kind) if kind == np.uint8 else np.ones(shape, kind)
        if kind == np.int64:
            feeds[value.name][:] = 0
    return feeds


def milliseconds(compiled: Any, feeds: dict[str, np.ndarray], runs: int) -> tuple[float, np.ndarray]:
    """Median time of a call after two that are not counted, and the output."""
    request = compiled.create_infer_request()
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        request.infer(feeds)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:]), request.get_output_tensor().data.copy()


def profile(compiled: Any, feeds: dict[str, np.ndarray], runs: int, scans: set[str]) -> Counter[str]:
    """Milliseconds of a call by type of operation; `scans` are the names of the nodes of the extension."""
    request = compiled.create_infer_request()
    spent: Counter[str] = Counter()
    request.infer(feeds)
    for _ in range(runs):
        request.infer(feeds)
        for node in request.get_profiling_info():
            kind = OP_TYPE if node.node_name in scans else node.node_type
            spent[kind] += 1e3 * node.real_time.total_seconds() / runs
    return spent


def print_profile(title: str, spent: Counter[str], call: float, scans: tuple[str, ...]) -> None:
    """The table of one compiled model, longest first; what takes under a thousandth is one line."""
    total = sum(spent.values())
    click.echo(f"\n{title}: {call:.1f} ms a call, {total:.1f} ms in operations")
    small = {kind: value for kind, value in spent.items() if value < total / 1000 and kind not in scans}
    for kind, value in spent.most_common():
        if kind not in small:
            click.echo(f"  {kind:24}{value:9.2f} ms {value / total:8.1%}")
    click.echo(f"  {f'{len(small)} others':24}{sum(small.values()):9.2f} ms {sum(small.values()) / total:8.1%}")
    mine = sum(spent[kind] for kind in scans)
    click.echo(f"  scans ({', '.join(kind for kind in scans if spent[kind])}): {mine:.2f} ms, {mine / total:.1%}")


def compare(name: str, found: np.ndarray, expected: np.ndarray) -> None:
    """One line: how far the embeddings are from ONNX Runtime's."""
    product = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    click.echo(f"  {name}: 1 - cosine at most {1 - product.min():.1e}, at most {abs(found - expected).max():.1e} off")


def with_onnxruntime(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """The embeddings in ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


@click.command(help=__doc__)
@click.argument("model", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--image-size", nargs=2, type=int, help="Height and width, where the file does not hold it.")
@click.option("--batch", default=1, show_default=True, help="Samples in a call.")
@click.option("--runs", default=10, show_default=True, help="Calls that are counted.")
@click.option("--threads", default=0, help="Threads of inference; 0 leaves it to OpenVINO.")
@click.option("--hint", type=click.Choice(["f32", "bf16", "f16"]), default="f32", show_default=True, help="Precision.")
def main(
    model: Path | None, image_size: tuple[int, int] | None, batch: int, runs: int, threads: int, hint: str
) -> None:
    """Print both profiles and the comparison."""
    graph = onnx_model(model, image_size)
    feeds = random_inputs(graph, batch)
    core = openvino.Core()
    properties: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint}
    if threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    click.echo(f"OpenVINO {openvino.__version__}, CPU, precision {hint}, batch {batch}")
    forms = {
        "extension": extension.read_model(core, graph),
        "inlined": core.read_model(extension.inlined(graph).SerializeToString()),
    }
    embeddings, spent_on_scans = {}, {}
    for name, network in forms.items():
        scans = {node.get_friendly_name() for node in network.get_ops() if node.get_type_name() == OP_TYPE}
        call, embeddings[name] = milliseconds(core.compile_model(network, "CPU", properties), feeds, runs)
        counted = core.compile_model(network, "CPU", {**properties, "PERF_COUNT": True})
        spent = profile(counted, feeds, runs, scans)
        spent_on_scans[name] = sum(spent[kind] for kind in (OP_TYPE, *_LOOPS))
        print_profile(name, spent, call, (OP_TYPE, *_LOOPS))
    click.echo(f"\ninlined scans take {spent_on_scans['inlined'] / spent_on_scans['extension']:.1f} times as long")
    click.echo("embeddings beside ONNX Runtime's in float32")
    expected = with_onnxruntime(graph, feeds)
    for name, found in embeddings.items():
        compare(name, found, expected)


if __name__ == "__main__":
    main()
