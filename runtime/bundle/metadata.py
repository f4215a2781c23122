"""`metadata.json` of a bundle: task, inputs, outputs, and the feature space of the embeddings.

The schema is not specific to one model: inputs and outputs are named tensors with a role; modalities and task are data.
Reading is strict: an unknown, missing or wrong-typed field is an error, and a newer schema is rejected.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

from ... import __version__
from ...common.foreign_text import shown_text, shown_value
from ...common.formats.size_limits import ADVICE, size_limit
from ...common.records import STORED_IF_SET, encode, record_of
from ...errors import ArtifactError, InputError
from ..data.batch import CAMERA, IMAGE
from ..data.preprocess import Preprocessing
from .field_checks import one_of, require_sha256
from .labels import Labels
from .metadata_parts import (
    Artifact,
    CardFields,
    Checkpoint,
    Embedding,
    FeatureSpace,
    LabelText,
    Precision,
)
from .module_roles import ModuleRoles
from .tasks import TASKS
from .tensors import EMBEDDING, INPUT_ROLES, LOGITS, OUTPUT_ROLES, PROBABILITIES, TensorInfo

SCHEMA_FAMILY = "mambapro.bundle"
SCHEMA_VERSION = 2
SCHEMA = f"{SCHEMA_FAMILY}/{SCHEMA_VERSION}"

#: Most tensors, artifacts, modalities and the like in one bundle; most cameras.
_MOST, _MOST_CAMERAS = 64, 10**6
#: Bytes of one sample, all inputs and outputs together: room for three images of 2048 x 2048.
_LARGEST_SAMPLE = 48 * 2**20

_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")


@dataclass(frozen=True)
class BundleMetadata:
    """Content of `metadata.json`.

    Attributes:
        task: a name in `TASKS`.
        embedding: of an embedding output, None where the model has none.
        labels: of a logits output, None where it has none or its labels are not known.
        cameras: rows of the camera table; 0 = the model has no camera input.
        fingerprint: SHA-256 over weights, preprocessing and settings; precisions of one checkpoint share it.
        feature_space: which embeddings may be compared, None where the model returns none.
        card: fields of the model card that the publisher gave, None where there are none.
        created: UTC, ISO 8601.
        modules: roles of modules; None in bundles of before.
        label_text: matrix that depends on names, words and order of the labels, None where there is none.
    """

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
    fingerprint: str
    feature_space: FeatureSpace | None
    versions: dict[str, str]
    checkpoint: Checkpoint
    git_commit: str | None
    datasets: tuple[str, ...]
    created: str
    labels: Labels | None = None
    card: CardFields | None = None
    modules: ModuleRoles | None = field(default=None, metadata=STORED_IF_SET)
    label_text: LabelText | None = field(default=None, metadata=STORED_IF_SET)
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        one_of("task", self.task, TASKS)
        one_of("schema", self.schema, (SCHEMA,))
        require_sha256("fingerprint", self.fingerprint)
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
        if len(self.names(TASKS[self.task].output)) != 1:
            raise InputError(f"{self.task} needs one {TASKS[self.task].output} output.")
        self._check_embedding()
        self._check_labels()

    def _check_sizes(self) -> None:
        """Check the declared sizes before arrays are allocated."""
        for what in ("inputs", "outputs", "modalities", "artifacts", "datasets", "versions"):
            if len(getattr(self, what)) > _MOST:
                raise InputError(f"{what} may have {_MOST} entries, not {len(getattr(self, what)):,}.")
        if self.cameras > _MOST_CAMERAS:
            raise InputError(f"cameras may be {_MOST_CAMERAS:,} at most, not {self.cameras:,}.")
        total, limit = sum(tensor.sample_bytes for tensor in (*self.inputs, *self.outputs)), size_limit(_LARGEST_SAMPLE)
        if total > limit:
            raise InputError(f"one sample has {total:,} bytes by the shapes; at most {limit:,} are taken. {ADVICE}")

    def _check_images(self) -> None:
        sensors = [tensor.sensor for tensor in self.inputs if tensor.role == IMAGE]
        if not self.modalities or sensors != list(self.modalities):
            raise InputError(f"the image inputs {sensors} must be the modalities {list(self.modalities)}, in order.")
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
        shapes = [tensor.shape[1:] for tensor in self.outputs if tensor.role == EMBEDDING]
        if shapes != ([] if self.embedding is None else [(self.embedding.dim,)]):
            raise InputError(
                f"embedding is {self.embedding}, but the embedding outputs have the shapes {shapes} per sample: "
                f"{self.task} needs one embedding output of shape (batch, embedding.dim), or neither."
            )
        space = None if self.feature_space is None else self.feature_space.id
        if space != (None if self.embedding is None else self.fingerprint):
            raise InputError("feature_space must have the fingerprint as its id, or be null where embedding is.")

    def _check_labels(self) -> None:
        shapes = [tensor.shape[1:] for tensor in self.outputs if tensor.role == LOGITS]
        if self.labels is not None and shapes != [(len(self.labels.names),)]:
            raise InputError(
                f"labels has {len(self.labels.names)} names, the logits outputs have the shapes {shapes} per sample."
            )
        text = None if self.label_text is None else self.label_text.labels_sha256
        if text is not None and text != (None if self.labels is None else self.labels.sha256):
            raise InputError(
                "labels is another list than that of the text matrix in the model: names, words and their order must "
                "stay as they were at the export."
            )
        beside = [tensor.shape[1:] for tensor in self.outputs if tensor.role == PROBABILITIES]
        if beside and beside != shapes:
            raise InputError(f"the probabilities have the shapes {beside} per sample, the logits {shapes}.")

    def ranged(self) -> BundleMetadata:
        """Return the metadata with the process's ranges of 16-bit images (`image_settings`), if any."""
        preprocessing = self.preprocessing.with_ranges(None, self.modalities)
        return self if preprocessing is self.preprocessing else replace(self, preprocessing=preprocessing)

    def names(self, role: str) -> tuple[str, ...]:
        """Return the names of the inputs and outputs with this role, in order."""
        return tuple(tensor.name for tensor in (*self.inputs, *self.outputs) if tensor.role == role)

    @property
    def output(self) -> TensorInfo:
        """The output that artifacts are compared by, which the task decides."""
        return next(tensor for tensor in self.outputs if tensor.role == TASKS[self.task].output)

    @property
    def batch(self) -> int | None:
        """Fixed batch of the artifacts, None if dynamic."""
        first = self.inputs[0].shape[0]
        return first if isinstance(first, int) else None

    @property
    def dim(self) -> int:
        """Length of an embedding.

        Raises:
            ArtifactError: the model returns no embedding.
        """
        if self.embedding is None:
            raise ArtifactError(f"The model {self.name!r} is for {self.task} and returns no embedding.")
        return self.embedding.dim

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict, `schema` first."""
        return {"schema": self.schema, **encode(self)}

    @classmethod
    def from_json(cls, value: object) -> BundleMetadata:
        """Build metadata from the result of `to_json`.

        Raises:
            ArtifactError: a newer schema, or fields that are unknown, missing or wrong (all counted, ten shown).
            InputError: MAMBAPRO_MAX_GIB is no size.
        """
        content = _checked_schema(value)
        # the option is checked first: it is wrong independent of the file
        size_limit(_LARGEST_SAMPLE)
        return record_of(cls, _upgraded(content), f"metadata.json does not follow the schema {SCHEMA}:")


def _upgraded(value: dict[str, Any]) -> dict[str, Any]:
    """Convert schema 1 to the current one: its feature space has the fingerprint, of every model."""
    if value["schema"] != f"{SCHEMA_FAMILY}/1":
        return value
    space = value.get("feature_space")
    stored = {"fingerprint": space["id"]} if isinstance(space, dict) and "id" in space else {}
    if value.get("embedding") is None and stored:
        stored["feature_space"] = None
    return {**value, **stored, "schema": SCHEMA}


def _checked_schema(value: object) -> dict[str, Any]:
    """Return the JSON value if this version reads its schema."""
    if not isinstance(value, dict):
        raise ArtifactError(f"metadata.json must hold an object, not {type(value).__name__}.")
    schema = value.get("schema")
    match = re.fullmatch(re.escape(SCHEMA_FAMILY) + r"/([1-9]\d{0,8})", schema) if isinstance(schema, str) else None
    if match is None:
        raise ArtifactError(
            f"metadata.json must say its schema, like {SCHEMA!r}, not {shown_value(schema)}. Is this a bundle?"
        )
    if int(match[1]) > SCHEMA_VERSION:
        raise ArtifactError(
            f"The bundle has the schema {schema}; this runtime (mambapro {__version__}) reads up to {SCHEMA}. "
            "Update mambapro, or export the model again with this version."
        )
    return value


def fingerprint(weights_sha256: str, preprocessing: Preprocessing, model_config: dict[str, Any]) -> str:
    """Return the hex SHA-256 over everything that makes embeddings comparable.

    Precision and file format are excluded on purpose: every artifact of a checkpoint must return the same numbers.

    Args:
        weights_sha256: hash of the checkpoint's weights.
        preprocessing: as in the bundle.
        model_config: JSON values; the order of the keys does not matter.
    """
    content = {"weights": weights_sha256, "preprocessing": encode(preprocessing), "model": encode(model_config)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
