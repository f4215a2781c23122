"""Types of the network's parts, read from its ONNX file."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import NodeProto, TensorProto

from ...common.foreign_text import escaped
from ...common.records import Report, encode
from ...errors import ArtifactError
from ...graph.module_roles import roles_of
from ...plugins.selective_scan.schema import OP_TYPE

#: Kinds of nodes that affect speed and accuracy of a model.
LINEAR, PRODUCT, NORM, SOFTMAX, SCAN, SUM = "linear", "product", "norm", "softmax", "scan", "sum"
#: A file that one runtime computes in another type than the file's, by a hint, does so in these.
HINTED = (LINEAR, PRODUCT)
INT8 = "int8"

_SCOPES = "pkg.torch.onnx.name_scopes"
_MULTIPLIED = ("MatMul", "Gemm", "Conv")
_KINDS = {"LayerNormalization": NORM, "Softmax": SOFTMAX, OP_TYPE: SCAN, "Add": SUM}
_PARTS = {PRODUCT: "products", SOFTMAX: "softmax", SCAN: "scan", SUM: "residual sum"}
_TYPES: dict[int, str] = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}
#: Nodes that pass a value on without computing.
_CARRIERS = ("Cast", "Transpose", "Reshape", "Identity", "Unsqueeze", "Squeeze")
#: Constants of more values are weights; smaller ones may be shapes.
_SMALL = 64


@dataclass(frozen=True)
class Cell:
    """One part of one block, merged over the three sensors.

    Attributes:
        block: such as "backbone.layers.3", the row of the map; "" for what belongs to no module.
        part: such as "mlp.inner", the column.
        kind: LINEAR, PRODUCT, NORM, SOFTMAX, SCAN or SUM.
        types: the types it computes in; more than one where the sensors differ.
        modules: number of computations.
        weights: values of the weights.
    """

    block: str
    part: str
    kind: str
    types: tuple[str, ...]
    modules: int
    weights: int


@dataclass(frozen=True)
class PrecisionMap(Report):
    """Cells of one ONNX file, in graph order. `hint` is the inference type of its runtime."""

    file: str
    hint: str | None
    cells: tuple[Cell, ...]

    def shares(self) -> dict[str, float]:
        """Return the fraction of the weights of Linears and convolutions by type, the largest first; sums to 1."""
        counted: Counter[str] = Counter()
        for cell in self.cells:
            if cell.kind == LINEAR:
                for name in cell.types:
                    counted[name] += cell.weights / len(cell.types)  # type: ignore[assignment]
        total = sum(counted.values())
        return {name: value / total for name, value in counted.most_common()} if total else {}

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"file": self.file, "hint": self.hint, "shares": self.shares(), "cells": encode(self.cells)}


def precision_map(path: Path, hint: str | None = None) -> PrecisionMap:
    """Read the map of the ONNX file `path`.

    `hint`, such as "bf16", is the type in which a runtime computes the file's float32.

    Raises:
        ArtifactError: not an ONNX file, or one without module names of its nodes.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError) as error:
        raise ArtifactError(f"{escaped(path)} cannot be read as ONNX: {error}. Build the artifact again.") from error
    cells: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
    for block, part, kind, name, weights in _Graph(model).computations():
        asked = hint if hint and kind in HINTED and name == "fp32" else name
        cells.setdefault((block, part), []).append((kind, asked, weights))
    if not cells:
        raise ArtifactError(
            f"{escaped(path)} does not say to which module its nodes belong, so there is no map of it. "
            "Was it changed by another tool? Export the bundle again."
        )
    return PrecisionMap(path.name, hint, tuple(_cell(*key, parts) for key, parts in cells.items()))


def _cell(block: str, part: str, parts: list[tuple[str, str, int]]) -> Cell:
    kinds, types, weights = zip(*parts, strict=True)
    return Cell(block, part, kinds[0], tuple(dict.fromkeys(types)), len(parts), sum(weights))


class _Graph:
    """ONNX graph with the lookups of the map."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes = model.graph.node
        self.roles = roles_of(model)
        halves = "|".join(map(re.escape, self.roles.halves)) or "(?!)"
        self.block = re.compile(rf"(?P<block>.*?\.\d+(?:\.(?:{halves}))?)(?:\.(?P<part>.+))?")
        for tensor in model.graph.initializer:
            # names, shapes and types are enough, and the input of shape inference is limited to 2 GB
            if _size(tensor.dims) > _SMALL:
                tensor.ClearField("raw_data")
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.producers = {output: node for node in self.nodes for output in node.output}

    def computations(self) -> Iterator[tuple[str, str, str, str, int]]:
        """Yield (block, part, kind, type, values of the weight) of every node in the map."""
        for node in self.nodes:
            if node.op_type not in _MULTIPLIED and node.op_type not in _KINDS:
                continue
            module = _module(node)
            weight = self._weight(node) if node.op_type in _MULTIPLIED else None
            kind = _KINDS.get(node.op_type) or (PRODUCT if weight is None else LINEAR)
            if module is None or (kind == SUM and not self._is_residual(node, module)):
                continue
            block, part = self._place(module, kind, weight.name if weight is not None else "")
            values = _size(weight.dims) if weight is not None else 0
            yield block, part, kind, self._type(node, kind), values

    def _place(self, module: str, kind: str, weight: str) -> tuple[str, str]:
        """Return (block, part) of a computation."""
        # what is multiplied outside any module keeps its parameter's name; quantising adds to it after a slash
        full = module or weight.split("/")[0]
        name = ".".join(word for word in full.split(".") if word not in self.roles.alike)
        match = self.block.fullmatch(name)
        block, part = (match["block"], match["part"] or "") if match else ("", name)
        home = next((name for name in self.roles.computed_in if part.endswith(name)), None)
        if home and kind == LINEAR:
            part += f".{self.roles.computed_in[home]}"
        if kind in _PARTS:
            part = part.removesuffix(home).removesuffix(".") if home and kind == SCAN else part
            part = f"{part} {_PARTS[kind]}".strip()
        return block, part or "linear"

    def _weight(self, node: NodeProto) -> TensorProto | None:
        """Return the constant that a node multiplies by, before quantization and casts."""
        through = (*_CARRIERS, "DequantizeLinear", "QuantizeLinear")
        return self.constants.get(self._origin(node.input[1], through)) if len(node.input) > 1 else None

    def _origin(self, name: str, through: Iterable[str]) -> str:
        """Return the value that `name` is, before nodes of the types `through`."""
        while name in self.producers and self.producers[name].op_type in through:
            name = self.producers[name].input[0]
        return name

    def _is_residual(self, node: NodeProto, module: str) -> bool:
        """Return True if a block adds two values of its own, not a bias or an inner sum."""
        match = self.block.fullmatch(module)
        computed = not any(self._origin(name, _CARRIERS) in self.constants for name in node.input)
        return computed and match is not None and match["part"] is None

    def _type(self, node: NodeProto, kind: str) -> str:
        sides = [self.producers.get(self._origin(name, _CARRIERS)) for name in node.input[:2]]
        quantized = [side is not None and side.op_type == "DequantizeLinear" for side in sides]
        if kind in (LINEAR, PRODUCT) and all(quantized):
            return INT8
        return _TYPES.get(self._element_types.get(node.output[0], TensorProto.UNDEFINED), "unknown")

    @cached_property
    def _element_types(self) -> dict[str, int]:
        """Types of the values; types missing in the file are inferred."""
        types = _stated(self.model)
        if all(output in types for node in self.nodes for output in node.output if node.op_type in _MULTIPLIED):
            return types
        return {**_stated(onnx.shape_inference.infer_shapes(self.model)), **types}


def _stated(model: onnx.ModelProto) -> dict[str, int]:
    graph = model.graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def _module(node: NodeProto) -> str | None:
    """Return the name of the module that a node was exported from, None if unknown."""
    text = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), None)
    try:
        return str(ast.literal_eval(text or "")[-2])
    except (ValueError, SyntaxError, LookupError, TypeError):
        return None


def _size(dims: Iterable[int]) -> int:
    size = 1
    for dim in dims:
        size *= dim
    return size
