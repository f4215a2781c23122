"""PyTorch to ONNX: one file that every runtime reads."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings

import onnx
import torch
from onnx_ir.passes.common import IdentityEliminationPass
from onnxscript.optimizer import optimize_ir

from ...errors import ExportError
from ...plugins.selective_scan.onnx_op import add_function, translation_table
from ...plugins.selective_scan.schema import DOMAIN, OP_TYPE
from ...train.models.mambapro.mambapro import MambaPro
from ...train.models.mambapro.model_config import MambaProConfig
from ...train.models.parts.layers import LayerNorm
from ...train.models.parts.mamba import ScanGroup
from .inference import EMBEDDING, InferenceModel, inference_model, stage_names

log = logging.getLogger("mambapro")

#: The newest opset TensorRT 10.3 reads; Q/DQ with float16 scales needs 19.
OPSET = 20
IMAGES = ("rgb", "nir", "tir")
CAMERA, MASK = "camera", "modality_mask"


def input_names(config: MambaProConfig) -> list[str]:
    """Names of the graph's inputs in order; `camera` only where the model has a camera embedding."""
    return [*IMAGES, *([CAMERA] if config.sie_camera else []), MASK]


def onnx_from_model(model: MambaPro) -> onnx.ModelProto:
    """Export a trained model, in float32; `typed` makes other types of it, `check_graph` checks either.

    Inputs: `rgb`, `nir`, `tir` uint8 (batch, H, W, 3); `camera` int64 (batch,), any number outside the table is an
    unknown camera; `modality_mask` float32 (batch, 3), 0 = missing. Output: `embedding` float32 (batch, 3 embed_dim),
    not normalised. The stages of `stage_names` are the names of values inside the graph.

    Raises:
        ExportError: torch could not export.
    """
    exported = _export(inference_model(model))
    proto = exported.model_proto
    del exported
    _keep_only_embedding(proto)
    _name_dimensions(proto, model.config)
    add_function(proto)
    return proto


def _export(folded: InferenceModel) -> torch.onnx.ONNXProgram:
    height, width = folded.config.image_size
    # two samples: torch.export would bake in a batch of one; three tensors: it would take one for all three inputs
    images = [torch.zeros(2, height, width, 3, dtype=torch.uint8) for _ in IMAGES]
    camera = torch.zeros(2, dtype=torch.int64) if folded.config.sie_camera else None
    batch = {0: torch.export.Dim("batch", min=1)}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                folded,
                (*images, camera, torch.ones(2, 3)),
                dynamo=True,
                opset_version=OPSET,
                input_names=input_names(folded.config),
                output_names=[EMBEDDING, *stage_names(folded.config)],
                dynamic_shapes=(batch, batch, batch, batch if camera is not None else None, batch),
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


def _keep_only_embedding(model: onnx.ModelProto) -> None:
    """Stages were outputs to get their names; from here on they are values inside the graph."""
    kept = [output for output in model.graph.output if output.name == EMBEDDING]
    stages = [output for output in model.graph.output if output.name != EMBEDDING]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    known = {value.name for value in model.graph.value_info}
    model.graph.value_info.extend(stage for stage in stages if stage.name not in known)


def _name_dimensions(model: onnx.ModelProto, config: MambaProConfig) -> None:
    """Fixed sizes as numbers on every input and output; the batch is called `batch` there and on the values inside."""
    height, width = config.image_size
    _rename_batch(model)
    shapes = {**dict.fromkeys(IMAGES, ("batch", height, width, 3)), CAMERA: ("batch",), MASK: ("batch", 3)}
    shapes[EMBEDDING] = ("batch", config.feature_dim)
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


def check_graph(model: onnx.ModelProto, config: MambaProConfig) -> None:
    """The promises of the file, checked on the file.

    Raises:
        ExportError: the ONNX checker refuses it, or a promise about opset, inputs, scans or norms does not hold.
    """
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"The exported graph is not valid ONNX: {error}") from error
    counts: dict[str, int] = {}
    for node in model.graph.node:
        key = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        counts[key] = counts.get(key, 0) + 1
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    found = {
        "opset": opset,
        "inputs": [value.name for value in model.graph.input],
        "scans": counts.get(f"{DOMAIN}.{OP_TYPE}", 0),
        "layer norms": counts.get("LayerNormalization", 0),
    }
    if found != (promised := _promises(config)):
        raise ExportError(f"The exported graph has {found}, but should have {promised}.")


def _promises(config: MambaProConfig) -> dict[str, object]:
    """What the trained model has of each: every group of scans and every LayerNorm that runs is one node."""
    with torch.device("meta"):
        model = MambaPro(config)
    running = [*model.backbone.modules(), *(model.aggregation.modules() if config.mamba else ())]
    return {
        "opset": OPSET,
        "inputs": input_names(config),
        "scans": sum(isinstance(module, ScanGroup) for module in running),
        "layer norms": sum(isinstance(module, LayerNorm) for module in running),
    }


def with_stages(model: onnx.ModelProto, config: MambaProConfig) -> onnx.ModelProto:
    """A copy of an exported model whose stages are outputs again, for comparing them one by one."""
    names = set(stage_names(config))
    traced = onnx.ModelProto()
    traced.CopyFrom(model)
    traced.graph.output.extend(value for value in model.graph.value_info if value.name in names)
    return traced
