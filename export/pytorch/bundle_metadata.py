"""The metadata of a bundle, from the model and the machine it was exported on."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import onnx

from ... import __version__
from ...common.files.atomic import sha256_of
from ...runtime.bundle.checksums import MODEL
from ...runtime.bundle.metadata import (
    CAMERA,
    EMBEDDING,
    IMAGE,
    MODALITY_MASK,
    ONNXRUNTIME,
    RE_IDENTIFICATION,
    VERIFIED,
    Artifact,
    BundleMetadata,
    Checkpoint,
    Embedding,
    FeatureSpace,
    Precision,
    TensorInfo,
    fingerprint,
)
from ...runtime.data.modalities import MODALITIES
from ...runtime.data.preprocess import Preprocessing
from ...train.engine.image_ranges import model_preprocessing
from ...train.models.mambapro.mambapro import MambaPro
from ...train.models.mambapro.model_config import VARIANT_FIELDS, MambaProConfig
from .onnx_graph import OPSET
from .plan import ExportOptions
from .precision_summary import precision_map

_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "numpy", "pillow")
#: What the switches say about training only does not change the features.
_TRAINING_ONLY = ("direct", "identities", "drop_path")
#: Variants came after the first bundles: where a model has none, its feature space keeps the name it had.
_LATER = (*VARIANT_FIELDS, "lora_rank")


def describe(model: MambaPro, options: ExportOptions) -> BundleMetadata:
    """Everything `metadata.json` says about an export whose parity has been proven."""
    config = model.config
    preprocessing = options.preprocessing(model)
    dataset = options.dataset or model.trained_on.get("dataset")
    return BundleMetadata(
        name=options.checkpoint.stem,
        task=RE_IDENTIFICATION,
        inputs=_inputs(config),
        outputs=(TensorInfo(EMBEDDING, EMBEDDING, "float32", ("batch", config.feature_dim), "feature, of any length"),),
        modalities=MODALITIES,
        preprocessing=preprocessing,
        embedding=Embedding(config.feature_dim),
        cameras=config.cameras if config.sie_camera else 0,
        precision=Precision(options.precision, precision_map(options.precision)),
        artifacts=(Artifact(MODEL, ONNXRUNTIME, {"opset": OPSET, "custom_operators": "optional"}, VERIFIED),),
        feature_space=feature_space_of(model, preprocessing),
        versions=_versions(),
        checkpoint=Checkpoint(options.checkpoint.name, sha256_of(options.checkpoint)),
        git_commit=_git_commit(),
        datasets=(dataset,) if dataset else (),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def feature_space_of(model: MambaPro, preprocessing: Preprocessing | None = None) -> FeatureSpace:
    """What the model's features may be compared with; `preprocessing` None is the usual one."""
    left_out = (*_TRAINING_ONLY, *_LATER)
    settings = {key: value for key, value in model.config.to_json().items() if key not in left_out}
    settings |= model.config.variants
    return FeatureSpace(fingerprint(weights_sha256(model), preprocessing or model_preprocessing(model), settings))


def weights_sha256(model: MambaPro) -> str:
    """Hash of the weights that make features, whatever file they came from; training heads do not count."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if "head." not in name and not name.endswith("num_batches_tracked"):
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(value.contiguous().numpy())
    return digest.hexdigest()


def _inputs(config: MambaProConfig) -> tuple[TensorInfo, ...]:
    height, width = config.image_size
    images = tuple(
        TensorInfo(m, IMAGE, "uint8", ("batch", height, width, 3), f"{m} image, R G B, 0 to 255") for m in MODALITIES
    )
    camera = TensorInfo(
        CAMERA,
        CAMERA,
        "int64",
        ("batch",),
        f"camera 0 to {config.cameras - 1}; any other number is an unknown camera",
    )
    mask = TensorInfo(
        MODALITY_MASK, MODALITY_MASK, "float32", ("batch", 3), "1: the sensor is there, 0: missing; rgb, nir, tir"
    )
    return (*images, *((camera,) if config.sie_camera else ()), mask)


def _versions() -> dict[str, str]:
    found = {"mambapro": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """Commit of the source this runs from, with -dirty where it was changed; None when installed from a wheel."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def stamp(model: onnx.ModelProto, metadata: BundleMetadata) -> None:
    """Write the metadata into the ONNX file too, one property for each field, as JSON text."""
    values: dict[str, Any] = metadata.to_json()
    # the list of files is the bundle's own
    values.pop("artifacts")
    onnx.helper.set_model_props(model, {f"mambapro.{key}": json.dumps(value) for key, value in values.items()})
    model.producer_name, model.producer_version = "mambapro", __version__
