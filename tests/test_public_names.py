"""Public names of the package, and names of modules as they were in release 0.1.0."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings

import mambapro
import pytest
from mambapro.moved import MOVED, MOVED_NAMES


@pytest.mark.parametrize("name", [name for name in mambapro.__all__ if name != "__version__"])
def test_public_names(name: str) -> None:
    """Every public name can be imported from the package, and is what its module defines."""
    value = getattr(mambapro, name)

    assert getattr(sys.modules[value.__module__], name) is value
    assert name in dir(mambapro)


def test_unknown_names() -> None:
    """A name that the package does not have is an AttributeError that says it."""
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = mambapro.Nonsense


def test_the_package_costs_nothing() -> None:
    """Importing the package imports no module below its folders."""
    code = "import sys, mambapro; print([m for m in sys.modules if m.startswith('mambapro.')])"

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "['mambapro.moved', 'mambapro.telemetry']"


@pytest.mark.parametrize("old", MOVED)
def test_old_names(old: str) -> None:
    """A module is found under its old name, with a warning that gives the new one, and is the same module."""
    sys.modules.pop(f"mambapro.{old}", None)

    with pytest.warns(DeprecationWarning, match=f"mambapro.{old} is called mambapro.{MOVED[old]} now"):
        module = importlib.import_module(f"mambapro.{old}")

    assert module is sys.modules[f"mambapro.{MOVED[old]}"]
    assert module.__spec__ is not None
    assert module.__spec__.name == f"mambapro.{MOVED[old]}"


@pytest.mark.parametrize("old", MOVED_NAMES)
def test_old_names_in_modules(old: str) -> None:
    """A name that left a module is still served there, with a warning that gives the new one.

    MOVED_NAMES is about the modules in MOVED and those whose names are as they were. Left out are loggers, aliases of
    types, colors, and `cli`, whose interface is the command line: no script has a use for them.
    """
    (module, name), (new_module, new_name) = (each.rsplit(".", 1) for each in (old, MOVED_NAMES[old]))
    expected = getattr(importlib.import_module(f"mambapro.{new_module}"), new_name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        stood_in = importlib.import_module(f"mambapro.{module}")

    with pytest.warns(DeprecationWarning, match=f"mambapro.{old} is mambapro.{MOVED_NAMES[old]} now") as caught:
        value = getattr(stood_in, name)

    assert value is expected
    assert caught[0].filename == __file__


def test_names_that_modules_never_had() -> None:
    """Any other name is an AttributeError that gives module and name."""
    from mambapro.runtime import evaluation

    with pytest.raises(AttributeError, match=r"'mambapro\.runtime\.evaluation' has no attribute 'nonsense'"):
        _ = evaluation.nonsense


def test_old_names_of_packages() -> None:
    """Modules that became packages still give their names."""
    from mambapro.runtime.bundle import Bundle
    from mambapro.train.models.mambapro import MambaPro

    assert Bundle.__module__ == "mambapro.runtime.bundle.bundle"
    assert MambaPro.__module__ == "mambapro.train.models.mambapro.mambapro"


@pytest.mark.parametrize("package", ["runtime.bundle", "train.models.mambapro"])
def test_submodules_of_such_packages(package: str) -> None:
    """A submodule can be what a process imports first of them."""
    name = {"runtime.bundle": "artifact", "train.models.mambapro": "sizes"}[package]
    code = f"from mambapro.{package} import {name} as module; print(module.__name__)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.startswith(f"mambapro.{package}."), done.stderr
