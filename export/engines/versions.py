"""What the generations of TensorRT do not have in common, in one place: 10.3 to 11, and TensorRT-RTX.

| version | types of the network | functions of an ONNX file |
|---|---|---|
| 10.3 to 10.6 | weak: flags FP16, BF16, INT8, and float32 layers held by constraints | hide a plugin: taken out |
| 10.7 to 10.11 | the same | a plugin comes first |
| 10.12 to 10.x | strong, by a flag | the same |
| 11, RTX 1.7 | strong, always | the same |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ...errors import SetupError
from ...runtime.backends.tensorrt.versions import RANGES
from .engine_options import RTX

_STRONG, _PLUGIN_FIRST = (10, 12), (10, 7)


@dataclass(frozen=True)
class Generation:
    """A version of TensorRT or TensorRT-RTX as far as building differs."""

    rtx: bool
    version: tuple[int, int]

    @property
    def weak(self) -> bool:
        """Types come from the builder's flags, not from the network alone."""
        return not self.rtx and self.version < _STRONG

    @property
    def hides_plugins(self) -> bool:
        """The parser takes a function of the file even where a plugin of its name is registered."""
        return not self.rtx and self.version < _PLUGIN_FIRST

    def network_flags(self, trt: Any) -> int:
        """What `create_network` needs for the types that the file has."""
        if self.rtx or self.weak or self.version >= (11, 0):
            return 0
        return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def generation_of(trt: Any) -> Generation:
    """The generation of a module tensorrt or tensorrt_rtx.

    Raises:
        SetupError: a version that is not supported.
    """
    numbers = re.match(r"(\d+)\.(\d+)", trt.__version__)
    version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    oldest, end = RANGES[trt.__name__]
    if not oldest <= version < end:
        raise SetupError(_unsupported(trt.__name__, trt.__version__))
    return Generation(trt.__name__ == RTX, version)


def _unsupported(name: str, version: str) -> str:
    oldest, end = RANGES[name]
    extra = name.replace("_", "-")
    other = "tensorrt" if name == RTX else "tensorrt-rtx"
    return (
        f"{extra} {version} is installed; engines are built with {oldest[0]}.{oldest[1]} or later, before {end[0]}. "
        "There are three ways out: "
        f'install a version of that range (pip install "mambapro[{extra}]"); '
        "build on another machine that has one, from the same bundle; "
        f"or take another target for this one: --target {other} or --target onnxruntime."
    )
