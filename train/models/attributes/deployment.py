"""Parts of an attribute model that are deployed: which modules run for its logits, and the graph made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....plugins.selective_scan.schema import DOMAIN, OP_TYPE
from ....runtime.bundle.module_roles import ModuleRoles
from ..parts.attribute_heads import AttributeLinears, TokenMix
from ..parts.cross_scan import SS2D
from ..parts.mamba_mixer import MambaBlock, MambaMixer, RMSNorm
from ..parts.vit_block import ViTBlock
from .vmamba import VSSBlock

if TYPE_CHECKING:
    from .attribute_config import AttributeConfig
    from .attribute_model import AttributeModel

#: Modules with one selective scan each, and those whose parameters are read without a call of their own modules.
SCANS = (MambaMixer, SS2D)
_WHOLE = (*SCANS, AttributeLinears)
_STAGES = (MambaBlock, VSSBlock, ViTBlock, TokenMix)
#: Parts of all models, of which each has some, by the name that policies and pictures show.
_PARTS: dict[str, tuple[str, ...]] = {"vim": ("vim",), "vmamba": ("vmamba",), "vit": ("vit",), "fusion": ("VSF_mamba",)}
_EXCHANGE = ("up_projs", "down_projs", "up_adpeters", "down_adpeters", "adpeters", "dim_proj", "up_final")
#: Reasons for float32 by the type of module that needs it.
_REASONS: dict[str, tuple[tuple[type[nn.Module], ...], str]] = {
    "layer_norm": ((nn.LayerNorm,), "squares overflow float16"),
    "rms_norm": ((RMSNorm,), "squares overflow float16"),
    "softmax": ((ViTBlock,), "exponentials overflow float16"),
    "softplus": (SCANS, "the step size spans many orders of magnitude"),
    "scan_state": (SCANS, "hundreds of steps add up"),
}


@dataclass(frozen=True)
class Deployment:
    """Modules that run for the logits of a kind of model with a config.

    Attributes:
        calls: number of calls by name, in the order in which they first return.
        types: class of each by name.
    """

    calls: Mapping[str, int]
    types: Mapping[str, type[nn.Module]]

    def named(self, *types: type[nn.Module]) -> tuple[str, ...]:
        """Return the names of the running modules of some types, in order."""
        return tuple(name for name in self.calls if issubclass(self.types[name], types))

    def count(self, *types: type[nn.Module]) -> int:
        """Return the number of calls of modules of some types."""
        return sum(self.calls[name] for name in self.named(*types))

    @property
    def stages(self) -> tuple[str, ...]:
        """Blocks and token mixtures, whose outputs are compared one by one."""
        return self.named(*_STAGES)

    @property
    def operators(self) -> dict[str, int]:
        """Number of nodes of an exported graph by operator."""
        return {f"{DOMAIN}.{OP_TYPE}": self.count(*SCANS), "LayerNormalization": self.count(nn.LayerNorm)}

    @property
    def float32_parts(self) -> dict[str, str]:
        """Parts of a float16 graph that stay float32, and why."""
        reasons = {name: why for name, (types, why) in _REASONS.items() if self.count(*types)}
        return {
            "normalisation": "pixels become numbers around zero before they are rounded",
            **reasons,
            "heads": "the last products make the logits",
        }

    @property
    def roles(self) -> ModuleRoles:
        """Roles of the modules in graph passes, calibration and reports."""
        top = {name.split(".")[0] for name in self.calls}
        parts = {part: names for part, names in _PARTS.items() if top & {*names}}
        if exchange := tuple(name for name in _EXCHANGE if name in top):
            parts["exchange"] = exchange
        mixtures = {name.split(".")[0] for name in self.named(TokenMix)}
        return ModuleRoles(
            float32=(*self.named(RMSNorm), *self.named(AttributeLinears)),
            # the step size goes through softplus and an exponential, and a scan adds its errors up over all tokens; a
            # token mixture is a thousandth of the work, and its errors are the logits' own
            never_int8=("*.mixer.", "*.op.", *(f"*.{name}.*" for name in sorted(mixtures))),
            parts=parts,
            computed_in={"mixer": "dt_proj", "op": "dt_proj"},
        )


@cache
def deployment_of(kind: type[AttributeModel], config: AttributeConfig) -> Deployment:
    """Run the wiring of a kind of model without values, and note the modules that its logits need."""
    model = kind.shapes(config)
    calls: dict[str, int] = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1}))
    with torch.no_grad():
        model.logits(torch.empty(1, 3, *config.image_size, device="meta"))
    return Deployment(calls, {name: type(module) for name, module in model.named_modules()})


def prune(module: nn.Module, calls: Mapping[str, int], prefix: str = "") -> None:
    """Remove the modules that do not run, such as a teacher, in place."""
    for name, child in list(module.named_children()):
        path = f"{prefix}{name}"
        if not any(called == path or called.startswith(f"{path}.") for called in calls):
            setattr(module, name, None)
        elif not isinstance(child, _WHOLE):
            prune(child, calls, f"{path}.")


def recorded(network: nn.Module, stages: tuple[str, ...]) -> dict[str, Tensor]:
    """Return a dict that holds the outputs of some modules after each forward pass, by name."""
    values: dict[str, Tensor] = {}
    for name in stages:
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: values.update(
                {name: output[0] if isinstance(output, tuple) else output}
            )
        )
    return values
