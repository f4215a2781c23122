"""Progress with the time that is left: plain lines on a made-up clock, bars of loops inside of others."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from mambapro.cli.terminal.progress_lines import Bars, PlainLines
from mambapro.common.progress import duration
from rich.console import Console


class Screen:
    """What was written, and when, on a clock that the test moves."""

    def __init__(self) -> None:
        self.now, self.lines = 100.0, []
        self.track = PlainLines(self.lines.append, lambda: self.now)

    def loop(self, count: int, seconds: float, text: str, total: int | None) -> Iterator[int]:
        """Items whose work takes so long."""
        for item in self.track(range(count), text, total):
            yield item
            self.now += seconds


def test_a_long_loop_tells_the_time_left_about_once_a_minute() -> None:
    """800 samples of 0.5 s: a line at the start, then every minute how many are done and how long the rest takes."""
    screen = Screen()

    for _ in screen.loop(800, 0.5, "Extracting features", 800):
        pass

    assert screen.lines == [
        "Extracting features (800)",
        "Extracting features 120 of 800, 6 min left",
        "Extracting features 240 of 800, 5 min left",
        "Extracting features 360 of 800, 4 min left",
        "Extracting features 480 of 800, 3 min left",
        "Extracting features 600 of 800, 2 min left",
        "Extracting features 720 of 800, 40 s left",
    ]


def test_a_short_loop_has_its_first_line_alone() -> None:
    """Nothing is told of what is done within a minute; a loop of unknown length tells its count alone."""
    screen = Screen()

    for _ in screen.loop(10, 5.0, "Hashing", 10):
        pass
    for _ in screen.loop(2, 61.0, "Reading", None):
        pass

    assert screen.lines == ["Hashing (10)", "Reading", "Reading 1", "Reading 2"]


def test_loops_inside_of_others_share_their_line() -> None:
    """Twenty epochs of 10 batches of 12 s: what is left of all is told from the first minute on."""
    screen = Screen()

    for epoch in screen.track(range(1, 21), "Training epochs", 20):
        for _ in screen.loop(10, 12.0, f"epoch {epoch}, batches", 10):
            pass

    assert screen.lines[:4] == [
        "Training epochs (20)",
        "Training epochs 0 of 20, 39 min left; epoch 1, batches 5 of 10, 1 min left",
        "Training epochs 0 of 20, 38 min left; epoch 1, batches 10 of 10",
        "Training epochs 1 of 20, 37 min left; epoch 2, batches 5 of 10, 1 min left",
    ]
    assert sum("(" in line for line in screen.lines) == 1


def test_a_loop_that_is_left_is_forgotten() -> None:
    """After an error in a loop the next one is announced, and its lines do not name the other."""
    screen = Screen()
    with pytest.raises(RuntimeError):
        for _ in screen.loop(5, 1.0, "First", 5):
            raise RuntimeError

    for _ in screen.loop(2, 70.0, "Second", 2):
        pass

    assert screen.lines == ["First (5)", "Second (2)", "Second 1 of 2, 1 min left", "Second 2 of 2"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59.4, "59 s"), (60, "1 min"), (3570, "1 h 0 min"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float, words: str) -> None:
    """Seconds, minutes, hours."""
    assert duration(seconds) == words


def test_bars_of_loops_inside_of_others() -> None:
    """On a terminal each loop has its bar; loops may start inside of others, which one display at a time allows."""
    written = io.StringIO()
    track = Bars(Console(file=written, force_terminal=True, width=100))

    found = [(a, b) for a in track("ab", "Outer", 2) for b in track(range(2), "Inner", 2)]

    assert found == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert track._progress is None and "Outer" in written.getvalue() and "Inner" in written.getvalue()
