"""PyTorch to ONNX: one file that every runtime reads."""

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
from ...graph.module_roles import set_roles
from ...plugins.selective_scan.onnx.node import add_function, translation_table
from ...train.models.model_spec import Model, ModelSpec

log = logging.getLogger("mambapro")

#: The newest opset TensorRT 10.3 reads; Q/DQ with float16 scales needs 19.
OPSET = 20


def onnx_from_model(model: Model) -> onnx.ModelProto:
    """Export a trained model, in float32; `typed` makes other types of it, `check_graph` checks either.

    Inputs and outputs are those of the model's spec, of any batch. Its stages are the names of values inside the graph.

    Raises:
        ExportError: torch could not export.
    """
    spec = model.spec
    exported = _export(model.inference(), spec)
    proto = exported.model_proto
    del exported
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
    except Exception as error:  # torch raises many kinds; all mean the same to the caller
        raise ExportError(f"torch.onnx.export failed: {type(error).__name__}: {error}") from error
    if program is None:
        raise ExportError("torch.onnx.export returned nothing.")
    return program


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """torch's exporter talks on standard output and warns about its own internals."""
    said = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(said):
        warnings.simplefilter("ignore")
        yield
    log.debug("torch.onnx.export said: %s", said.getvalue())


def _keep_only_outputs(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Stages were outputs to get their names; from here on they are values inside the graph."""
    kept = [output for output in model.graph.output if output.name in spec.output_names]
    stages = [output for output in model.graph.output if output.name not in spec.output_names]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    known = {value.name for value in model.graph.value_info}
    model.graph.value_info.extend(stage for stage in stages if stage.name not in known)


def _name_dimensions(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Fixed sizes as numbers on every input and output; the batch is called `batch` there and on the values inside."""
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
    """torch keeps a name of its own for the batch where an input is missing: `s30` and `3*s30` inside the graph."""
    ends = (*model.graph.input, *model.graph.output)
    own = {dim.dim_param for value in ends for dim in value.type.tensor_type.shape.dim[:1] if dim.dim_param}
    names = "|".join(re.escape(name) for name in sorted(own) if name.isidentifier())
    for value in model.graph.value_info:
        for dim in value.type.tensor_type.shape.dim:
            if names and dim.dim_param:
                dim.dim_param = re.sub(rf"\b({names})\b", "batch", dim.dim_param)


def check_graph(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Check the file against the model's spec.

    Raises:
        ExportError: the ONNX checker refuses it, or its opset, inputs, outputs or operators are not the spec's.
    """
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"The exported graph is not valid ONNX: {error}") from error
    counts = Counter(f"{node.domain}.{node.op_type}".lstrip(".") for node in model.graph.node)
    found = {
        "opset": next(entry.version for entry in model.opset_import if entry.domain == ""),
        "inputs": [value.name for value in model.graph.input],
        "outputs": [value.name for value in model.graph.output],
        **{operator: counts[operator] for operator in spec.operators},
    }
    wanted = {"opset": OPSET, "inputs": spec.input_names, "outputs": spec.output_names, **spec.operators}
    if found != wanted:
        raise ExportError(f"The exported graph has {found}, but should have {wanted}.")


def with_stages(model: onnx.ModelProto, spec: ModelSpec) -> onnx.ModelProto:
    """A copy of an exported model whose stages are outputs again, for comparing them one by one."""
    traced = onnx.ModelProto()
    traced.CopyFrom(model)
    traced.graph.output.extend(value for value in model.graph.value_info if value.name in set(spec.stages))
    return traced
