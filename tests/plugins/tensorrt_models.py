"""ONNX files for TensorRT's tests: the model, graphs of scans alone, and what must be refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import onnx
from mambapro.plugins.selective_scan.onnx_op import add_function
from mambapro.plugins.selective_scan.schema import DOMAIN, INPUTS, NODE_ATTRIBUTES, OP_TYPE, VERSION
from onnx import TensorProto, helper

TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
PARAMETERS = ("A", "D", "delta_bias")
#: Length, channels, groups, state: the intra- and the inter-modality scan of the full-size model.
FULL_SIZE = ((128, 3072, 3, 16), (384, 1024, 1, 16))


def shapes(length: int, channels: int, groups: int, state: int) -> dict[str, list[int | str]]:
    """Shapes of a scan's inputs, the batch left open."""
    u: list[int | str] = ["batch", length, channels]
    b: list[int | str] = ["batch", length, groups, state]
    return {"u": u, "delta": u, "A": [channels, state], "B": b, "C": b, "D": [channels], "delta_bias": [channels]}


def scans(
    path: Path,
    kind: str,
    sizes: Sequence[tuple[int, int, int, int]] = ((7, 12, 3, 4),),
    kinds: Mapping[str, str] | None = None,
    changes: Mapping[str, list[int | str]] | None = None,
) -> Path:
    """Write a model of one scan node for each entry of `sizes`, all its inputs inputs of the model.

    `kinds` gives single inputs another type, `changes` another shape.
    """
    inputs, outputs, nodes = [], [], []
    for i, size in enumerate(sizes):
        for name, shape in (shapes(*size) | dict(changes or {})).items():
            own = (kinds or {}).get(name, "float32" if name in PARAMETERS else kind)
            inputs.append(helper.make_tensor_value_info(f"{name}_{i}", TYPES[own], shape))
        outputs.append(helper.make_tensor_value_info(f"y_{i}", TYPES[kind], shapes(*size)["u"]))
        names = [f"{name}_{i}" for name in INPUTS]
        nodes.append(helper.make_node(OP_TYPE, names, [f"y_{i}"], name=f"scan_{i}", domain=DOMAIN, **NODE_ATTRIBUTES))
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, VERSION)]
    model = helper.make_model(helper.make_graph(nodes, "scans", inputs, outputs), opset_imports=opsets, ir_version=10)
    add_function(model)
    onnx.save(model, path)
    return path


@cache
def model_files(checkpoint: Path) -> list[Path]:
    """The model of a checkpoint, float32 and float16, as the exporter writes it, in files beside the checkpoint."""
    from mambapro.export.pytorch.onnx_graph import onnx_from_model
    from mambapro.graph.cast import typed
    from mambapro.graph.onnx_file import save_onnx
    from mambapro.train.models.checkpoints.weights import load_checkpoint

    paths = [checkpoint.parent / f"{precision}.onnx" for precision in ("fp32", "fp16")]
    graph = onnx_from_model(load_checkpoint(checkpoint).eval())
    save_onnx(graph, paths[0])
    save_onnx(typed(graph, "fp16"), paths[1])
    return paths
