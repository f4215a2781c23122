"""Published sizes by name: the paper's models, their towers, and tiny ones of the same wiring."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .attribute_config import AttributeConfig, TextConfig, VimConfig, ViTConfig, VMambaConfig


@dataclass(frozen=True)
class NamedModel:
    """Kind in the registry, and config."""

    kind: str
    config: Any


_SIDE = (64, 64)
_TINY = AttributeConfig(
    _SIDE,
    attributes=10,
    width=64,
    vim=VimConfig(width=32, depth=8, classes=10, drop_path=0.0),
    vmamba=VMambaConfig(width=16, depths=(1, 1, 2, 1), state=4, classes=10, drop_path=0.0),
    vit=ViTConfig(width=64, depth=4, heads=2, classes=10, drop_path=0.0),
    text=TextConfig(width=64, depth=2, vocabulary=50280),
)
_TOWERS = {
    "vim_s": NamedModel("vim", VimConfig()),
    "vmamba_b_v0": NamedModel("vmamba", VMambaConfig()),
    "vmamba_b_s2l15": NamedModel("vmamba", VMambaConfig(form="v2", depths=(2, 2, 15, 2), state=1)),
    "vmamba_b_s1l20": NamedModel("vmamba", VMambaConfig(form="v2", depths=(2, 2, 20, 2), state=1, ratio=1)),
    "vit_b": NamedModel("vit", ViTConfig()),
    "mamba_130m": NamedModel("mamba_text", TextConfig()),
    "mini_vim": NamedModel("vim", VimConfig(_SIDE, width=32, depth=4, classes=10)),
    "mini_vmamba_v0": NamedModel("vmamba", VMambaConfig(_SIDE, "v0", 16, (1, 1, 2, 1), state=4, classes=10)),
    "mini_vmamba_s2": NamedModel("vmamba", VMambaConfig(_SIDE, "v2", 16, (1, 1, 2, 1), state=1, classes=10)),
}
#: Kind and backbone of every attribute model.
_ATTRIBUTES = {
    "par_image_vim_s": ("image_attributes", "vim"),
    "par_image_vmamba_b": ("image_attributes", "vmamba"),
    "par_image_vit_b": ("image_attributes", "vit"),
    "par_vsf_vim_s": ("vsf_attributes", "vim"),
    "par_vsf_vmamba_b": ("vsf_attributes", "vmamba"),
    "par_vsf_vim_s_fixedtext": ("vsf_attributes", "vim"),
    "par_textconv_vim_s": ("mixed_attributes", "vim"),
    "hybrid1_pafusion": ("pafusion", "vim"),
    "hybrid2_n_asf": ("n_asf", "vim"),
    "hybrid3_asf": ("asf", "vim"),
    "hybrid4_maformer": ("maformer", "vim"),
    "hybrid5_mahdft": ("mahdft", "vim"),
    "hybrid6_adamtf": ("adamtf", "vim"),
    "hybrid7_kdtm": ("kdtm", "vim"),
    "hybrid8_makdf": ("makdf", "vim"),
}


def _attribute_models() -> dict[str, NamedModel]:
    # the released Vim has a classifier of the attributes, without use
    full, tiny = AttributeConfig(vim=VimConfig(classes=AttributeConfig.attributes)), {}
    models = {name: NamedModel(kind, replace(full, backbone=tower)) for name, (kind, tower) in _ATTRIBUTES.items()}
    for name, (kind, tower) in _ATTRIBUTES.items():
        tiny[f"mini_{name}"] = NamedModel(kind, replace(_TINY, backbone=tower))
    return models | tiny


#: Model by name; those of the reference outputs, and for each attribute model a tiny one called mini_NAME.
NAMED_MODELS = _TOWERS | _attribute_models()


def known_names() -> str:
    """List the names for a message, the tiny models in short."""
    return f"{', '.join(name for name in NAMED_MODELS if not name.startswith('mini_'))}, and mini_ before most of them"
