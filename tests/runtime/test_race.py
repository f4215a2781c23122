"""The race: each artifact timed in a process of its own, which is the package's and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest
from mambapro.runtime.artifacts import artifacts_of
from mambapro.runtime.bundle import Bundle
from mambapro.runtime.race import race


def test_race_times_each_in_its_own_process(with_int8: Path) -> None:
    """Positive milliseconds for every artifact that was given."""
    found = race(with_int8, artifacts_of(Bundle.open(with_int8)), batch=2, rounds=1, runs=2)

    assert set(found) == {"onnxruntime-fp32", "onnxruntime-int8"}
    assert all(value > 0 for value in found.values())


def test_race_imports_nothing_from_the_folder_at_hand(
    with_int8: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module in the caller's folder that has the name of one that is needed stays unused."""
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported from the folder')")
    monkeypatch.chdir(tmp_path)

    assert race(with_int8, artifacts_of(Bundle.open(with_int8))[:1], rounds=1, runs=1)["onnxruntime-fp32"] > 0
