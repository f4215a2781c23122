"""Parsing of an ONNX file to a TensorRT network."""

from __future__ import annotations

from typing import Any

from ...common.foreign_text import escaped
from ...errors import ExportError
from ...plugins.tensorrt.versions import Generation
from .messages import BuildRequest
from .plugin import ChosenPlugin

#: Layers that round their results; all others move data or handle shapes.
_COMPUTING = (
    "ACTIVATION",
    "CONVOLUTION",
    "ELEMENTWISE",
    "MATRIX_MULTIPLY",
    "NORMALIZATION",
    "REDUCE",
    "SOFTMAX",
    "UNARY",
)


def parsed_network(
    trt: Any, builder: Any, logger: Any, job: BuildRequest, generation: Generation, plugin: ChosenPlugin
) -> tuple[Any, Any]:
    """Return the network of a job's file, its scans as plugins if there is one, and the parser, which must outlive it.

    Raises:
        ExportError: the parser rejects the file, or did not use the plugin.
    """
    flags = generation.network_flags(trt)
    if plugin.front == "aot" and hasattr(trt.NetworkDefinitionCreationFlag, "PREFER_AOT_PYTHON_PLUGINS"):
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.PREFER_AOT_PYTHON_PLUGINS)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    if generation.hides_plugins and plugin.kind != "none":
        parsed = parser.parse(_without_functions(job.onnx), job.onnx)
    else:
        parsed = parser.parse_from_file(job.onnx)
    if not parsed:
        errors = "; ".join(_words(parser.get_error(i)) for i in range(parser.num_errors))
        raise ExportError(
            f"{trt.__name__} {trt.__version__} cannot read {escaped(job.onnx)}: {errors or 'it does not say why'}."
        )
    count, wanted = plugin_layers(trt, network), 0 if plugin.kind == "none" else job.scans
    if count != wanted:
        raise ExportError(
            f"{trt.__name__} {trt.__version__} made {count} plugin layers of {job.scans} scans, not {wanted}. "
            "Say --plugin none to build the slow ONNX function on purpose."
        )
    return network, parser


def _words(error: Any) -> str:
    node = " ".join(filter(None, (error.node_operator(), error.node_name())))
    return f"{error.desc()} (at {node})" if node else error.desc()


def plugin_layers(trt: Any, network: Any) -> int:
    """Return the number of plugin layers of the network."""
    kind = trt.LayerType.PLUGIN_V3
    return sum(network.get_layer(i).type == kind for i in range(network.num_layers))


def _without_functions(path: str) -> bytes:
    import onnx

    model = onnx.load(path)
    del model.functions[:]
    return model.SerializeToString()


def set_weak_types(trt: Any, network: Any, config: Any) -> None:
    """Convert the types of the file to flags and constraints, for a TensorRT with weak typing.

    It may then compute any layer in any of the types, so the float32 islands are enforced by constraints.
    """
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    kinds = {layer.get_output(i).dtype for layer in layers for i in range(layer.num_outputs)}
    low = [name for kind, name in (("HALF", "FP16"), ("BF16", "BF16")) if getattr(trt.DataType, kind) in kinds]
    dequantized = {layer.get_output(0).name for layer in layers if layer.type == trt.LayerType.DEQUANTIZE}
    for name in [*low, *(["INT8"] if dequantized else [])]:
        config.set_flag(getattr(trt.BuilderFlag, name))
    if not low:
        return
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    computing = {getattr(trt.LayerType, name) for name in _COMPUTING}
    for layer in layers:
        read = {tensor.name for i in range(layer.num_inputs) if (tensor := layer.get_input(i)) is not None}
        if layer.type in computing and layer.get_output(0).dtype == trt.DataType.FLOAT and not read & dequantized:
            layer.precision = trt.DataType.FLOAT
            layer.set_output_type(0, trt.DataType.FLOAT)
