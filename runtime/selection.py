"""Selection of the artifact of a bundle that runs on this machine."""

from __future__ import annotations

import importlib.util
import logging

from ..common.machine.packages import installed_version
from ..errors import ArtifactError, MambaProError
from ..plugins.cuda.memory import gpu
from .bundle.artifact import OPENVINO, TENSORRT, TENSORRT_RTX, EngineNeeds, Sidecar
from .bundle.bundle import Bundle
from .bundle.catalog import matching
from .bundle.metadata_parts import ONNXRUNTIME, PRECISIONS, VERIFIED
from .run_options import RunOptions

log = logging.getLogger("mambapro")

NO_ENGINE_SECTION = "does not say what its engine needs"

#: Fastest first; a bundle holds only artifacts that passed their gates.
_TARGET_ORDER = (TENSORRT, TENSORRT_RTX, OPENVINO, ONNXRUNTIME)
_PRECISION_ORDER = tuple(reversed(PRECISIONS))


def candidates(bundle: Bundle, options: RunOptions) -> list[Sidecar]:
    """Return the usable artifacts, the preferred one first.

    With a target or a precision the fastest of those; without either the fastest verified one that runs here: a
    compatible engine, then OpenVINO if installed, then ONNX Runtime (before OpenVINO if it has a GPU), and among these
    int8 before 16 bits before 32; but an int8 file that was kept although slower comes after the files it is not faster
    than, and int8 last on ONNX Runtime's GPU, which has no int8 products. `device` "cpu" excludes engines, "cuda"
    OpenVINO.

    Raises:
        InputError: the bundle has no such artifact.
        ArtifactError: none of them is usable here; the message gives the reason for each.
    """
    on_gpu = options.device != "cpu" and _onnxruntime_on_gpu()
    ordered = sorted(matching(bundle, options.target, options.precision), key=lambda item: _speed(item, on_gpu))
    if options.target is None and options.precision is None:
        ordered = _slow_ones_later(ordered)
    reasons = [why_not(bundle, sidecar, options) for sidecar in ordered]
    usable = [sidecar for sidecar, reason in zip(ordered, reasons, strict=True) if reason is None]
    if not usable:
        lines = "\n  ".join(f"{sidecar.stem}: {why}" for sidecar, why in zip(ordered, reasons, strict=True))
        raise ArtifactError(f"{bundle.folder} holds nothing that may run here:\n  {lines}")
    for sidecar, reason in zip(ordered, reasons, strict=True):
        if sidecar == usable[0]:
            break
        # engines for other machines are expected
        if sidecar.engine is None:
            log.info("%s is not taken: %s", sidecar.stem, reason)
    return usable


def _speed(sidecar: Sidecar, onnxruntime_on_gpu: bool) -> tuple[float, int]:
    """Return the sort key, fastest first."""
    target, precision = _TARGET_ORDER.index(sidecar.target), _PRECISION_ORDER.index(sidecar.precision)
    if onnxruntime_on_gpu and sidecar.target == ONNXRUNTIME:
        last = len(_PRECISION_ORDER)
        return _TARGET_ORDER.index(OPENVINO) - 0.5, last if sidecar.precision == "int8" else precision
    return target, precision


def _onnxruntime_on_gpu() -> bool:
    """Return True if ONNX Runtime would run on a GPU here, without loading it."""
    if not installed_version("onnxruntime-gpu"):
        return False
    try:
        gpu()
    except MambaProError:
        return False
    return True


def _slow_ones_later(candidates: list[Sidecar]) -> list[Sidecar]:
    """Order artifacts that failed their speed gate directly after the last one they are not faster than."""
    result = list(candidates)
    for sidecar in candidates:
        faster = _not_beaten(sidecar, result)
        last = max((result.index(other) for other in faster), default=-1)
        if last > result.index(sidecar):
            result.insert(last + 1, sidecar)
            result.remove(sidecar)
    return result


def _not_beaten(sidecar: Sidecar, others: list[Sidecar]) -> list[Sidecar]:
    """Return the other artifacts that one with a failed speed gate is not faster than, as far as measured."""
    speed = sidecar.speed
    if speed is None or not speed.slower:
        return []
    known = {speed.other: speed.ratio, **speed.listed}
    if speed.listed or any(other.stem == speed.other for other in others):
        return [other for other in others if other.stem in known and not known[other.stem] > 1]
    # the faster artifact is not in the bundle, and it was compared with nothing else: it comes last
    return [other for other in others if other is not sidecar]


def why_not(bundle: Bundle, sidecar: Sidecar, options: RunOptions) -> str | None:
    """Return the reason to reject an artifact, None if it is usable. A requested target bypasses the device check."""
    unproven = None
    if sidecar.state != VERIFIED and not options.unverified:
        unproven = f"not verified on any machine yet; run mambapro check {bundle.folder} on this one"
    if sidecar.target in (TENSORRT, TENSORRT_RTX) and sidecar.engine is None:
        return f"its sidecar {NO_ENGINE_SECTION}; build it again"
    if sidecar.engine is not None:
        if options.device == "cpu" and options.target is None:
            return "an engine needs a GPU"
        # if it cannot run, it cannot be verified either
        return _verdict(sidecar) or unproven or _untrusted(sidecar.engine, options)
    if unproven is not None:
        return unproven
    if sidecar.target == OPENVINO and options.device == "cuda":
        return "OpenVINO runs on the CPU, not on CUDA; leave the device out"
    # if requested, its own error describes the installation
    if sidecar.target == OPENVINO and options.target is None and importlib.util.find_spec("openvino") is None:
        return 'OpenVINO is not installed: pip install "mambapro[openvino]"'
    return None


def _untrusted(needs: EngineNeeds, options: RunOptions) -> str | None:
    if needs.code is None or options.load_plugins:
        return None
    return f"it holds code ({needs.code}); pass load_plugins=True (--load-plugins) where you trust the bundle"


def _verdict(sidecar: Sidecar) -> str | None:
    from .compatibility import machine_of, verdict

    compatibility = verdict(sidecar, machine_of())
    if compatibility.state == "fit":
        return None
    advice = ["Rebuild it: mambapro build with --overwrite."] if compatibility.state == "rebuild" else []
    return " ".join([*compatibility.reasons, *advice])
