"""Running range statistics of each tensor, which can be saved and loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from ..errors import ArtifactError
from ..graph.layers import Point
from ..graph.scales import Observed
from ..graph.smooth import Norm
from ..runtime.data.modalities import MODALITIES
from .histogram import BINS, TINY, AbsHistogram

#: Shares of all values for the quantiles in the table.
_QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999)


@dataclass(frozen=True)
class Tensor:
    """Tensor that layers read.

    Attributes:
        name: in the float32 graph.
        modules: the layers.
        stacked: its first axis is the three sensors, or the three sensors of each sample, in the order of MODALITIES.
        sensor: the one sensor that it is of, by the name of its module; None where it is of all, or of none.
        norm: it is the output of a LayerNorm that factors can be folded into.
        values: numbers per sample.
    """

    name: str
    modules: tuple[str, ...]
    stacked: bool
    sensor: str | None
    norm: Norm | None
    values: int


def tensors_of(
    model: onnx.ModelProto, found: tuple[Point, ...], norms: tuple[Norm, ...], batch: int | None
) -> tuple[Tensor, ...]:
    """Return the tensors that the points read, in the order of the graph; `batch` is the model's, None = dynamic.

    Raises:
        ArtifactError: the file has no shapes of its tensors.
    """
    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*model.graph.value_info, *model.graph.input)}
    by_norm = {norm.input: norm for norm in norms}
    modules: dict[str, list[str]] = {}
    for point in found:
        modules.setdefault(point.input, []).append(point.module)
    result = []
    for name, readers in modules.items():
        if name not in shapes or not shapes[name]:
            raise ArtifactError(
                f"The file does not say the shape of {name}, which goes into {readers[0]}. It was stripped: export the "
                "checkpoint again."
            )
        sizes = [dim.dim_value or dim.dim_param for dim in shapes[name]]
        sensor = next((part for part in readers[0].split(".") if part in MODALITIES), None)
        stacked = sensor is None and sizes[0] in (len(MODALITIES), "3*batch", 3 * (batch or -1))
        values = int(np.prod([3 if size == "3*batch" else size if isinstance(size, int) else 1 for size in sizes]))
        result.append(Tensor(name, tuple(readers), stacked, sensor, by_norm.get(name), values // (batch or 1)))
    return tuple(result)


def require_finite(tensor: Tensor, values: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest value.

    Raises:
        ArtifactError: NaN or infinity.
    """
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ArtifactError(
            f"The input of {tensor.modules[0]} holds NaN or infinity on a calibration image, in float32. The "
            "checkpoint is damaged or its training diverged: evaluate it (mambapro eval) before making int8 of it."
        )
    return low, high


class TensorStatistics:
    """Range, histogram and maxima of one tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.low, self.high = np.inf, -np.inf
        self.histogram = AbsHistogram()
        self.sensors = np.zeros(len(MODALITIES))
        self.channels = np.zeros(0, np.float32)

    def update(self, values: np.ndarray) -> None:
        """Add the values of one batch.

        Raises:
            ArtifactError: NaN or infinity.
        """
        low, high = require_finite(self.tensor, values)
        self.low, self.high = min(self.low, low), max(self.high, high)
        magnitudes = np.abs(values)
        self.histogram.add(magnitudes, max(abs(low), abs(high)))
        if self.tensor.stacked:
            thirds = magnitudes.reshape(len(MODALITIES), -1).max(axis=1)
            self.sensors = np.maximum(self.sensors, thirds)
        if self.tensor.norm is not None:
            channels = magnitudes.reshape(-1, magnitudes.shape[-1]).max(axis=0)
            self.channels = np.maximum(self.channels, channels) if self.channels.size else channels

    @property
    def constant(self) -> bool:
        """True if the tensor had one value only: it has no scale."""
        return self.low == self.high or max(abs(self.low), abs(self.high)) <= TINY

    def observed(self) -> Observed:
        """Return the entry for the table, of a tensor that is not constant."""
        sensors = dict(zip(MODALITIES, map(float, self.sensors), strict=True)) if self.tensor.stacked else {}
        if self.tensor.sensor is not None:
            sensors = {self.tensor.sensor: max(abs(self.low), abs(self.high))}
        quantiles = {str(share): self.histogram.quantile(share) for share in _QUANTILES}
        return Observed(self.low, self.high, sensors, quantiles, tuple(map(float, self.channels)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state as arrays."""
        return {
            "range": np.array([self.low, self.high, self.histogram.limit]),
            "counts": self.histogram.counts,
            "sensors": self.sensors,
            "channels": self.channels,
        }

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore the state from `arrays`.

        Raises:
            ValueError: arrays of other shapes or types.
        """
        sizes = {"range": (3,), "counts": (BINS,), "sensors": (len(MODALITIES),)}
        if any(arrays[name].shape != size for name, size in sizes.items()) or arrays["channels"].ndim != 1:
            raise ValueError("its arrays have other shapes")
        if arrays["counts"].dtype != np.int64 or any(arrays[name].dtype.kind != "f" for name in ("range", "sensors")):
            raise ValueError("its arrays are of other types")
        self.low, self.high, limit = (float(value) for value in arrays["range"])
        self.histogram = AbsHistogram(arrays["counts"], limit)
        self.sensors, self.channels = arrays["sensors"], arrays["channels"]
