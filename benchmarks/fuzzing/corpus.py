"""The odd files of tests/hostile, sorted by the kind of file that they stand in for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from .materials import Materials

_HOSTILE = Path(__file__).parents[2] / "tests" / "hostile"
#: Kind of an entry -> (module with `write_all(folder)`, suffix of what is no regular file).
_MODULES = {
    "images": ("odd_images", ".jpg"),
    "checkpoints": ("odd_checkpoints", ".pth"),
    "recipes": ("odd_recipes", ".toml"),
    "policies": ("odd_policies", ".toml"),
    "tables": ("odd_tables", ".json"),
    "matlab": ("odd_matlab_files", ".mat"),
    "pickles": ("odd_pickles", ".pkl"),
    "attributes": ("odd_attribute_files", ".json"),
}


def write_corpus(folder: Path, made: Materials, kinds: set[str]) -> dict[str, list[Path]]:
    """Write the odd files of some kinds below `folder`; by kind. Bundles are folders, made from the good one."""
    sys.path.insert(0, str(_HOSTILE))
    nodes: Callable[[Path, str], list[Path]] = import_module("odd_nodes").write_all
    found = {}
    for kind in kinds & _MODULES.keys():
        module, suffix = _MODULES[kind]
        place = folder / kind
        place.mkdir(parents=True)
        found[kind] = [*import_module(module).write_all(place), *nodes(place, suffix)]
    if "bundle" in kinds:
        place = folder / "bundle"
        place.mkdir(parents=True)
        found["bundle"] = import_module("odd_bundles").write_all(place, made.bundle)
    return found
