"""Teacher of a hybrid: the ViT and the heads of an image-only attribute model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ...common.foreign_text import shown_text
from ...errors import ArtifactError, InputError
from ...runtime.data.readers.listing import shown
from ..models.attributes.attribute_config import AttributeConfig
from ..models.attributes.attribute_model import AttributeModel
from ..models.attributes.image_attributes import ImageAttributes
from ..models.attributes.named_models import NAMED_MODELS
from ..models.checkpoints.weights import load_checkpoint
from ..models.parts.attribute_heads import AttributeLinears
from ..models.parts.patch_embedding import RELEASED

log = logging.getLogger("mambapro")

#: Model of the teacher in `named_models`.
_TEACHER = "par_image_vit_b"
#: Beginnings of the names of the teacher's tensors, the same in both models.
_NAMES = ("vit.", "conv_vis.", "weight_layer.", "bn.")
#: The ImageNet classifier, which nothing uses.
_CLASSIFIER = "vit.fc."


def load_teacher(model: AttributeModel, path: Path) -> None:
    """Copy the ViT and the heads of an image-only attribute model into a hybrid, in place.

    The type embedding of the image-only model, which a hybrid does not add to its tokens, is folded into the biases of
    the heads, so that the teacher's logits stay the same; with config.teacher "released" it is left out.

    Raises:
        InputError: no such file, another kind of model, other sizes, or other labels.
        ArtifactError: unreadable file, or other tensors.
    """
    source = load_checkpoint(path)
    _check_kind(source, model, path)
    _check_labels(source, model, path)
    theirs = {name: value for name, value in source.state_dict().items() if name.startswith(_NAMES)}
    ours = {name: value for name, value in model.state_dict().items() if name.startswith(_NAMES)}
    for name in [name for name in ours if name.startswith(_CLASSIFIER)]:
        if name not in theirs or theirs[name].shape != ours[name].shape:
            theirs[name] = ours[name]
    problems = sorted(ours.keys() ^ theirs.keys())
    problems += [name for name in ours if name in theirs and ours[name].shape != theirs[name].shape]
    if problems:
        raise ArtifactError(
            f"The teacher in {shown_text(path)} does not fit, {len(problems)} tensors: {shown(problems)}."
        )
    if model.config.teacher != RELEASED:
        theirs = {**theirs, **_folded_biases(source)}
    with torch.no_grad():
        for name, value in ours.items():
            value.copy_(theirs[name])


def teacher_recipe(config: AttributeConfig) -> str:
    """Return the recipe of the teacher of a hybrid: the tiny one for a tiny ViT."""
    tiny = NAMED_MODELS[f"mini_{_TEACHER}"].config.vit.width
    return "mini_vit_b" if config.vit.width <= tiny else "vit_b"


def _check_kind(source: Any, model: AttributeModel, path: Path) -> None:
    if not isinstance(source, ImageAttributes) or source.config.backbone != "vit":
        raise InputError(
            f"{shown_text(path)} holds a model of kind {source.kind}, and the teacher is an image-only ViT for "
            f"attributes. Train one with --config {teacher_recipe(model.config)}."
        )
    for name in ("image_size", "vit", "pixel_mean", "pixel_std"):
        wanted, value = (_without_classes(getattr(each.config, name)) for each in (model, source))
        if wanted != value:
            raise InputError(
                f"The teacher in {shown_text(path)} has {name} {shown_text(value, 200)}, the model needs "
                f"{shown_text(wanted, 200)}. Train one of the same size (--config {teacher_recipe(model.config)})."
            )


def _without_classes(value: Any) -> Any:
    """Return a tower's sizes without those that do not change its tokens in eval mode."""
    if not hasattr(value, "to_json"):
        return value
    return {name: field for name, field in value.to_json().items() if name not in ("classes", "drop_path")}


def _check_labels(source: AttributeModel, model: AttributeModel, path: Path) -> None:
    wanted = list(model.trained_on.get("labels", {}).get("names", ()))
    names = list(source.trained_on.get("labels", {}).get("names", ()))
    if source.config.attributes != model.config.attributes or (names and wanted and names != wanted):
        difference = next((f"{a} for {b}" for a, b in zip(names, wanted, strict=False) if a != b), "")
        where = f", the first difference is {shown_text(difference, 120)}" if difference else ""
        raise InputError(
            f"The teacher in {shown_text(path)} was trained on another list of {source.config.attributes} labels; the "
            f"data set has {model.config.attributes}{where}. Train a teacher on this data set."
        )
    if not names:
        log.warning("%s does not name its labels; they are taken for those of the data set.", shown_text(path.name))


def _folded_biases(source: ImageAttributes) -> dict[str, Tensor]:
    """Return the biases of the heads with the type embedding's part: it passes the token mixture as a constant."""
    with torch.no_grad():
        share = source.conv_vis.weight.sum(dim=(1, 2))
        embedding = source.vis_embed.flatten()
        weight, bias = cast(AttributeLinears, source.weight_layer).stacked()
        folded = bias + share * (weight @ embedding)
    return {f"weight_layer.{row}.bias": value[None] for row, value in enumerate(folded)}
