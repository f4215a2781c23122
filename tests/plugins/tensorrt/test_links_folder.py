"""Folders of links for TensorRT-RTX: one for each process, gone with it or with the next one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the links are for shared objects of Linux"),
    pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx_libs") is None, reason="needs the wheel of TensorRT-RTX"),
]
IMPORT = """
import os, signal, sys
from pathlib import Path
from mambapro.plugins.tensorrt.rtx import import_tensorrt_rtx
import_tensorrt_rtx()
print(sorted(path.name for path in Path(os.environ["TMPDIR"]).glob("mambapro-rtx-*/content/*.so")))
"""


def run(folder: Path, code: str) -> str:
    """Output of a process whose temporary files are in `folder`."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120).stdout


def test_they_go_with_their_process(tmp_path: Path) -> None:
    """A process has links without version to the libraries, and leaves nothing."""
    assert "'libtensorrt_rtx.so'" in run(tmp_path, IMPORT)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes(tmp_path: Path) -> None:
    """The folder of a process that was killed is removed by the next one; other files stay."""
    (tmp_path / "mambapro-rtx-file").touch()
    run(tmp_path, IMPORT + "os.kill(os.getpid(), signal.SIGKILL)\n")
    assert len(list(tmp_path.iterdir())) == 2

    assert run(tmp_path, IMPORT).count("'libtensorrt_rtx.so'") == 1

    assert [path.name for path in tmp_path.iterdir()] == ["mambapro-rtx-file"]
