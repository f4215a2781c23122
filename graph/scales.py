"""Table of scales: the int8 parameters of a model, in one JSON file for all runtimes.

It names modules, not tensors, so that one table serves the float32 and the float16 file of a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common.files.atomic import json_text, write_atomically
from ..common.foreign_text import shown_text, shown_value
from ..common.formats.json_files import read_json
from ..common.records import encode, record_of
from ..errors import ArtifactError, InputError

SCHEMA = "mambapro.scales/2"

#: Thresholds and factors that float32 holds, with a scale that is not too small for it either.
_SMALLEST, _LARGEST = 2.0**-119, 2.0**127
#: Bytes of a file and modules in it: that of the full-size model has less than a megabyte and some 300 modules.
_LARGEST_FILE, _MOST_MODULES = 8 * 2**20, 10_000
#: The largest int8 number in use. -128 stays unused, so that the grid is symmetric.
LEVELS = 127


@dataclass(frozen=True)
class Observed:
    """Statistics of a tensor in calibration.

    Attributes:
        low, high: smallest and largest value.
        modalities: largest absolute value by sensor; empty where sensors are not told apart.
        quantiles: absolute value below which a share of all values lies, by the share ("0.999").
        channels: largest absolute value of each channel; only of outputs of a LayerNorm, else empty.
    """

    low: float
    high: float
    modalities: dict[str, float] = field(default_factory=dict)
    quantiles: dict[str, float] = field(default_factory=dict)
    channels: tuple[float, ...] = ()

    @property
    def absmax(self) -> float:
        """Largest absolute value."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True)
class Smoothing:
    """Per-channel factors by which a LayerNorm's output is divided and the next weights are multiplied.

    `alpha` is the share of the activation's range in them, `norm` the name of the LayerNorm's module, `error` the
    measured error with them.
    """

    norm: str
    alpha: float
    factors: tuple[float, ...]
    error: float | None = None

    def __post_init__(self) -> None:
        if not self.factors or not all(_SMALLEST <= value <= _LARGEST for value in self.factors):
            raise InputError(f"the smoothing factors of {self.norm} must be positive numbers that float32 holds.")


@dataclass(frozen=True)
class Activation:
    """Quantization of one tensor: value -> round(value * 127 / threshold), clipped to -127..127.

    Attributes:
        modules: the layers that read the tensor.
        algorithm: what chose the threshold: "minmax", "entropy", "percentile" or "mse".
        threshold: the absolute value that becomes 127; after smoothing, where there is any.
        observed: before smoothing.
        errors: measured error of the layers' output by algorithm, without smoothing, as a share of the output's size;
            empty where nothing was measured.
        smoothing: None where the tensor is as it was.
    """

    modules: tuple[str, ...]
    algorithm: str
    threshold: float
    observed: Observed
    errors: dict[str, float] = field(default_factory=dict)
    smoothing: Smoothing | None = None

    def __post_init__(self) -> None:
        if not self.modules:
            raise InputError("modules is empty.")
        if not _SMALLEST <= self.threshold <= _LARGEST:
            raise InputError(
                f"the threshold of {self.modules[0]} must be a positive number that float32 holds, not "
                f"{self.threshold}."
            )

    @property
    def scale(self) -> float:
        """Width of one step of the int8 grid."""
        return self.threshold / LEVELS

    @property
    def error(self) -> float | None:
        """Measured error of what is in use, None where nothing was measured."""
        return self.errors.get(self.algorithm) if self.smoothing is None else self.smoothing.error


@dataclass(frozen=True)
class ScaleTable:
    """Scales of all layers that may be quantized.

    Attributes:
        activations: one for each tensor that such a layer reads, in the order of the graph.
        samples: how many samples calibration saw.
        model: SHA-256 of the ONNX file that it ran.
        data: SHA-256 of the list of images.
        algorithm: what was asked for: "auto" or one of the algorithms.
        feature_space: id of the bundle's feature space, which all precisions of a checkpoint share.
        versions: packages that made it.
        constant: layers that have no scale because what goes into them never changed in calibration.
    """

    activations: tuple[Activation, ...]
    samples: int
    model: str
    data: str
    algorithm: str
    feature_space: str
    versions: dict[str, str] = field(default_factory=dict)
    constant: tuple[str, ...] = ()
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise InputError(_other_schema(self.schema))
        counts = Counter([*self.modules, *self.constant])
        if not self.activations:
            raise InputError("activations is empty: calibration finds at least one layer.")
        if len(counts) > _MOST_MODULES:
            raise InputError(f"it has scales of {len(counts):,} modules; at most {_MOST_MODULES:,} are read.")
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            names = ", ".join(shown_text(name, 80) for name in twice[:10])
            raise InputError(f"these modules have more than one scale, or one and none: {names}.")

    def of(self, module: str) -> Activation:
        """Return the scale of the input of a module.

        Raises:
            ArtifactError: the table does not know the module, or has no scale for it.
        """
        if module in self.constant:
            raise ArtifactError(
                f"{module} cannot compute in int8: its input was constant in calibration; leave it in float with a "
                "policy, or calibrate with images that it changes with."
            )
        found = next((entry for entry in self.activations if module in entry.modules), None)
        if found is None:
            raise ArtifactError(
                f"The table of scales has no entry for {module}. It belongs to another model: calibrate this one."
            )
        return found

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of all layers that it has a scale for."""
        return tuple(name for activation in self.activations for name in activation.modules)

    @property
    def sha256(self) -> str:
        """Hash of the table's content; whitespace and the order of keys do not count."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict, `schema` first; `constant` is left out where there are none."""
        value = {"schema": self.schema, **encode(self)}
        return value if self.constant else {name: item for name, item in value.items() if name != "constant"}

    @classmethod
    def from_json(cls, value: object, where: Path | str = "the table of scales") -> ScaleTable:
        """Create a table from plain values, the opposite of `to_json`.

        Raises:
            ArtifactError: fields that are unknown, missing or wrong; `where` is named.
        """
        if isinstance(value, dict) and value.get("schema", SCHEMA) != SCHEMA:
            raise ArtifactError(f"{where}: {_other_schema(value['schema'])}")
        lists = [value.get(name) for name in ("activations", "constant")] if isinstance(value, dict) else []
        if any(isinstance(each, list) and len(each) > _MOST_MODULES for each in lists):
            longest = max(len(each) for each in lists if isinstance(each, list))
            raise ArtifactError(f"{where} has {longest:,} entries; a table has at most {_MOST_MODULES:,} modules.")
        return record_of(cls, value, f"{where} does not follow the schema {SCHEMA}:")

    def save(self, path: Path) -> None:
        """Write the JSON file, replacing what is there.

        Raises:
            InputError, SetupError: see `write_atomically`.
        """
        write_atomically(path, lambda temporary: temporary.write_text(json_text(self.to_json()), encoding="utf-8"))


def _other_schema(found: object) -> str:
    return f"schema must be {SCHEMA}, not {shown_value(found, 80)}: made by another version, calibrate again."


def read_table(path: Path) -> ScaleTable:
    """Read a table from its file.

    Raises:
        InputError: there is no such file.
        ArtifactError: not JSON, or of another schema.
    """
    if not os.path.lexists(path):
        raise InputError(f"There is no table of scales {shown_text(path)}. `mambapro calibrate` writes one.")
    value = read_json(path, "table of scales", limit=_LARGEST_FILE, advice="Calibrate again.")
    return ScaleTable.from_json(value, shown_text(path))
