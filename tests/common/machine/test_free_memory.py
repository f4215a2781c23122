"""Memory that can be had, from files as Linux writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mambapro.common.machine import free_memory as module
from mambapro.common.machine.free_memory import ControlGroup, free_memory

V2 = ("memory.max", "memory.current", ("inactive_file", "active_file"))
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))


@pytest.fixture(params=[V2, V1], ids=["v2", "v1"])
def group(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ControlGroup:
    """A control group with an empty folder, on a machine that has 500 kB free."""
    (tmp_path / "meminfo").write_text("MemTotal:  1000 kB\nMemAvailable:   500 kB\n")
    found = ControlGroup(tmp_path / "group", *request.param)
    found.folder.mkdir()
    monkeypatch.setattr(module, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(module, "_GROUPS", (found,))
    return found


def test_without_a_limit(group: ControlGroup) -> None:
    """The machine's memory counts where the container says nothing, or a word."""
    assert free_memory() == 500 * 1024
    (group.folder / group.limit).write_text("max\n")
    (group.folder / group.used).write_text("100000\n")
    assert free_memory() == 500 * 1024


def test_cached_files_are_free(group: ControlGroup) -> None:
    """What the container holds of files is not in use: it goes when somebody wants the room."""
    (group.folder / group.limit).write_text("300000\n")
    (group.folder / group.used).write_text("280000\n")
    assert free_memory() == 20_000

    lines = "\n".join(f"{name} {60_000 * (i + 1)}" for i, name in enumerate(group.cache))
    (group.folder / "memory.stat").write_text(f"anon 7\n{lines}\nactive_files 9\nodd\n")
    assert free_memory() == 200_000


def test_more_in_use_than_allowed(group: ControlGroup) -> None:
    """Never below zero, and never more than the limit."""
    (group.folder / group.limit).write_text("300000\n")
    (group.folder / group.used).write_text("400000\n")
    assert free_memory() == 0
    (group.folder / "memory.stat").write_text(f"{group.cache[0]} 900000\n")
    assert free_memory() == 300_000


def test_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None, where there are no such files."""
    monkeypatch.setattr(module, "_MEMINFO", tmp_path / "none")
    monkeypatch.setattr(module, "_GROUPS", (ControlGroup(tmp_path, *V2),))

    assert free_memory() is None
