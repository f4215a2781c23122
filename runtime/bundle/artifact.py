"""Manifest of an artifact, `<target>-<precision>.json`: how it was built, what it requires, its gates.

Engines of TensorRT stay plain plan files.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...common.files.open_files import read_limited
from ...common.foreign_text import shown_text
from ...common.formats.json_files import LARGEST, parse_json
from ...common.records import STORED_IF_SET, encode, record_of
from ...common.rounds import Spread, ratios
from ...errors import ArtifactError, InputError
from .field_checks import one_of
from .metadata_parts import ONNXRUNTIME, PRECISIONS, UNVERIFIED, VERIFIED

SCHEMA = "mambapro.artifact/2"
#: Schema 1 differs only by the missing `source`.
READ = ("mambapro.artifact/1", SCHEMA)

OPENVINO, TENSORRT, TENSORRT_RTX = "openvino", "tensorrt", "tensorrt-rtx"
TARGETS = (ONNXRUNTIME, OPENVINO, TENSORRT, TENSORRT_RTX)


@dataclass(frozen=True)
class Profile:
    """Batch sizes of an engine, and its optimum."""

    smallest: int = 1
    usual: int = 8
    largest: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.usual <= self.largest:
            raise InputError(
                f"A profile needs 1 <= smallest <= usual <= largest, not {self.smallest}, {self.usual}, {self.largest}."
            )


@dataclass(frozen=True)
class Plugin:
    """Implementation of the selective scan in an engine.

    Attributes:
        kind: "embedded" in the engine, "external" as `file`, or "none": the scan is the ONNX function, inlined.
        file: library in the bundle, for "external".
        sha256: of the library, where there is one.
    """

    kind: str
    file: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.kind == "beside":
            # the name of "external" in bundles of release 0.1.0
            object.__setattr__(self, "kind", "external")
        one_of("kind", self.kind, ("embedded", "external", "none"))


@dataclass(frozen=True)
class EngineNeeds:
    """Requirements of a TensorRT or TensorRT-RTX engine.

    Attributes:
        library: version that built it, such as "10.12.0.36".
        compute_capabilities: of its target GPUs, such as ("8.6", "8.9").
        hardware: "same" GPU, the same "compute-capability", or "ampere+" (every GPU from 8.0).
        version_compatible: newer TensorRT of the same major version can load it.
        platform: operating system and processor, such as "linux-x86_64".
        plugin: implementation of the scan.
        gpu: name of the GPU it was built on, None if none was needed.
    """

    library: str
    compute_capabilities: tuple[str, ...]
    hardware: str
    version_compatible: bool
    platform: str
    plugin: Plugin
    gpu: str | None = None

    def __post_init__(self) -> None:
        one_of("hardware", self.hardware, ("same", "compute-capability", "ampere+"))

    @property
    def code(self) -> str | None:
        """Kind of host code in the engine ("a plugin library", ...), or None."""
        external = self.plugin.kind == "external" and self.plugin.file is not None
        # a plugin compiled only for the GPU is embedded without a library
        if external or (self.plugin.kind == "embedded" and self.plugin.sha256 is not None):
            return "a plugin library"
        return "a runtime of TensorRT" if self.version_compatible else None


@dataclass(frozen=True)
class Build:
    """Properties of a build: seconds, bytes, layers of the network, and number of scan plugins among them."""

    seconds: float
    bytes: int
    layers: int | None = None
    plugin_layers: int | None = None


@dataclass(frozen=True)
class CosineGate:
    """Distance to PyTorch over `samples` goldens: largest measured and largest allowed value; `measure` names it."""

    largest: float
    mean: float
    limit: float
    samples: int
    measure: str = field(default="1 - cosine", metadata=STORED_IF_SET)


@dataclass(frozen=True)
class AccuracyGate:
    """Accuracy of the artifact against the float32 model on the same queries; fractions.

    Attributes:
        dataset: name of the benchmark.
        queries: number with a match outside their own camera or scene; of attributes the number of images.
        gallery: number of samples; 0 without retrieval.
        reference, found: values of the metric.
        drop: reference - found.
        low, high: ends of the paired 95 % bootstrap interval of the drop.
        limit: largest allowed drop.
        metric: name of the metric.
        others: further values of the same run, gated by the same limit.
    """

    dataset: str
    queries: int
    gallery: int
    reference: float
    found: float
    drop: float
    low: float
    high: float
    limit: float
    metric: str = field(default="mAP", metadata=STORED_IF_SET)
    others: tuple[AccuracyGate, ...] = field(default=(), metadata=STORED_IF_SET)

    def __str__(self) -> str:
        drop, low, high = (round(100 * value, 2) + 0.0 for value in (self.drop, self.low, self.high))
        numbers = f"{100 * self.reference:.2f} % -> {100 * self.found:.2f} %, drop {drop:.2f} [{low:.2f}, {high:.2f}]"
        others = "".join(f"; {other.metric} {other}" for other in self.others)
        return f"{numbers} points, limit {100 * self.limit:.2f}{others}"


@dataclass(frozen=True)
class SpeedGate:
    """Median milliseconds of one batch, measured interleaved in separate processes, against `other` of the target.

    `ratios`: speed relative to the other in each round; empty if the rounds are unknown. `listed`: of an artifact kept
    although slower, its speed relative to the others in the bundle.
    """

    batch: int
    milliseconds: float
    other: str
    other_milliseconds: float
    forced: bool = False
    ratios: tuple[float, ...] = ()
    listed: dict[str, float] = field(default_factory=dict)

    @property
    def spread(self) -> Spread:
        """Ratios by round, or that of the two medians if the rounds are unknown."""
        return Spread(self.ratios) if self.ratios else ratios((self.other_milliseconds,), (self.milliseconds,))

    @property
    def ratio(self) -> float:
        """Speed relative to the other: the median over the rounds."""
        return self.spread.median

    @property
    def low(self) -> float:
        """Smallest ratio of a round."""
        return self.spread.low

    @property
    def high(self) -> float:
        """Largest ratio of a round."""
        return self.spread.high

    @property
    def slower(self) -> bool:
        """True if the median is not above 1."""
        # written so that NaN counts as well
        return not self.ratio > 1

    @property
    def doubtful(self) -> bool:
        """True if faster in the median, but not in four of five rounds."""
        return not self.slower and self._not_faster > self._few

    @property
    def undecided(self) -> bool:
        """True if more than one round of five is faster, and more than one is not."""
        return min(self._not_faster, len(self.spread.values) - self._not_faster) > self._few

    @property
    def told(self) -> str:
        """Comparison as text; if the rounds disagree, without a single number."""
        span = f"{self.low:.2f} to {self.high:.2f}"
        rounds = self.spread.counted
        if not self.spread.agree:
            wins = len(self.spread.values) - self._not_faster
            return f"faster in {wins} of {rounds}, {span} times as fast"
        return f"{self.ratio:.2f} times as fast" + (f", {span} in {rounds}" if self.ratios else "")

    def __str__(self) -> str:
        doubt = ", not clearly faster" if self.doubtful else ""
        span = f"{self.low:.2f} to {self.high:.2f}"
        if not self.spread.agree:
            return f"{self.milliseconds:.1f} ms, against {self.other}: {self.told}{doubt}"
        rounds = f" ({span} in {self.spread.counted})" if self.ratios else ""
        return f"{self.milliseconds:.1f} ms, {self.ratio:.2f} times as fast as {self.other}{rounds}{doubt}"

    @property
    def _not_faster(self) -> int:
        """Rounds in which it was not faster; NaN counts as none."""
        return sum(not ratio > 1 for ratio in self.spread.values)

    @property
    def _few(self) -> int:
        """Number of rounds that may deviate: one of five."""
        return max(1, len(self.spread.values) // 5)


@dataclass(frozen=True)
class Sidecar:
    """Manifest of one loadable file of a bundle.

    Attributes:
        file: the loaded file in the bundle.
        target: one of TARGETS.
        precision: "fp32", "fp16", "bf16" or "int8".
        state: "verified" on some machine, or "unverified": built where it cannot run, until `mambapro check` verifies
            it.
        sha256: of `file`.
        onnx: typed ONNX file in the bundle that `file` is, or can be rebuilt from.
        hint: OpenVINO's inference precision, such as "bf16"; None elsewhere.
        max_departure, max_map_drop: limits of its gates: distance to PyTorch, and loss of accuracy, a fraction.
        profile: batch sizes of an engine; None if any batch is allowed.
        engine: requirements of an engine; None for other files.
        build: properties of the build.
        cosine, accuracy, speed: passed gates; None if not run.
        calibration: SHA-256 of the table of scales of an int8 file.
        quantized: names of the modules that compute in int8.
        widened: names of the modules kept in float32 because their values approach the float16 overflow limit.
        verified_on: description of the machine that verified it.
        versions: packages of the build.
        source: SHA-256 of the bundle's model that it was built from; None in older builds.
    """

    file: str
    target: str
    precision: str
    state: str
    sha256: str
    onnx: str
    build: Build
    max_departure: float
    max_map_drop: float
    hint: str | None = None
    profile: Profile | None = None
    engine: EngineNeeds | None = None
    cosine: CosineGate | None = None
    accuracy: AccuracyGate | None = None
    speed: SpeedGate | None = None
    calibration: str | None = None
    quantized: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    verified_on: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    source: str | None = None
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        one_of("schema", self.schema, READ)
        one_of("target", self.target, TARGETS)
        one_of("precision", self.precision, PRECISIONS)
        one_of("state", self.state, (VERIFIED, UNVERIFIED))

    @property
    def stem(self) -> str:
        """Common name of its files, such as "openvino-int8"."""
        return stem(self.target, self.precision)

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict, `schema` first."""
        return {"schema": self.schema, **encode(self)}

    @classmethod
    def from_json(cls, value: object, where: Path | str = "the sidecar") -> Sidecar:
        """Build a manifest from the result of `to_json`.

        Raises:
            ArtifactError: fields that are unknown, missing or wrong; the message names `where`.
        """
        schema = value.get("schema") if isinstance(value, dict) else None
        if isinstance(schema, str) and schema not in READ and schema.startswith(SCHEMA.split("/")[0] + "/"):
            raise ArtifactError(
                f"{shown_text(where)} has the schema {shown_text(schema)}; this mambapro reads up to {SCHEMA}. Update "
                "mambapro, or build the artifact again with this version."
            )
        sidecar = record_of(cls, value, f"{shown_text(where)} does not follow the schema {SCHEMA}:")
        # it is written in the current schema
        return replace(sidecar, schema=SCHEMA)


#: Combinations that cannot be built, and the reason.
NEVER_BUILT = {
    (ONNXRUNTIME, "bf16"): "its CPU has no bfloat16 products",
    (OPENVINO, "fp16"): "on CPUs it computes in bf16 or float32, and a float16 file gains nothing",
}


def stem(target: str, precision: str) -> str:
    """Return the name without suffix of an artifact's files: `<stem>.onnx`, `.engine`, `.json`."""
    return f"{target}-{precision}"


def read_sidecar(path: Path) -> Sidecar:
    """Read a manifest from its file.

    Raises:
        ArtifactError: not JSON, or of another schema.
    """
    return parse_sidecar(read_limited(path, LARGEST, "sidecar", ArtifactError), path)


def parse_sidecar(content: bytes, where: Path) -> Sidecar:
    """Parse the content of a manifest; `where` is named in messages.

    Raises:
        ArtifactError: not JSON, or of another schema.
    """
    try:
        value = parse_json(content)
    except ValueError as error:
        raise ArtifactError(
            f"{shown_text(where)} cannot be read: {shown_text(error)}. Build the artifact again."
        ) from error
    return Sidecar.from_json(value, where)
