"""Plan of an export: derived from the checkpoint, printed by --dry-run, stored in the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...common.foreign_text import escaped
from ...errors import InputError
from ...runtime.bundle.metadata_parts import CardFields
from ...runtime.data.readers.benchmarks import benchmark_info
from ...runtime.data.sixteen_bit import Ranges
from ...runtime.evaluation.gates.agreement import AGREEMENTS
from ...train.models.checkpoints.tensor_files import require_checkpoint_file
from ...train.models.checkpoints.weights import load_checkpoint
from ...train.models.model_spec import Model, ModelSpec
from ..artifacts.build_options import BuildOptions, QuantizeOptions
from .export_labels import label_model
from .onnx_graph import OPSET
from .precision_summary import precision_map, require_precision

#: Suffix of a bundle's folder.
SUFFIX = ".mambapro"


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        checkpoint: the authors' `.pth`, or one of ours.
        precision: of the exported model, "fp32" or "fp16".
        output: the bundle's folder; None is `<checkpoint>-<label>.mambapro` beside the checkpoint.
        image_size: (height, width); the authors' files need it, or `dataset`.
        dataset: benchmark the model was trained on; gives the image size and the manner of drawn parity images.
        data: root folder of `dataset`: parity on its images, and the mAP of a float16 file is gated on its test part.
        parity_data: the same for the parity run alone; None is `data`, without which images are drawn.
        switches: what the authors' files do not hold, see load_checkpoint.
        limit: largest distance to PyTorch allowed, 1 - cosine of embeddings; None is that of the precision.
        max_map_drop: largest loss of mAP of a float16 file on `data`, a fraction; None is MAP_DROPS of the precision.
        trace: compare stage by stage as well.
        overwrite: replace an existing output folder.
        sixteen_bit_range: (low, high) of 16-bit images, or by sensor, written into the bundle; None is what the
            checkpoint says of its training, else the full range.
        label: what the default output is named after; None is the precision.
        builds: artifacts to build of the bundle.
        quantize: scales of their int8, and images for the range check of float16; those of `builds` do not count.
        card: license and use for the model card; None = not stated.
        labels: file with the names of a logits output's labels; None = those of the checkpoint's training.
    """

    checkpoint: Path
    precision: str = "fp32"
    output: Path | None = None
    image_size: tuple[int, int] | None = None
    dataset: str | None = None
    data: str | None = None
    parity_data: str | None = None
    switches: Mapping[str, Any] = field(default_factory=dict)
    limit: float | None = None
    max_map_drop: float | None = None
    trace: bool = False
    overwrite: bool = False
    sixteen_bit_range: Ranges | None = None
    label: str | None = None
    builds: tuple[BuildOptions, ...] = ()
    quantize: QuantizeOptions = field(default_factory=QuantizeOptions)
    card: CardFields | None = None
    labels: Path | None = None

    def __post_init__(self) -> None:
        require_precision(self.precision)
        require_checkpoint_file(self.checkpoint)
        if self.limit is not None and not 0 < self.limit <= 2:
            raise InputError(f"--max-cosine-distance must be between 0 and 2 (1 - cosine), not {self.limit}.")
        if self.max_map_drop is not None and not 0 < self.max_map_drop <= 1:
            raise InputError(f"--max-map-drop must be above 0 and at most 100 points, not {100 * self.max_map_drop:g}.")
        if self.dataset is not None:
            benchmark_info(self.dataset)

    @property
    def bundle(self) -> Path:
        """Folder to be written."""
        return self.output or self.checkpoint.with_name(
            f"{self.checkpoint.stem}-{self.label or self.precision}{SUFFIX}"
        )

    @property
    def images(self) -> str | None:
        """Root folder of `dataset` for the parity run."""
        return self.parity_data or self.data

    def max_departure(self, role: str) -> float:
        """Return the limit in force for an output of a role."""
        return AGREEMENTS[role].limits[self.precision] if self.limit is None else self.limit

    def load_model(self) -> Model:
        """Load the checkpoint's model, with the names of its labels.

        Raises:
            InputError, ArtifactError: as load_checkpoint and label_model.
        """
        usual = benchmark_info(self.dataset).image_size if self.dataset is not None else None
        model: Model = load_checkpoint(
            self.checkpoint, self.image_size, default_image_size=usual, dataset=self.dataset, **self.switches
        )
        label_model(model, self.checkpoint, self.labels, self.data)
        return model


@dataclass(frozen=True)
class ExportPlan:
    """Plan of an export, as printed and as JSON. `builds` are the artifacts built after it."""

    checkpoint: str
    bundle: str
    config: Any
    spec: ModelSpec
    precision: str
    parameters: int
    exported_parameters: int
    limit: float
    images: str
    builds: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict."""
        return {
            "checkpoint": self.checkpoint,
            "bundle": self.bundle,
            "config": self.config.to_json(),
            "precision": precision_map(self.precision, self.spec.float32_parts),
            "opset": OPSET,
            "inputs": self.spec.input_names,
            f"{self.spec.output.role}_dim": self.spec.output.shape[1],
            "parameters": self.parameters,
            "exported_parameters": self.exported_parameters,
            "limit": self.limit,
            "parity_images": self.images,
            "builds": list(self.builds),
        }

    def __str__(self) -> str:
        spec, output = self.spec, self.spec.output
        islands = f"; fp32 stays in {', '.join(spec.float32_parts)}" if self.precision != "fp32" else ""
        shape = ", ".join(map(str, output.shape))
        rows = {
            "checkpoint": escaped(self.checkpoint),
            "model": spec.summary,
            "parameters": f"{self.parameters:,} in the checkpoint, {self.exported_parameters:,} exported: "
            f"{spec.folded} fold away",
            "graph": f"ONNX opset {OPSET}, {', '.join(spec.input_names)} -> {', '.join(spec.output_names)} ({shape})",
            "precision": f"{self.precision}{islands}",
            "parity": f"largest {AGREEMENTS[output.role].name} {self.limit:.0e}, on {escaped(self.images)}",
            "bundle": escaped(self.bundle),
        }
        if self.builds:
            rows["builds"] = f"{', '.join(self.builds)}, each behind its gates"
        return "\n".join(f"{key:11} {value}" for key, value in rows.items())
