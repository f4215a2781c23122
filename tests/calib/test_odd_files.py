"""Policies, tables, states and saved statistics of others: long, nested and damaged ones are a named error at once."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import odd_npz
import odd_policies
import odd_tables
import pytest
from mambapro.calib.policy import Policy, matches, read_policy
from mambapro.calib.ranges import _load_checkpoint
from mambapro.calib.sensitivity.state import SCHEMA, State
from mambapro.errors import ArtifactError, InputError, MambaProError
from mambapro.graph.scales import read_table
from mambapro.train.paper.ablation.record import Record
from mambapro.train.paper.ablation.stored_runs import read_result


def odd_answers(read: Callable[[Path], object], paths: list[Path]) -> dict[str, str]:
    """Files that were read, took long, or whose message is long or not printable."""
    odd = {}
    for path in paths:
        started = time.monotonic()
        try:
            read(path)
            odd[path.name] = "was read"
        except MambaProError as error:
            text = str(error)
            if len(text) > 3000 or not text.replace("\n", "").isprintable():
                odd[path.name] = text[:300]
        if time.monotonic() - started > 10:
            odd[path.name] = "took too long"
    return odd


class TestPolicies:
    @pytest.mark.timeout(120)
    def test_every_odd_file_is_refused(self, tmp_path: Path) -> None:
        """Nested tables, repeated names, YAML and long files end at once, in words."""
        assert odd_answers(read_policy, odd_policies.write_all(tmp_path)) == {}

    @pytest.mark.parametrize(
        ("name", "words"),
        (
            ("nested_tables", "a must be int8 or float, not a table"),
            ("array_of_tables", "modules must be a table"),
            ("dotted_key", "a line has 40,003 characters"),
            ("date", r"not datetime\.date\(2001, 1, 1\)"),
            ("pattern_twice", "Cannot overwrite a value"),
            ("table_twice", "Cannot declare .*modules.* twice"),
            ("many_patterns", "at most 2000 patterns, not 5,000"),
            ("comments", "is empty"),
            ("yaml_policy", r'\[modules\]\n"\*\.mlp" = "float"'),
            ("list_as_choice", "a.b must be int8 or float"),
        ),
    )
    def test_the_reason_is_told(self, name: str, words: str) -> None:
        """The message says what in the file is not read."""
        with pytest.raises(InputError, match=words):
            Policy.from_toml(odd_policies.TEXTS[name])

    @pytest.mark.timeout(10)
    def test_patterns_of_many_stars(self) -> None:
        """A pattern of a hundred stars is compared with long names in no time, and means what it did."""
        pattern, name = "*a" * 60 + "b", "a" * 5000

        assert not matches(pattern, name)
        assert matches(pattern, name + "b.inner")
        assert matches("layers.*.mlp", "layers.3.mlp.inner") and not matches("layers.*", "layers")
        assert not matches("layers.1", "layers.11")

    @pytest.mark.timeout(10)
    def test_only_regular_files(self, tmp_path: Path) -> None:
        """A FIFO, a folder and a device are named, for policies and tables."""
        os.mkfifo(tmp_path / "fifo")

        for path, word in ((tmp_path / "fifo", "FIFO"), (tmp_path, "folder"), (Path("/dev/zero"), "device")):
            with pytest.raises(InputError, match=word):
                read_policy(path)
            for read in (read_table, partial(read_result, Record)):
                with pytest.raises(ArtifactError, match=word):
                    read(path)


class TestTables:
    @pytest.mark.timeout(120)
    def test_every_odd_file_is_refused(self, tmp_path: Path) -> None:
        """Tables, states of an analysis and results of ablations: nested, long and damaged ones end at once."""
        paths = odd_tables.write_all(tmp_path)
        states = tmp_path / "states"
        states.mkdir()

        assert odd_answers(read_table, paths) == {}
        assert odd_answers(partial(read_result, Record), paths) == {}
        assert odd_answers(lambda path: State(path, {}), odd_tables.write_all(states, SCHEMA)) == {}

    @pytest.mark.parametrize(
        ("name", "words"),
        (
            ("many_modules", "60,000 entries; a table has at most 10,000"),
            ("digits", "1,000,000 digits"),
            ("nested", "nested too deep"),
            ("same_module", "more than one scale"),
        ),
    )
    def test_the_reason_is_told(self, name: str, words: str, tmp_path: Path) -> None:
        """The message says what is too much."""
        (tmp_path / "a.json").write_text(odd_tables.contents()[name])

        with pytest.raises(ArtifactError, match=words):
            read_table(tmp_path / "a.json")


def test_saved_statistics(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Odd saved calibrations are told and left, and calibration begins anew; none takes memory or time."""
    for path in odd_npz.write_all(tmp_path):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert _load_checkpoint(path, {}, []) == (0, 0)
        assert "cannot be used" in caplog.text and len(caplog.text) < 1500, path.name
