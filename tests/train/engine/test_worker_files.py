"""Folders of the sockets of worker processes."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mambapro.train.engine.worker_files import folder_of_workers

#: Fetches a batch from a worker; ends by itself, or is killed by the system while the worker waits.
PROGRAM = """
import os, signal, sys
import numpy as np
import torch
from PIL import Image
from mambapro.runtime.data.sample import ImageSource, Sample
from mambapro.train.engine.training_images import build_loader
from mambapro.train.reid.dataset import TriModalDataset
Image.new("RGB", (4, 8)).save(sys.argv[2])
samples = [Sample(f"{k}", dict.fromkeys(("rgb", "nir", "tir"), ImageSource(sys.argv[2])), k % 2, 0) for k in range(4)]
dataset = TriModalDataset(samples, (8, 4), lambda images, random: np.zeros((3, 3, 8, 4), np.float32))
loader = build_loader(dataset, [[0, 1], [2, 3]], workers=1)
batches = iter(loader)
print(next(batches)[0].shape)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
print(len(list(batches)))
"""


class Owner:
    """Something that can be referred to weakly."""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short name: that of a socket ends at some hundred bytes."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="w") as folder:
        yield Path(folder)


def _run(temporary: Path, end: str, image: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, end, str(image)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tensors are handed over by other means")
def test_killed_training(temporary: Path, tmp_path: Path) -> None:
    """What a killed training leaves among temporary files is one folder, and the next training clears it."""
    killed = _run(temporary, "killed", tmp_path / "0.png")
    left = [path.name for path in temporary.iterdir()]
    ended = _run(temporary, "ended", tmp_path / "0.png")

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(left) == 1 and left[0].startswith("mambapro-io-"), left
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(temporary.iterdir()) == []


def test_folder_lives_as_long_as_its_owner(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is there while its owner is, and gone with it."""
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    owner = Owner()
    folder = folder_of_workers(owner)
    assert folder is not None and folder.is_dir()
    del owner
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_long_name(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a socket's name would be too long there is no folder, and nothing is left of the attempt."""
    long = temporary / ("n" * 60)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert folder_of_workers(Owner()) is None
    assert list(long.iterdir()) == []
