"""Memory that can be had, from files as Linux writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mambapro.common.machine import memory as module
from mambapro.common.machine.memory import (
    ControlGroup,
    free_memory,
    peak_memory,
    proc_bytes,
    proc_fields,
    resident_memory,
)

V2 = ("memory.max", "memory.current", ("inactive_file", "active_file"))
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))


@pytest.fixture(params=[V2, V1], ids=["v2", "v1"])
def group(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ControlGroup:
    """A control group with an empty folder, on a machine that has 500 kB free."""
    (tmp_path / "meminfo").write_text("MemTotal:  1000 kB\nMemAvailable:   500 kB\n")
    found = ControlGroup(tmp_path / "group", *request.param)
    found.folder.mkdir()
    monkeypatch.setattr(module, "MEMINFO", tmp_path / "meminfo")
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
    monkeypatch.setattr(module, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(module, "_GROUPS", (ControlGroup(tmp_path, *V2),))

    assert free_memory() is None


def test_memory_grows_with_what_is_held() -> None:
    """Resident memory rises by about the size of a touched array, and the peak is never below it."""
    before = resident_memory()
    held = np.ones(64 * 2**20, np.uint8)
    after = resident_memory()

    assert after - before > 48 * 2**20
    assert peak_memory() >= after - 2**20
    assert held.all()


def test_lines_of_proc_are_kibibytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`VmHWM: 2048 kB` are 2 MiB; where the line or the file is missing the peak is getrusage's."""
    status = tmp_path / "status"
    monkeypatch.setattr(module, "STATUS", status)
    assert resident_memory() is None and peak_memory() > 10**6
    status.write_text("Name:\tx\nVmPeak:\t  9999 kB\nVmHWM:\t  2048 kB\nVmRSS:\t 12 pages\n")
    assert peak_memory() == 2 * 2**20
    assert resident_memory() is None
    status.write_text("Name:\tx\n")
    assert peak_memory() > 10**6


def test_first_of_repeated_fields_counts(tmp_path: Path) -> None:
    """/proc/cpuinfo repeats its fields for each core; sizes are read in kB; a missing file has no fields."""
    path = tmp_path / "cpuinfo"
    path.write_text("model name\t: First\nflags : avx2 fma\n\nmodel name : Second\nMemTotal:  2048 kB\n")

    assert proc_fields(path)["model name"] == "First"
    assert proc_bytes(path, "MemTotal") == 2 * 2**20
    assert proc_fields(tmp_path / "gone") == {}
