"""What a user can say about an artifact, and what is said about a finished one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...common.foreign_text import escaped
from ...errors import InputError
from ...runtime.bundle.artifact import TARGETS, TENSORRT, TENSORRT_RTX, Sidecar
from ...runtime.bundle.metadata import PRECISIONS, one_of
from ..engines.engine_options import EngineOptions

ENGINES = (TENSORRT, TENSORRT_RTX)


@dataclass(frozen=True)
class BuildOptions:
    """What a user can say about an artifact.

    Attributes:
        target: "onnxruntime", "openvino", "tensorrt" or "tensorrt-rtx".
        precision: None = that of the exported model.
        engine: for TensorRT and TensorRT-RTX.
        max_departure: largest 1 - cosine to PyTorch; None = LIMITS of the precision.
        max_map_drop: largest drop of mAP, a fraction; None = MAP_DROPS of the precision.
        data, dataset: labelled images for the accuracy gate; without them it is not run, and the sidecar says so.
        force: keep an int8 artifact that is not faster than the next higher precision.
        overwrite: replace an artifact of the same target and precision.
    """

    target: str
    precision: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    max_departure: float | None = None
    max_map_drop: float | None = None
    data: Path | None = None
    dataset: str | None = None
    force: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        one_of("target", self.target, TARGETS)
        if self.precision is not None:
            one_of("precision", self.precision, PRECISIONS)
        if (self.data is None) != (self.dataset is None):
            raise InputError("The accuracy gate needs --data and --dataset together: give both, or none.")
        for name, value, most in (("departure", self.max_departure, 2.0), ("map-drop", self.max_map_drop, 1.0)):
            if value is not None and not 0 < value <= most:
                raise InputError(f"--max-{name} must be above 0, not {value}.")


@dataclass(frozen=True)
class BuildReport:
    """A finished artifact and the bundle it is in."""

    bundle: Path
    artifact: Sidecar

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {"bundle": str(self.bundle), "artifact": self.artifact.to_json()}

    def __str__(self) -> str:
        made = self.artifact
        rows = [
            (
                "artifact",
                f"{made.stem} in {escaped(self.bundle)}, {made.build.bytes / 1e6:.1f} MB, {made.build.seconds:.0f} s",
            )
        ]
        if made.build.layers is not None:
            rows.append(("network", f"{made.build.layers} layers, {made.build.plugin_layers} of them scan plugins"))
        if made.quantized:
            rows.append(("int8", f"{len(made.quantized)} modules"))
        if made.widened:
            rows.append(("kept fp32", ", ".join(made.widened)))
        rows += _gate_rows(made)
        return "\n".join(f"{head:11} {text}" for head, text in rows)


def _gate_rows(made: Sidecar) -> list[tuple[str, str]]:
    if made.cosine is None:
        return [("state", "unverified: not proven on this machine; run mambapro check on the one it is for")]
    rows = [
        (
            "1 - cosine",
            f"at most {made.cosine.largest:.2e} in {made.cosine.samples} goldens, limit {made.cosine.limit:.0e}",
        )
    ]
    gate, speed = made.accuracy, made.speed
    if gate is None:
        rows.append(("mAP", "not gated: no labelled images were given (--data, --dataset)"))
    else:
        rows.append(("mAP", str(gate)))
    if speed is not None:
        rows.append(("speed", str(speed)))
    return rows
