"""What was measured is on the disk at once, and is only used for what it was measured on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from mambapro.calib.sensitivity.state import State
from mambapro.errors import ArtifactError, InputError


@dataclass(frozen=True)
class Number:
    """A result."""

    value: float


def test_remembered(tmp_path: Path) -> None:
    """A result is there for the next run, to the last bit."""
    first = State(tmp_path / "state.json", {"model": "a"})
    assert first.get("kind", "name", Number) is None

    first.put("kind", "name", Number(0.1 + 0.2))

    again = State(tmp_path / "state.json", {"model": "a"})
    assert again.get("kind", "name", Number) == Number(0.1 + 0.2)
    assert again.get("kind", "other", Number) is None


def test_of_something_else(tmp_path: Path) -> None:
    """Results of another model are refused with what differs; `overwrite` begins anew."""
    path = tmp_path / "state.json"
    State(path, {"model": "a", "data": "b"}).put("kind", "name", Number(1.0))

    with pytest.raises(InputError, match=r"differ in: model\. Give another folder"):
        State(path, {"model": "z", "data": "b"})

    assert State(path, {"model": "z", "data": "b"}, overwrite=True).get("kind", "name", Number) is None
    # nothing is lost before something new is measured
    assert State(path, {"model": "a", "data": "b"}).get("kind", "name", Number) == Number(1.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"schema": "other/1"}',
        '{"schema": "mambapro.sensitivity-state/1"}',
        '{"schema": "mambapro.sensitivity-state/1", "key": {}, "results": {"kind": 1}}',
        '{"schema": "mambapro.sensitivity-state/1", "key": {}, "results": {"kind": {"name": {"value": "x"}}}}',
        '{"schema": "mambapro.sensitivity-state/1", "key": {}, "results": {"kind": {"name": [1]}}}',
    ],
)
def test_damaged(tmp_path: Path, text: str) -> None:
    """A file that is not one of these says to remove it."""
    (tmp_path / "state.json").write_text(text)

    with pytest.raises(ArtifactError, match="Remove it"):
        State(tmp_path / "state.json", {}).get("kind", "name", Number)
