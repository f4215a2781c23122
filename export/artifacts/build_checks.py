"""What can be known of an artifact before it is built."""

from __future__ import annotations

from ...errors import InputError
from ...graph.cast import require_runs_on
from ...plugins.selective_scan.tensorrt_fronts import import_module
from ...runtime.backends.openvino import import_openvino
from ...runtime.bundle.artifact import OPENVINO
from ..engines.gpu import gpu_at_hand
from ..engines.versions import generation_of
from .build_options import ENGINES, BuildOptions


def require_pair(target: str, precision: str, base: str) -> None:
    """Refuse what cannot be built, before anything long is begun.

    Args:
        target, precision: of the artifact.
        base: precision of the exported model, "fp32" or "fp16".

    Raises:
        InputError: the target does not compute in the precision, or it is not made from such a model.
    """
    require_runs_on(target, precision)
    if target == OPENVINO and precision == "fp16":
        raise InputError(
            "OpenVINO computes in bf16 or float32 on CPUs: a float16 file gains nothing. Build bf16 from a float32 "
            "export (mambapro-export --bf16 --target openvino)."
        )
    if base != "fp32" and precision != base and not (precision == "int8" and target in ENGINES):
        raise InputError(
            f"The exported model is {base}; {target} in {precision} is made from float32. Export the checkpoint "
            "without --fp16 and build from that bundle."
        )


def require_target(options: BuildOptions) -> None:
    """Refuse what the target's library or this machine does not have, before anything long is begun.

    Raises:
        InputError: options that the library does not have.
        SetupError: the library is missing, of an unsupported version, or (TensorRT) has no GPU to build on.
    """
    if options.target == OPENVINO:
        import_openvino()
    if options.target in ENGINES:
        options.engine.require_consistent()
        generation_of(import_module(options.engine.library))
        if not options.engine.rtx:
            gpu_at_hand()
