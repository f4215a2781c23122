"""`metadata.json` of a bundle: what the model is, what goes in and out, and what its numbers may be compared with.

The schema is not bound to one model: inputs and outputs are named tensors with a role; modalities and task are data.
Reading is strict: an unknown, missing or wrong-typed field is an error, and a file of a newer schema is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from ... import __version__
from ...common.foreign_text import shown_text
from ...common.formats.size_limits import ADVICE, size_limit
from ...common.records import STORED_IF_SET, encode, record_of
from ...errors import ArtifactError, InputError
from ..data.batch import CAMERA, IMAGE, MODALITY_MASK
from ..data.preprocess import Preprocessing
from .module_roles import ModuleRoles

SCHEMA_FAMILY = "mambapro.bundle"
SCHEMA_VERSION = 1
SCHEMA = f"{SCHEMA_FAMILY}/{SCHEMA_VERSION}"

#: The name of the dynamic axis in a tensor's shape.
BATCH = "batch"

RE_IDENTIFICATION, ATTRIBUTES = "re-identification", "attributes"
TASKS = (RE_IDENTIFICATION, ATTRIBUTES)

EMBEDDING, LOGITS = "embedding", "logits"
INPUT_ROLES = (IMAGE, CAMERA, MODALITY_MASK)
OUTPUT_ROLES = (EMBEDDING, LOGITS, ATTRIBUTES)

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
DTYPES = ("uint8", "uint16", "int32", "int64", "float16", "float32")

#: Targets of artifacts known today. "onnxruntime-ops" is a shared library with custom operators.
ONNXRUNTIME, ONNXRUNTIME_OPS = "onnxruntime", "onnxruntime-ops"
VERIFIED, UNVERIFIED = "verified", "unverified"

FEATURE_SPACE_RULE = (
    "Embeddings may be compared when their fingerprints are equal: same weights, same preprocessing, same model "
    "settings. Precisions of one checkpoint share a fingerprint, because each had to pass the parity gate."
)

#: Tensors, artifacts, modalities and the like in one bundle; axes of a tensor; numbers of an embedding; cameras.
_MOST, _MOST_AXES, _LARGEST_DIM, _MOST_CAMERAS = 64, 8, 2**20, 10**6
#: Bytes of one sample, all inputs and outputs together: room for three images of 2048 x 2048.
_LARGEST_SAMPLE = 48 * 2**20

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")


def one_of(what: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise InputError(f"{what} must be one of {', '.join(allowed)}, not {value!r}.")


def _sha256(what: str, value: str) -> None:
    if not _SHA256.fullmatch(value):
        raise InputError(f"{what} must be 64 lower-case hexadecimal digits, not {value!r}.")


def check_file_name(name: str) -> None:
    """Raise InputError unless `name` is a plain relative path with forward slashes that stays inside its folder."""
    plain = name and "\\" not in name and ":" not in name and name.isprintable()
    if not plain or PurePosixPath(name).is_absolute() or any(part in ("", ".", "..") for part in name.split("/")):
        raise InputError(f"the file name {name!r} must be relative and stay inside the bundle.")


@dataclass(frozen=True)
class TensorInfo:
    """One input or output. `shape` holds sizes and, for the dynamic first axis, "batch". Image inputs are uint8
    (batch, height, width, 3) and are named after their modality."""

    name: str
    role: str
    dtype: str
    shape: tuple[int | str, ...]
    meaning: str

    def __post_init__(self) -> None:
        one_of("dtype", self.dtype, DTYPES)
        if len(self.shape) > _MOST_AXES:
            raise InputError(f"shape may have {_MOST_AXES} axes, not {len(self.shape)}.")
        for i, size in enumerate(self.shape):
            if not (isinstance(size, int) and size > 0) and not (i == 0 and size == BATCH):
                raise InputError(f'shape must hold positive sizes, or "{BATCH}" in front, not {list(self.shape)}.')

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return math.prod(size for size in self.shape[1:] if isinstance(size, int)) * _BYTES[self.dtype]


#: Of one value.
_BYTES = {"uint8": 1, "uint16": 2, "int32": 4, "int64": 8, "float16": 2, "float32": 4}


@dataclass(frozen=True)
class Embedding:
    """`dim` numbers per sample; `l2_normalized` says whether the graph returns them with length 1."""

    dim: int
    l2_normalized: bool = False

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise InputError(f"dim must be at least 1, not {self.dim}.")
        if self.dim > _LARGEST_DIM:
            raise InputError(f"dim may be {_LARGEST_DIM:,} at most, not {self.dim:,}.")


@dataclass(frozen=True)
class Precision:
    """`label` for people ("fp16"), and the precision of each part of the model ({"backbone": "fp16", ...})."""

    label: str
    parts: dict[str, str]

    def __post_init__(self) -> None:
        one_of("label", self.label, PRECISIONS)
        for part, value in self.parts.items():
            one_of(f"parts.{part}", value, PRECISIONS)


@dataclass(frozen=True)
class Artifact:
    """A file of the bundle that a runtime can load. `target` names the runtime; `constraints` are what it needs."""

    file: str
    target: str
    constraints: dict[str, Any]
    state: str

    def __post_init__(self) -> None:
        check_file_name(self.file)
        one_of("state", self.state, (VERIFIED, UNVERIFIED))


@dataclass(frozen=True)
class FeatureSpace:
    """`id` is a fingerprint (see `fingerprint`), `rule` says in words what may be compared."""

    id: str
    rule: str = FEATURE_SPACE_RULE

    def __post_init__(self) -> None:
        _sha256("id", self.id)


@dataclass(frozen=True)
class Checkpoint:
    """The file that was exported."""

    file: str
    sha256: str

    def __post_init__(self) -> None:
        _sha256("sha256", self.sha256)


@dataclass(frozen=True)
class BundleMetadata:
    """Everything `metadata.json` says. `cameras` 0 = the model has no camera input. `created` is UTC, ISO 8601."""

    name: str
    task: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    modalities: tuple[str, ...]
    preprocessing: Preprocessing
    embedding: Embedding | None
    cameras: int
    precision: Precision
    artifacts: tuple[Artifact, ...]
    feature_space: FeatureSpace
    versions: dict[str, str]
    checkpoint: Checkpoint
    git_commit: str | None
    datasets: tuple[str, ...]
    created: str
    modules: ModuleRoles | None = field(default=None, metadata=STORED_IF_SET)
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        one_of("task", self.task, TASKS)
        one_of("schema", self.schema, (SCHEMA,))
        for tensor in self.inputs:
            one_of(f"the role of input {tensor.name!r}", tensor.role, INPUT_ROLES)
        for tensor in self.outputs:
            one_of(f"the role of output {tensor.name!r}", tensor.role, OUTPUT_ROLES)
        if not _CREATED.fullmatch(self.created):
            raise InputError(
                f"created must be a UTC time like 2030-01-31T12:00:00+00:00, not '{shown_text(self.created)}'."
            )
        self._check_sizes()
        self._check_images()
        self._check_cameras()
        if not self.artifacts:
            raise InputError("artifacts is empty: a bundle holds at least one file to load.")
        if self.embedding is not None or self.names(EMBEDDING) or self.task == RE_IDENTIFICATION:
            self._check_embedding()

    def _check_sizes(self) -> None:
        """Before anybody makes an array of what is claimed."""
        for what in ("inputs", "outputs", "modalities", "artifacts", "datasets", "versions"):
            if len(getattr(self, what)) > _MOST:
                raise InputError(f"{what} may have {_MOST} entries, not {len(getattr(self, what)):,}.")
        if self.cameras > _MOST_CAMERAS:
            raise InputError(f"cameras may be {_MOST_CAMERAS:,} at most, not {self.cameras:,}.")
        total, limit = sum(tensor.sample_bytes for tensor in (*self.inputs, *self.outputs)), size_limit(_LARGEST_SAMPLE)
        if total > limit:
            raise InputError(f"one sample has {total:,} bytes by the shapes; at most {limit:,} are taken. {ADVICE}")

    def _check_images(self) -> None:
        if not self.modalities or self.names(IMAGE) != self.modalities:
            raise InputError(
                f"the image inputs {list(self.names(IMAGE))} must be the modalities {list(self.modalities)}, in order."
            )
        size = (self.preprocessing.height, self.preprocessing.width, 3)
        for tensor in self.inputs:
            if tensor.role == IMAGE and (tensor.dtype != "uint8" or tensor.shape[1:] != size):
                raise InputError(f"the image input {tensor.name!r} must be uint8 (batch, {', '.join(map(str, size))}).")
        if len({tensor.shape[:1] for tensor in (*self.inputs, *self.outputs)}) > 1:
            raise InputError("all inputs and outputs must have the same first axis, the batch.")

    def _check_cameras(self) -> None:
        if self.cameras < 0 or len(self.names(CAMERA)) != int(self.cameras > 0):
            raise InputError(f"cameras is {self.cameras}, but the camera inputs are {list(self.names(CAMERA))}.")

    def _check_embedding(self) -> None:
        outputs = [tensor for tensor in self.outputs if tensor.role == EMBEDDING]
        if self.embedding is None or len(outputs) != 1 or outputs[0].shape[1:] != (self.embedding.dim,):
            raise InputError(f"{self.task} needs one embedding output of shape (batch, embedding.dim).")

    def ranged(self) -> BundleMetadata:
        """The same with the ranges of 16-bit images that this process was told (`image_settings`), if any."""
        preprocessing = self.preprocessing.with_ranges(None, self.modalities)
        return self if preprocessing is self.preprocessing else replace(self, preprocessing=preprocessing)

    def names(self, role: str) -> tuple[str, ...]:
        """Names of the inputs and outputs that have this role, in order."""
        return tuple(tensor.name for tensor in (*self.inputs, *self.outputs) if tensor.role == role)

    @property
    def batch(self) -> int | None:
        """The fixed batch of the artifacts, None where it is dynamic."""
        first = self.inputs[0].shape[0]
        return first if isinstance(first, int) else None

    @property
    def dim(self) -> int:
        """Numbers per embedding.

        Raises:
            ArtifactError: the model returns no embedding.
        """
        if self.embedding is None:
            raise ArtifactError(f"The model {self.name!r} is for {self.task} and returns no embedding.")
        return self.embedding.dim

    def to_json(self) -> dict[str, Any]:
        """Plain dict, `schema` first."""
        return {"schema": self.schema, **encode(self)}

    @classmethod
    def from_json(cls, value: object) -> BundleMetadata:
        """The opposite of `to_json`.

        Raises:
            ArtifactError: a newer schema, or fields that are unknown, missing or wrong (all counted, ten shown).
            InputError: MAMBAPRO_MAX_GIB is no size.
        """
        _check_schema(value)
        # the option is looked at first: it is wrong whatever the file is
        size_limit(_LARGEST_SAMPLE)
        return record_of(cls, value, f"metadata.json does not follow the schema {SCHEMA}:")


def _check_schema(value: object) -> None:
    if not isinstance(value, dict):
        raise ArtifactError(f"metadata.json must hold an object, not {type(value).__name__}.")
    schema = value.get("schema")
    match = re.fullmatch(re.escape(SCHEMA_FAMILY) + r"/([1-9]\d{0,8})", schema) if isinstance(schema, str) else None
    if match is None:
        raise ArtifactError(f"metadata.json must say its schema, like {SCHEMA!r}, not {schema!r}. Is this a bundle?")
    if int(match[1]) > SCHEMA_VERSION:
        raise ArtifactError(
            f"The bundle has the schema {schema}; this runtime (mambapro {__version__}) reads up to {SCHEMA}. "
            "Update mambapro, or export the model again with this version."
        )


def fingerprint(weights_sha256: str, preprocessing: Preprocessing, model_config: dict[str, Any]) -> str:
    """Hex SHA-256 over what decides whether two embeddings may be compared.

    Precision and file format are left out on purpose: every artifact of a checkpoint has to return the same numbers.

    Args:
        weights_sha256: hash of the checkpoint's weights.
        preprocessing: as in the bundle.
        model_config: JSON values; the order of the keys does not matter.
    """
    content = {"weights": weights_sha256, "preprocessing": encode(preprocessing), "model": encode(model_config)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
