"""Several processes: two on the CPU, over gloo, give what one gives with the same global batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mambapro.errors import InputError
from mambapro.synthetic.benchmark import draw_benchmark
from mambapro.train.engine.distributed import World, join_world, reduce_batch_norms
from mambapro.train.models.checkpoints.weights import load_checkpoint
from mambapro.train.reid.sampler import IdentitySampler
from train_runs import draw, request, run


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few drawn images."""
    return draw(tmp_path_factory.mktemp("images"))


def run_two(tmp_path: Path, images: Path, out: str, *changes: str, **more: Any) -> dict[str, Any]:
    """Two processes as torchrun starts them; the first one's report."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = request(tmp_path, images, out, *changes, **more)
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            command,
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    return json.loads(outputs[0][0])


@pytest.mark.parametrize("direct", [True, False])
def test_two_processes_are_one(tmp_path: Path, images: Path, direct: bool) -> None:
    """Losses within 1e-5 after every epoch, weights and BatchNorm statistics close."""
    changes = ["augmentation.erase=0.5", "solver.base_lr=3.5e-4", "solver.backbone_lr=3.5e-4"]
    one = json.loads(run(tmp_path, images, "one", *changes, direct=direct).stdout)

    two = run_two(tmp_path, images, "two", *changes, direct=direct)

    for single, double in zip(one["epochs"], two["epochs"], strict=True):
        assert double["loss"] == pytest.approx(single["loss"], abs=1e-5)
        assert (double["steps"], double["accuracy"]) == (single["steps"], pytest.approx(single["accuracy"]))
    expected, found = (load_checkpoint(tmp_path / name / "last.pth").state_dict() for name in ("one", "two"))
    running = [key for key in expected if "running" in key]
    assert len(running) > 10
    for key in running:
        torch.testing.assert_close(found[key], expected[key], rtol=1e-3, atol=1e-4)
    assert (tmp_path / "two" / "best.pth").is_file()


def test_accumulated(tmp_path: Path, images: Path) -> None:
    """Accumulation works with several processes as with one, also when an epoch ends within a group."""
    changes = ["solver.accumulate=2", "solver.base_lr=3.5e-4", "solver.backbone_lr=3.5e-4"]
    one = json.loads(run(tmp_path, images, "one", *changes).stdout)

    two = run_two(tmp_path, images, "two", *changes)

    for single, double in zip(one["epochs"], two["epochs"], strict=True):
        assert double["loss"] == pytest.approx(single["loss"], abs=1e-5)


def test_torchrun(tmp_path: Path) -> None:
    """The command of docs/training.md, with two processes: one report, one checkpoint, the loss of one process."""
    data = tmp_path / "data"
    draw_benchmark(data, "rgbnt201", identities=(4, 2), views=8)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    reports = []
    for launcher in ([], torchrun):
        out = tmp_path / f"run{len(launcher)}"
        command = [sys.executable, *launcher, "-m", "mambapro", "train", "--config", "tiny", "--dataset", "rgbnt201"]
        command += ["--data", str(data), "--out", str(out), "--epochs", "1", "--device", "cpu", "--json"]
        command += ["--set", "solver.identities_per_batch=2"]
        done = subprocess.run(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        reports.append(json.loads(done.stdout))
        assert (out / "best.pth").is_file()

    one, two = (report["epochs"][0] for report in reports)
    assert two["steps"] == one["steps"] > 1
    assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)


class TestWorld:
    def test_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without torchrun's variables there is one process, which gathers nothing."""
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        x = torch.ones(3, requires_grad=True)

        with join_world("cpu") as world:
            assert world == World()
            assert world.gather(x) is x and world.is_first

    def test_bad_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Variables that are no numbers raise InputError."""
        monkeypatch.setenv("WORLD_SIZE", "two")

        with pytest.raises(InputError, match="torchrun"), join_world("cpu"):
            pass

    def test_shares_make_the_batch(self) -> None:
        """The processes' parts of a batch are whole identities, and together they are the batch."""
        labels = [number // 4 for number in range(32)]
        whole = list(IdentitySampler(labels, 4, 2, seed=3))

        parts = [list(IdentitySampler(labels, 4, 2, seed=3, world=World(rank, 2))) for rank in range(2)]

        assert [a + b for a, b in zip(*parts, strict=True)] == whole

    def test_identities_must_divide(self) -> None:
        """InputError where the identities of a batch cannot be shared."""
        with pytest.raises(InputError, match="shared by 2 processes"):
            IdentitySampler([0, 1, 2, 3], 3, 1, world=World(0, 2))


def test_batch_norm_keeps_its_names() -> None:
    """Parameters, buffers and evaluation are those of torch's BatchNorm."""
    norm = torch.nn.Sequential(torch.nn.BatchNorm2d(4), torch.nn.BatchNorm1d(4)).eval()
    names, x = list(norm.state_dict()), torch.randn(2, 4, 3, 3)
    expected = norm[0](x)

    assert reduce_batch_norms(norm) == 2

    assert list(norm.state_dict()) == names
    assert torch.equal(norm[0](x), expected)
