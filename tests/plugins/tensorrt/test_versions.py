"""Supported versions of TensorRT, and the differences between them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mambapro.errors import SetupError
from mambapro.plugins.tensorrt.versions import generation_of, release, version_problem


def module(version: str, name: str = "tensorrt") -> Any:
    return SimpleNamespace(
        __name__=name, __version__=version, NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1)
    )


@pytest.mark.parametrize(
    ("version", "weak", "hides", "flags"),
    [
        ("10.3.0", True, True, 0),
        ("10.6.9", True, True, 0),
        ("10.7.0", True, False, 0),
        ("10.11.0", True, False, 0),
        ("10.12.0", False, False, 2),
        ("10.99.0", False, False, 2),
        ("11.0.0", False, False, 0),
        ("11.4.0", False, False, 0),
    ],
)
def test_where_they_change(version: str, weak: bool, hides: bool, flags: int) -> None:
    """Plugins come first from 10.7, types are strong from 10.12, by a flag before 11."""
    trt = module(version)
    found = generation_of(trt)

    assert (found.weak, found.hides_plugins, found.network_flags(trt)) == (weak, hides, flags)


def test_rtx() -> None:
    """TensorRT-RTX is strong by itself, from 1.7."""
    trt = module("1.7.0", "tensorrt_rtx")
    found = generation_of(trt)

    assert (found.weak, found.hides_plugins, found.network_flags(trt)) == (False, False, 0)


@pytest.mark.parametrize(
    ("version", "name"), [("10.2.9", "tensorrt"), ("12.0.0", "tensorrt"), ("1.6.0", "tensorrt_rtx")]
)
def test_outside(version: str, name: str) -> None:
    """What is older or newer is refused, with three ways out."""
    with pytest.raises(SetupError, match="Three ways out"):
        generation_of(module(version, name))


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("10.12.0.36", (10, 12, 0, 36)), ("8.6", (8, 6)), ("10.3.0+cuda12", (10, 3, 0)), ("unknown", ()), ("", ())],
)
def test_numbers_of_a_version(version: str, numbers: tuple[int, ...]) -> None:
    """A version's release numbers; none for text that is no version."""
    assert release(version) == numbers


@pytest.mark.parametrize(("building", "way"), [(True, "--target tensorrt-rtx"), (False, "mambapro build")])
def test_ways_out_fit_the_purpose(building: bool, way: str) -> None:
    """The message names version and range; building offers other targets, running a rebuild."""
    problem = version_problem("tensorrt", "9.3.0", building)

    assert problem is not None and "TensorRT 9.3.0 is installed; versions from 10.3 to before 12" in problem
    assert way in problem
