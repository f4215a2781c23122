"""Builds engines with TensorRT-RTX in a process of its own, and prints what came of it as JSON.

    python tensorrt_rtx_build.py '{"front": "python", "models": ["model.onnx"], "capabilities": ["SM86", "all"]}'

`front` is "python", "library" or null, `library` a file of the second. For each model and each of `capabilities` one
engine is built, dynamic in its first dimension: for a compute capability, for "all", or for "all but SM75"; for every
single one and for both of these if none is given. No GPU takes part. `embed` puts the library into the engines.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mambapro.plugins.selective_scan import tensorrt_library, tensorrt_python
from mambapro.plugins.selective_scan.tensorrt_rtx import import_tensorrt_rtx

#: Least, usual and largest size of a dynamic dimension.
BATCHES = (1, 2, 8)


def logger_class(trt: Any) -> type:
    """A logger that keeps warnings and errors."""

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR, trt.ILogger.WARNING):
                self.lines.append(message)

    return Logger


def built(trt: Any, logger: Any, model: str, capabilities: list[str], embed: str | None) -> dict[str, Any]:
    """One engine: what the network holds, and its size in bytes (0 where there is none)."""
    builder = trt.Builder(logger)
    network = builder.create_network()
    parser = trt.OnnxParser(network, logger)
    parsed = parser.parse_from_file(model)
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    found = {
        "parsed": parsed,
        "layers": len(layers),
        "plugins": sum(layer.type == trt.LayerType.PLUGIN_V3 for layer in layers),
        "bytes": 0,
    }
    if parsed:
        config = builder.create_builder_config()
        config.num_compute_capabilities = len(capabilities)
        for i, name in enumerate(capabilities):
            config.set_compute_capability(getattr(trt.ComputeCapability, name), i)
        config.add_optimization_profile(profile(builder, network))
        if embed:
            config.plugins_to_serialize = [embed]
        engine = builder.build_serialized_network(network, config)
        found["bytes"] = engine.nbytes if engine is not None else 0
    return found


def profile(builder: Any, network: Any) -> Any:
    """Sizes for every dynamic input."""
    sizes = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shape = tuple(tensor.shape)
        if -1 in shape:
            sizes.set_shape(tensor.name, *(tuple(n if x < 0 else x for x in shape) for n in BATCHES))
    return sizes


def main() -> None:
    request = json.loads(sys.argv[1])
    trt = import_tensorrt_rtx()
    if request["front"] == "python":
        tensorrt_python.register(trt)
    elif request["front"] == "library":
        tensorrt_library.register(trt, Path(request["library"]))
    every = [name for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    sets = {**{name: [name] for name in every}, "all": every, "all but SM75": [x for x in every if x != "SM75"]}
    logger = logger_class(trt)()
    engines = []
    for model in request["models"]:
        for name in request.get("capabilities") or sets:
            embed = request["library"] if request.get("embed") else None
            engines.append({"capabilities": sets[name], **built(trt, logger, model, sets[name], embed)})
    sys.stdout.write(json.dumps({"engines": engines, "log": logger.lines}) + "\n")


if __name__ == "__main__":
    main()
