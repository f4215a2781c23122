"""Parts of the metadata of a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from .field_checks import check_file_name, one_of, require_sha256

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
#: Targets of an export's artifacts. "onnxruntime-ops" is a shared library with custom operators.
ONNXRUNTIME, ONNXRUNTIME_OPS = "onnxruntime", "onnxruntime-ops"
VERIFIED, UNVERIFIED = "verified", "unverified"

FEATURE_SPACE_RULE = (
    "Embeddings may be compared when their fingerprints are equal: same weights, same preprocessing, same model "
    "settings. Precisions of one checkpoint share a fingerprint, because each had to pass the parity gate."
)
#: Largest embedding, and most letters of a field of the model card.
_LARGEST_DIM, _LONGEST_TEXT = 2**20, 4000


@dataclass(frozen=True)
class Embedding:
    """Embedding output of `dim` numbers per sample; `l2_normalized` if the graph returns unit length."""

    dim: int
    l2_normalized: bool = False

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise InputError(f"dim must be at least 1, not {self.dim}.")
        if self.dim > _LARGEST_DIM:
            raise InputError(f"dim may be {_LARGEST_DIM:,} at most, not {self.dim:,}.")


@dataclass(frozen=True)
class CardFields:
    """Fields of the model card that only the publisher of a model knows; None = not given.

    Attributes:
        license: of the weights, an SPDX identifier or words.
        data_license: of the training data.
        note: intended use and limits.
    """

    license: str | None = None
    data_license: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 < len(value.strip()) <= len(value) <= _LONGEST_TEXT:
                raise InputError(f"{name} must have 1 to {_LONGEST_TEXT:,} letters, not {len(value):,}.")


@dataclass(frozen=True)
class Precision:
    """Precisions: `label` for display ("fp16"), and by part of the model ({"backbone": "fp16", ...})."""

    label: str
    parts: dict[str, str]

    def __post_init__(self) -> None:
        one_of("label", self.label, PRECISIONS)
        for part, value in self.parts.items():
            one_of(f"parts.{part}", value, PRECISIONS)


@dataclass(frozen=True)
class LabelText:
    """Matrix in the model that was computed from the words of its labels, and the hash of that list of labels."""

    initializer: str
    labels_sha256: str

    def __post_init__(self) -> None:
        require_sha256("labels_sha256", self.labels_sha256)


@dataclass(frozen=True)
class Artifact:
    """Loadable file of the bundle. `target` names the runtime; `constraints` are its requirements."""

    file: str
    target: str
    constraints: dict[str, Any]
    state: str

    def __post_init__(self) -> None:
        check_file_name(self.file)
        one_of("state", self.state, (VERIFIED, UNVERIFIED))


@dataclass(frozen=True)
class FeatureSpace:
    """Feature space: `id` is a fingerprint (see `fingerprint`), `rule` describes which embeddings are comparable."""

    id: str
    rule: str = FEATURE_SPACE_RULE

    def __post_init__(self) -> None:
        require_sha256("id", self.id)


@dataclass(frozen=True)
class Checkpoint:
    """Exported checkpoint file."""

    file: str
    sha256: str

    def __post_init__(self) -> None:
        require_sha256("sha256", self.sha256)
