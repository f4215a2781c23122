"""PyTorch to ONNX: one file for every runtime."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections import Counter

import onnx
import torch
from onnx_ir.passes.common import IdentityEliminationPass
from onnxscript.optimizer import optimize_ir

from ...errors import ExportError
from ...graph.layers import SCOPES
from ...graph.module_roles import set_roles
from ...plugins.selective_scan.onnx.node import add_function, translation_table
from ...train.models.model_spec import Model, ModelSpec

log = logging.getLogger("mambapro")

#: The newest opset that TensorRT 10.3 supports; Q/DQ with float16 scales needs 19.
OPSET = 20


def onnx_from_model(model: Model) -> onnx.ModelProto:
    """Export a trained model in float32; `typed` converts it to other types, `check_graph` validates both.

    Inputs and outputs are those of the model's spec, of any batch. Its stages are the names of values inside the graph.

    Raises:
        ExportError: torch could not export.
    """
    spec = model.spec
    exported = _export(model.inference(), spec)
    proto = exported.model_proto
    del exported
    _drop_properties(proto)
    _keep_only_outputs(proto, spec)
    _name_dimensions(proto, spec)
    add_function(proto)
    set_roles(proto, spec.modules)
    return proto


def _export(folded: torch.nn.Module, spec: ModelSpec) -> torch.onnx.ONNXProgram:
    # two samples: torch.export would bake in a batch of one; tensors of their own: it would take one for all inputs
    examples = {
        tensor.name: torch.zeros(2, *tensor.shape[1:], dtype=getattr(torch, tensor.dtype))  # type: ignore[arg-type]
        for tensor in spec.inputs
    }
    batch = {0: torch.export.Dim("batch", min=1)}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                folded,
                (),
                kwargs=examples,
                dynamo=True,
                opset_version=OPSET,
                input_names=spec.input_names,
                output_names=[*spec.output_names, *spec.stages],
                dynamic_shapes=dict.fromkeys(examples, batch),
                custom_translation_table=translation_table(),
                optimize=False,
                verbose=False,
            )
            if program is not None:
                # a second round finds nothing in this graph and takes as long as the first
                optimize_ir(program.model, num_iterations=1)
                IdentityEliminationPass()(program.model)
    except MemoryError:
        raise
    except Exception as error:  # torch raises many types; all mean the same to the caller
        raise ExportError(f"torch.onnx.export failed: {type(error).__name__}: {error}") from error
    if program is None:
        raise ExportError("torch.onnx.export returned nothing.")
    return program


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """Silence stdout and warnings of torch.onnx.export."""
    output = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(output):
        warnings.simplefilter("ignore")
        yield
    log.debug("torch.onnx.export said: %s", output.getvalue())


def _drop_properties(model: onnx.ModelProto) -> None:
    """Keep of the exporter's properties the names of modules: others hold paths of this machine, in half of a file."""
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    values = (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer)
    for item in (*nodes, *values, *model.functions, model.graph, model):
        scopes = [entry for entry in item.metadata_props if entry.key == SCOPES]
        del item.metadata_props[:]
        item.metadata_props.extend(scopes)
        item.ClearField("doc_string")


def _keep_only_outputs(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Remove the stages from the outputs, which gave them their names; they stay as values inside the graph."""
    outputs = [output for output in model.graph.output if output.name in spec.output_names]
    stages = [output for output in model.graph.output if output.name not in spec.output_names]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    known = {value.name for value in model.graph.value_info}
    model.graph.value_info.extend(stage for stage in stages if stage.name not in known)


def _name_dimensions(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Set fixed sizes as numbers on every input and output; the batch is named `batch` everywhere."""
    _rename_batch(model)
    shapes = {tensor.name: tensor.shape for tensor in (*spec.inputs, *spec.outputs)}
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape
        del dims.dim[:]
        for size in shapes[value.name]:
            dim = dims.dim.add()
            if isinstance(size, str):
                dim.dim_param = size
            else:
                dim.dim_value = size


def _rename_batch(model: onnx.ModelProto) -> None:
    """Rename torch's own name of the batch if an input is missing: `s30` and `3*s30` inside the graph."""
    ends = (*model.graph.input, *model.graph.output)
    batch_names = {dim.dim_param for value in ends for dim in value.type.tensor_type.shape.dim[:1] if dim.dim_param}
    names = "|".join(re.escape(name) for name in sorted(batch_names) if name.isidentifier())
    for value in model.graph.value_info:
        for dim in value.type.tensor_type.shape.dim:
            if names and dim.dim_param:
                dim.dim_param = re.sub(rf"\b({names})\b", "batch", dim.dim_param)


def check_graph(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Check the file against the model's spec.

    Raises:
        ExportError: the ONNX checker rejects it, or its opset, inputs, outputs or operators differ from the spec.
    """
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"The exported graph is not valid ONNX: {error}") from error
    counts = Counter(f"{node.domain}.{node.op_type}".lstrip(".") for node in model.graph.node)
    actual = {
        "opset": next(entry.version for entry in model.opset_import if entry.domain == ""),
        "inputs": [value.name for value in model.graph.input],
        "outputs": [value.name for value in model.graph.output],
        **{operator: counts[operator] for operator in spec.operators},
    }
    wanted = {"opset": OPSET, "inputs": spec.input_names, "outputs": spec.output_names, **spec.operators}
    if actual != wanted:
        raise ExportError(f"The exported graph has {actual}, but should have {wanted}.")


def with_stages(model: onnx.ModelProto, spec: ModelSpec) -> onnx.ModelProto:
    """Return a copy of an exported model whose stages are outputs again, for comparing them one by one."""
    traced = onnx.ModelProto()
    traced.CopyFrom(model)
    traced.graph.output.extend(value for value in model.graph.value_info if value.name in set(spec.stages))
    return traced
