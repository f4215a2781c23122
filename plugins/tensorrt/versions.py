"""Supported versions of TensorRT and TensorRT-RTX, and the differences between them.

| version | types of the network | functions of an ONNX file |
|---|---|---|
| 10.3 to 10.6 | weak: flags FP16, BF16, INT8, and float32 layers held by constraints | hide a plugin: removed |
| 10.7 to 10.11 | the same | a plugin takes precedence |
| 10.12 to 10.x | strong, by a flag | the same |
| 11, RTX 1.7 | strong, always | the same |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from packaging.version import InvalidVersion, Version

from ...errors import SetupError

TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt_rtx"
#: Module -> first supported version, and the first that is no longer supported.
RANGES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    TENSORRT: ((10, 3), (12,)),
    TENSORRT_RTX: ((1, 7), (2,)),
}
#: Default targets of a TensorRT-RTX engine: all supported ones but 7.5, which lacks a float32 matrix product.
RTX_CAPABILITIES = ("8.0", "8.6", "8.9", "12.0", "12.1")
_STRONG, _PLUGIN_FIRST = (10, 12), (10, 7)
_NAMES = {TENSORRT: "TensorRT", TENSORRT_RTX: "TensorRT-RTX"}


@dataclass(frozen=True)
class Generation:
    """Version of TensorRT or TensorRT-RTX, reduced to what affects building."""

    rtx: bool
    version: tuple[int, ...]

    @property
    def weak(self) -> bool:
        """True if types come from the builder's flags, not from the network alone."""
        return not self.rtx and self.version < _STRONG

    @property
    def hides_plugins(self) -> bool:
        """True if the parser prefers a function of the file to a registered plugin of the same name."""
        return not self.rtx and self.version < _PLUGIN_FIRST

    def network_flags(self, trt: Any) -> int:
        """Return flags of `create_network` that keep the types of the file."""
        if self.rtx or self.weak or self.version >= (11, 0):
            return 0
        return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def generation_of(trt: Any) -> Generation:
    """Return generation of a module tensorrt or tensorrt_rtx.

    Raises:
        SetupError: an unsupported version.
    """
    if problem := version_problem(trt.__name__, trt.__version__, building=True):
        raise SetupError(problem)
    return Generation(trt.__name__ == TENSORRT_RTX, release(trt.__version__)[:2])


def version_problem(library: str, version: str, building: bool = False) -> str | None:
    """Return the reason why a version cannot be used, with three remedies, or None.

    Args:
        library: "tensorrt" or "tensorrt_rtx".
        building: the remedies are for building an engine, not for running one.
    """
    first, end = RANGES[library]
    if first <= release(version) < end:
        return None
    low, high, package = ".".join(map(str, first)), end[0], library.replace("_", "-")
    other = (TENSORRT if library == TENSORRT_RTX else TENSORRT_RTX).replace("_", "-")
    elsewhere = (
        "build the engine on another machine that has one, from the same bundle; or choose another target for this "
        f"one: --target {other} or --target onnxruntime."
        if building
        else "rebuild the engine on this machine from the ONNX file in the bundle with a supported version (mambapro "
        "build); or run that ONNX file with ONNX Runtime or OpenVINO."
    )
    return (
        f"{_NAMES[library]} {version} is installed; versions from {low} to before {high} are supported. "
        f'Three ways out: install one of them (pip install "{package}>={low},<{high}"; on Jetson with its JetPack); '
        f"{elsewhere}"
    )


def release(version: str) -> tuple[int, ...]:
    """Return numbers of a version: (10, 12, 0, 36) for "10.12.0.36"; () for text that is no version."""
    try:
        return Version(version).release
    except InvalidVersion:
        return ()


def rtx_capabilities(trt: Any) -> tuple[str, ...]:
    """Compute capabilities TensorRT-RTX can build for, such as "8.6", in ascending order."""
    numbers = [name.removeprefix("SM") for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    return tuple(f"{number[:-1]}.{number[-1]}" for number in sorted(numbers, key=int))
