"""Registry of model kinds, by their name in the checkpoint header."""

from __future__ import annotations

import importlib

from ...common.foreign_text import shown_text
from ...errors import ArtifactError
from .model_spec import Model

#: Kind to the class, or to the module of this folder and the class in it, imported when a checkpoint is read.
KINDS: dict[str, type[Model] | tuple[str, str]] = {
    "mambapro": ("mambapro.mambapro", "MambaPro"),
    "vim": ("attributes.vim", "Vim"),
    "vmamba": ("attributes.vmamba", "VMamba"),
    "vit": ("attributes.image_vit", "ViT"),
    "mamba_text": ("attributes.text_encoder", "TextEncoder"),
    "image_attributes": ("attributes.image_attributes", "ImageAttributes"),
    "vsf_attributes": ("attributes.text_attributes", "FusedAttributes"),
    "mixed_attributes": ("attributes.text_attributes", "MixedAttributes"),
    "pafusion": ("attributes.fusion_hybrids", "PaFusion"),
    "n_asf": ("attributes.fusion_hybrids", "NASF"),
    "asf": ("attributes.fusion_hybrids", "ASF"),
    "maformer": ("attributes.fusion_hybrids", "MaFormer"),
    "adamtf": ("attributes.fusion_hybrids", "AdaMTF"),
    "mahdft": ("attributes.teacher_hybrids", "MaHDFT"),
    "kdtm": ("attributes.teacher_hybrids", "KDTM"),
    "makdf": ("attributes.teacher_hybrids", "MaKDF"),
}
#: Kind of checkpoints whose header names none.
FIRST = "mambapro"


def model_class(kind: object) -> type[Model]:
    """Return the class of a kind of model.

    Raises:
        ArtifactError: unknown kind.
    """
    entry = KINDS.get(kind) if isinstance(kind, str) else None
    if entry is None:
        raise ArtifactError(
            f"The checkpoint holds a model of kind {shown_text(kind, 60)}; this version knows {', '.join(KINDS)}. "
            "Update mambapro, or import the package that defines it first."
        )
    if isinstance(entry, tuple):
        entry = KINDS[str(kind)] = getattr(importlib.import_module(f"{__package__}.{entry[0]}"), entry[1])
    return entry
