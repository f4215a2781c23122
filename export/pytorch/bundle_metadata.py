"""Metadata of a bundle, from the model and the exporting machine."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import datetime, timezone
from pathlib import Path

from ... import __version__
from ...common.files.atomic import sha256_of
from ...common.machine.packages import installed_versions
from ...runtime.bundle.checksums import MODEL
from ...runtime.bundle.metadata import BundleMetadata, fingerprint
from ...runtime.bundle.metadata_parts import (
    ONNXRUNTIME,
    VERIFIED,
    Artifact,
    Checkpoint,
    Embedding,
    FeatureSpace,
    LabelText,
    Precision,
)
from ...runtime.bundle.tensors import EMBEDDING
from ...runtime.data.preprocess import Preprocessing
from ...train.engine.image_ranges import model_preprocessing
from ...train.models.model_spec import Model
from .onnx_graph import OPSET
from .plan import ExportOptions
from .precision_summary import precision_map

_PACKAGES = ("python", "torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "numpy", "pillow")


def describe(model: Model, options: ExportOptions, preprocessing: Preprocessing) -> BundleMetadata:
    """Return the content of `metadata.json` for an export with verified parity."""
    spec = model.spec
    identity = fingerprint_of(model, preprocessing)
    dataset = options.dataset or model.trained_on.get("dataset")
    dim = next((tensor.shape[1] for tensor in spec.outputs if tensor.role == EMBEDDING), None)
    return BundleMetadata(
        name=options.checkpoint.stem,
        task=spec.task,
        inputs=spec.inputs,
        outputs=spec.outputs,
        modalities=spec.modalities,
        preprocessing=preprocessing,
        embedding=None if dim is None else Embedding(int(dim)),
        cameras=model.cameras,
        precision=Precision(options.precision, precision_map(options.precision, spec.float32_parts)),
        artifacts=(Artifact(MODEL, ONNXRUNTIME, {"opset": OPSET, "custom_operators": "optional"}, VERIFIED),),
        fingerprint=identity,
        feature_space=None if dim is None else FeatureSpace(identity),
        versions=_versions(),
        checkpoint=Checkpoint(options.checkpoint.name, sha256_of(options.checkpoint)),
        git_commit=_git_commit(),
        datasets=(dataset,) if dataset else (),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        labels=spec.labels,
        card=options.card,
        modules=spec.modules,
        label_text=LabelText(spec.text, spec.labels.sha256) if spec.text and spec.labels is not None else None,
    )


def fingerprint_of(model: Model, preprocessing: Preprocessing | None = None) -> str:
    """Return the fingerprint of a model in PyTorch; `preprocessing` None is the usual one."""
    settings = dict(model.spec.settings)
    return fingerprint(weights_sha256(model), preprocessing or model_preprocessing(model), settings)


def weights_sha256(model: Model) -> str:
    """Return the hash of the weights that affect the features; training heads are excluded."""
    digest, training_only = hashlib.sha256(), model.spec.training_only
    for name, value in sorted(model.state_dict().items()):
        if not training_only(name):
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(value.contiguous().numpy())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    return {"mambapro": __version__, **installed_versions(_PACKAGES)}


def _git_commit() -> str | None:
    """Return the commit of the source, with -dirty if it was changed; None when installed from a wheel."""
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
