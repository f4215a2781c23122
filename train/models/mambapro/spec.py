"""ModelSpec of MambaPro."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from ....plugins.selective_scan.schema import DOMAIN, OP_TYPE
from ....runtime.bundle.module_roles import MAMBAPRO
from ....runtime.bundle.tasks import RE_IDENTIFICATION
from ....runtime.bundle.tensors import EMBEDDING, TensorInfo
from ....runtime.data.batch import CAMERA, IMAGE, MODALITY_MASK
from ....runtime.data.modalities import MODALITIES
from ..model_spec import ModelSpec
from ..parts.aggregation import half_names
from ..parts.layers import LayerNorm
from ..parts.mamba import ScanGroup
from .model_config import VARIANT_FIELDS, MambaProConfig

#: Parts that stay float32 when the rest is float16, and why; keys go into the bundle's metadata.
FLOAT32_PARTS = {
    "normalisation": "pixels become numbers around zero before they are rounded",
    "layer_norm": "squares overflow float16",
    "softmax": "exponentials overflow float16",
    "softplus": "the step size spans many orders of magnitude",
    "scan_state": "hundreds of steps add up",
    "reduction": "the mean over tokens and the last product make the feature",
}
#: Fields of the config that change the training only.
_TRAINING_FIELDS = ("direct", "identities", "drop_path")
#: Added after the first bundles: without variants the feature space has the same fingerprint as before.
_LATER_FIELDS = (*VARIANT_FIELDS, "lora_rank")
#: Parts of the backbone that belong to MambaPro, not to the tower: camera table (a ViT's, frozen_cameras, goes with the
#: tower, as in the authors' code), adapters with LoRA's matrices, prompts, per-modality head.
_NOT_PRETRAINED = ("backbone.embedding.cameras", ".adapter.", ".prompt.", "backbone.head.")
_SWITCHES = ("prompt", "adapter", "mamba", "mamba_bi", "sie_camera")


def spec_of(config: MambaProConfig, running: Iterable[nn.Module]) -> ModelSpec:
    """Return the spec of a model with this config; `running` are the modules that take part in inference."""
    modules = list(running)
    settings = {k: v for k, v in config.to_json().items() if k not in (*_TRAINING_FIELDS, *_LATER_FIELDS)}
    embedding = TensorInfo(EMBEDDING, EMBEDDING, "float32", ("batch", config.feature_dim), "feature, of any length")
    return ModelSpec(
        task=RE_IDENTIFICATION,
        inputs=_inputs(config),
        outputs=(embedding,),
        stages=tuple(stage_names(config)),
        modules=MAMBAPRO,
        float32_parts=FLOAT32_PARTS,
        operators={
            f"{DOMAIN}.{OP_TYPE}": sum(isinstance(module, ScanGroup) for module in modules),
            "LayerNormalization": sum(isinstance(module, LayerNorm) for module in modules),
        },
        settings={**settings, **config.variants},
        training_only=is_training_only,
        pretrained=is_pretrained,
        multiplied=("backbone.projection",),
        summary=_summary(config),
        folded="transfers, BatchNorm and training heads",
    )


def is_training_only(name: str) -> bool:
    """Return True if a tensor has no part in the feature: heads, and counters of BatchNorm."""
    return "head." in name or name.endswith("num_batches_tracked")


def is_pretrained(name: str) -> bool:
    """Return True if a parameter belongs to the pretrained tower: CLIP, or a ViT of ImageNet."""
    return name.startswith("backbone.") and not any(part in name for part in _NOT_PRETRAINED)


def stage_names(config: MambaProConfig) -> list[str]:
    """Return the names of the stages in the order of `InferenceModel`: the modules whose outputs they are."""
    names = ["backbone.embedding", *(f"backbone.layers.{i}" for i in range(config.depth)), "backbone"]
    if config.mamba:
        names += [f"aggregation.{half}" for half in half_names(config)]
    return names


def _inputs(config: MambaProConfig) -> tuple[TensorInfo, ...]:
    height, width = config.image_size
    images = tuple(
        TensorInfo(m, IMAGE, "uint8", ("batch", height, width, 3), f"{m} image, R G B, 0 to 255") for m in MODALITIES
    )
    meaning = f"camera 0 to {config.cameras - 1}; any other number is an unknown camera"
    camera = TensorInfo(CAMERA, CAMERA, "int64", ("batch",), meaning)
    meaning = "1: the sensor is there, 0: missing; rgb, nir, tir"
    mask = TensorInfo(MODALITY_MASK, MODALITY_MASK, "float32", ("batch", 3), meaning)
    return (*images, *((camera,) if config.sie_camera else ()), mask)


def _summary(config: MambaProConfig) -> str:
    height, width = config.image_size
    switches = ", ".join(name for name in _SWITCHES if getattr(config, name)) or "backbone only"
    variants = "".join(f", {name} {value}" for name, value in config.variants.items())
    return (
        f"width {config.width}, {config.depth} layers, {height}x{width} pixels, {config.cameras} cameras, "
        f"{switches}{variants}"
    )
