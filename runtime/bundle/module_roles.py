"""Roles of a model's modules by name, for graph passes, calibration and reports, which run without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ...errors import InputError

_MOST, _LONGEST = 256, 200


@dataclass(frozen=True)
class ModuleRoles:
    """Names of modules by role. A name includes the module and everything below it.

    Attributes:
        stages: modules whose outputs are values of the graph under the modules' names; the graph may be cut there.
        float32: modules that stay float32 in a graph of lower precision.
        never_int8: patterns (`*`: any letters) of layers that stay in floating point, matched against a layer's name
            between two dots: `*.head.*` is head anywhere in the name, `*.head.` at its end.
        parts: names of modules by the name of the part that policies and pictures show.
        halves: modules that split a numbered block into blocks of their own.
        alike: modules that do the same for different inputs, such as one for each modality.
        computed_in: the module in which a layer's product is computed, to the layer's own name.
    """

    stages: tuple[str, ...] = ()
    float32: tuple[str, ...] = ()
    never_int8: tuple[str, ...] = ()
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    halves: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    computed_in: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [*self.stages, *self.float32, *self.never_int8, *self.halves, *self.alike]
        names += [name for own in self.parts.values() for name in own]
        names += [*self.parts, *self.computed_in, *self.computed_in.values()]
        if len(names) > _MOST or any(not name or len(name) > _LONGEST for name in names):
            raise InputError(f"the roles of modules may have {_MOST} names of 1 to {_LONGEST} letters.")

    def part_of(self, module: str) -> str | None:
        """Return the name of the part that a module belongs to, or None."""
        return next((part for part, names in self.parts.items() if any(below(module, name) for name in names)), None)

    def stays_float(self, layer: str) -> bool:
        """Return True if a layer never computes in int8."""
        return any(fnmatchcase(f".{layer}.", pattern) for pattern in self.never_int8)


def below(module: str, name: str) -> bool:
    """Return True if `module` is `name` or below it; "" is the model itself, which only contains itself here."""
    return module == name or (bool(name) and module.startswith(f"{name}."))


#: Roles in bundles whose metadata has none, those of schema 1: all of them hold MambaPro.
MAMBAPRO = ModuleRoles(
    stages=("backbone", "aggregation"),
    # the last layers, a thousandth of the work: their errors directly affect the embedding
    float32=("aggregation.reduction",),
    # dt_proj goes through softplus and an exponential, and the scan adds its errors up over all tokens; it is
    # multiplied by its parent, which holds the scans of all modalities
    never_int8=("*.dt_proj.*", "*.reduction.*", "*.scans."),
    parts={"backbone": ("backbone",)},
    halves=("intra", "inter"),
    alike=("rgb", "nir", "tir", "all"),
    computed_in={"scans": "dt_proj"},
)
