"""Where tables and measurements of a bundle go."""

from __future__ import annotations

from pathlib import Path

import pytest
from mambapro.calib.calibrate_bundle import beside


@pytest.mark.parametrize(
    ("bundle", "table"),
    [
        ("m.mambapro", "m-scales.json"),
        ("m.v1.mambapro", "m.v1-scales.json"),
        ("m.v1", "m.v1-scales.json"),
        ("m.v2", "m.v2-scales.json"),
    ],
)
def test_names(bundle: str, table: str, tmp_path: Path) -> None:
    """Only the ending of a bundle goes: a version in the name stays."""
    assert beside(tmp_path / bundle, "-scales.json") == tmp_path / table


def test_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that is the working folder has a name too."""
    (tmp_path / "m.v1").mkdir()
    monkeypatch.chdir(tmp_path / "m.v1")

    assert beside(Path(), ".sensitivity") == tmp_path / "m.v1.sensitivity"
