"""benchmarks/compare_commits.py: what it calls equal, and that nothing else is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from commit_numbers import IGNORED, RENAMED, compare, markdown, read
from compare_commits import QUANTITIES, main, verdict

NAN = float("nan")


def row(first: dict, second: dict):
    """Compare two sets of values as one quantity."""
    return compare("quantity", first, second)


class TestCompare:
    """Bits decide; the largest difference says how much they matter."""

    def test_equal(self) -> None:
        """The same arrays, numbers, texts and NaN are equal."""
        values = {"array": np.array([1.0, NAN], np.float32), "number": 2, "text": "mse", "flag": True, "none": None}

        result = row(values, {name: np.copy(v) if name == "array" else v for name, v in values.items()})

        assert result.equal and (result.values, result.differing, result.largest) == (6, 0, 0.0)

    def test_one_bit(self) -> None:
        """The last bit of one number makes a difference, counted and measured."""
        first = np.array([1.0, 2.0], np.float32)
        second = np.array([1.0, np.nextafter(np.float32(2), np.float32(3))], np.float32)

        result = row({"a": first, "n": 0.5}, {"a": second, "n": 0.5})

        assert not result.equal and result.differing == 1
        assert result.largest == pytest.approx(2.4e-7, rel=0.01)

    def test_negative_zero(self) -> None:
        """-0 is not 0, though nothing lies between them."""
        result = row({"a": np.zeros(3)}, {"a": -np.zeros(3)})

        assert not result.equal and (result.differing, result.largest) == (3, 0.0)

    @pytest.mark.parametrize(("a", "b"), [(NAN, 1.0), (1.0, NAN)])
    def test_nan(self, a: float, b: float) -> None:
        """A number that became NaN, or NaN that became a number, differs by NaN, whatever else differs."""
        result = row({"x": a, "y": 1.0}, {"x": b, "y": 9.0})

        assert not result.equal and result.differing == 2 and np.isnan(result.largest)

    @pytest.mark.parametrize("other", [np.zeros(2), np.zeros((3, 1)), np.zeros(3, np.float32)])
    def test_shape_and_type(self, other: np.ndarray) -> None:
        """Another shape or type is no smaller difference than another number."""
        result = row({"a": np.zeros(3)}, {"a": other})

        assert not result.equal and np.isnan(result.largest)

    def test_texts(self) -> None:
        """Texts that differ are listed; true is not 1."""
        result = row({"a": "mse", "b": True}, {"a": "minmax", "b": 1})

        assert result.differing == 2 and not result.equal
        assert result.texts == ("a: 'mse' -> 'minmax'", "b: True -> 1")

    def test_lost_and_added(self) -> None:
        """What the second commit lacks is a difference, what it has beside is not."""
        assert not row({"a": 1, "b": 2}, {"a": 1}).equal
        added = row({"a": 1}, {"a": 1, "b": 2})

        assert added.equal and added.added == ("b",)

    def test_nothing(self) -> None:
        """Two empty files are no proof of anything."""
        assert not row({}, {}).equal


class TestRead:
    """Each kind of file as values by path."""

    def test_json(self, tmp_path: Path) -> None:
        """Leaves by path, without versions and times at any depth."""
        content = {"map": 0.5, "list": [{"low": 1, "seconds": 3}], "versions": {"numpy": "2"}, "passed": True}
        (tmp_path / "a.json").write_text(json.dumps(content))

        assert read(tmp_path / "a.json") == {"map": 0.5, "list.0.low": 1, "passed": True}

    def test_renamed_fields(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A field that the table renames is compared under its new name."""
        monkeypatch.setitem(RENAMED, "found", "measured")
        for name in ("found", "measured"):
            (tmp_path / f"{name}.json").write_text(json.dumps({"accuracy": {name: 0.5}}))

        first, second = (read(tmp_path / f"{name}.json") for name in ("found", "measured"))

        assert row(first, second).equal and list(first) == ["accuracy.measured"]

    def test_csv(self, tmp_path: Path) -> None:
        """Numbers by row and column, without times and empty fields."""
        (tmp_path / "a.csv").write_text("epoch,loss,seconds,validation_map\n1,0.25,9,\n2,nan,9,\n")

        values = read(tmp_path / "a.csv")

        assert list(values) == ["1.epoch", "1.loss", "2.epoch", "2.loss"]
        assert values["1.loss"] == 0.25 and np.isnan(values["2.loss"])

    def test_npz(self, tmp_path: Path) -> None:
        """Arrays of numbers, not those of names."""
        np.savez(tmp_path / "a.npz", x=np.arange(3, dtype=np.uint8), names=np.array(["a"]))

        values = read(tmp_path / "a.npz")

        assert list(values) == ["x"] and values["x"].dtype == np.uint8

    def test_checkpoint(self) -> None:
        """The tensors of a checkpoint by name."""
        pytest.importorskip("torch")

        values = read(Path(__file__).parent / "shelf" / "best.pth")

        assert len(values) > 100 and all(isinstance(value, np.ndarray) for value in values.values())

    def test_results_are_read(self) -> None:
        """No field that holds a result is left out."""
        assert not IGNORED & {"loss", "map", "cmc", "minp", "threshold", "max_departure", "passed", "embedding"}


def test_the_table_shows_what_differs() -> None:
    """One line a quantity, then what is not on both sides."""
    equal = compare("losses", {"a": 1.0}, {"a": 1.0, "new": 2.0})
    different = compare("scales", {"a": 1.0, "b": "x", "gone": 3}, {"a": 1.5, "b": "y"})

    lines = markdown([equal, different]).splitlines()

    assert lines[2:4] == ["| losses | 1 | yes | 0 |", "| scales | 2 | no, 2 differ, 1 lost | 5.0e-01 |"]
    assert lines[5:] == ["losses: added new", "scales: differs b: 'x' -> 'y'", "scales: lost gone"]


def test_exit_codes() -> None:
    """0 where all is equal, 1 where one quantity is not, 2 where a command fails."""
    equal, different = compare("a", {"x": 1}, {"x": 1}), compare("b", {"x": 1}, {"x": 2})

    assert (verdict([equal]), verdict([equal, different])) == (0, 1)
    result = CliRunner().invoke(main, ["no-such-commit", "HEAD"])
    assert result.exit_code == 2 and "no-such-commit" in result.output


def test_all_quantities_are_files_of_their_own() -> None:
    """No two quantities read one file."""
    assert len(set(QUANTITIES.values())) == len(QUANTITIES)
