"""Folders of links for TensorRT-RTX: one for each process, gone with it or with the next one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from mambapro.plugins.tensorrt import rtx as tensorrt_rtx

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the links are for shared objects of Linux")


def test_what_a_killed_process_left_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a process that was killed is removed, those of living ones and files of such names stay."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import os, signal, sys, tempfile\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "from mambapro.plugins.tensorrt.rtx import _new_folder\n"
        "(_new_folder() / 'link').symlink_to('gone')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    alive = tensorrt_rtx._new_folder()
    file = tmp_path / "mambapro-tensorrt-rtx-file"
    file.touch()
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    assert len(list(tmp_path.iterdir())) == 3

    mine = tensorrt_rtx._new_folder()

    assert set(tmp_path.iterdir()) == {alive, mine, file}
