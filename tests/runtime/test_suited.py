"""A warning where a bundle is used on a benchmark it was not made for."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from mambapro.runtime.suited import warn_of_other_benchmark


@dataclass
class Metadata:
    """The fields of a bundle's metadata that are looked at."""

    datasets: tuple[str, ...] = ()
    cameras: int = 4
    name: str = field(default="best")


@pytest.mark.parametrize(
    ("datasets", "cameras", "used", "words"),
    (
        (("rgbnt201",), 4, "rgbnt100", ("was trained on RGBNT201", "used on RGBNT100 (8 cameras)")),
        (("rgbnt100",), 8, "msvr310", ("was trained on RGBNT100", "used on MSVR310")),
        (("\x1b[31mmine",), 8, "msvr310", (r"\x1b[31mmine", "MSVR310")),
        ((), 4, "msvr310", ("a table of 4 cameras", "MSVR310 (8 cameras)")),
    ),
)
def test_both_are_named(
    datasets: tuple[str, ...], cameras: int, used: str, words: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """What the bundle was made for and what it is used on."""
    warn_of_other_benchmark(Metadata(datasets, cameras), used)

    assert all(word in caplog.text for word in words)


@pytest.mark.parametrize(
    ("datasets", "cameras", "used"),
    ((("rgbnt201",), 4, "rgbnt201"), (("rgbnt100", "msvr310"), 8, "msvr310"), ((), 8, "msvr310"), ((), 0, "rgbnt201")),
)
def test_nothing_to_say(datasets: tuple[str, ...], cameras: int, used: str, caplog: pytest.LogCaptureFixture) -> None:
    """A bundle on its own benchmark, or one that does not say."""
    warn_of_other_benchmark(Metadata(datasets, cameras), used)

    assert caplog.text == ""
