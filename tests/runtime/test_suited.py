"""A warning where a bundle is used on a benchmark it was not made for."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from mambapro.errors import InputError
from mambapro.runtime.suited import warn_of_other_benchmark


@dataclass
class Metadata:
    """The fields of a bundle's metadata that are looked at."""

    datasets: tuple[str, ...] = ()
    cameras: int = 4
    name: str = field(default="best")
    task: str = "re-identification"


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


def test_another_task_is_refused() -> None:
    """InputError names the benchmark's task and the bundle's, with the benchmarks that fit."""
    with pytest.raises(
        InputError, match=r"PA100K \(pa100k\) is a benchmark for attributes; .* re-identification: rgbnt"
    ):
        warn_of_other_benchmark(Metadata(), "pa100k")


def test_a_file_of_labels_is_any_set(caplog: pytest.LogCaptureFixture) -> None:
    """A converted set has the name of its file's, so nothing is said about it."""
    warn_of_other_benchmark(Metadata(("peta",), 0, task="attributes"), "attributes")

    assert caplog.text == ""
