"""What all tests share: checkpoints of the reference model and of a tiny one, and the processor's mode."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest


def pytest_configure() -> None:
    """Hear Ctrl-C where the suite runs in the background of a shell, which ignores it: tests interrupt commands."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none, and say so."""
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    import torch

    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="needs an NVIDIA GPU; torch sees none")
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def denormal_numbers() -> Iterator[None]:
    """Whatever a test ran, this thread's denormal numbers stay what they are: libraries like to flush them."""
    yield
    assert np.float32(1e-40) * np.float32(0.5) > 0, "denormal numbers are flushed to zero after this test"


@pytest.fixture(autouse=True)
def no_features_of_other_tests(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Features that one test left in the cache are no answer to another: models are bent in tests."""
    from mambapro.runtime.evaluation import reference_features as reference

    monkeypatch.setattr(reference, "features_folder", lambda: tmp_path_factory.mktemp("cache") / "features")


@pytest.fixture(scope="session")
def reference_state() -> Callable[[str], dict]:
    """State dict of a reference configuration as tensors; what configurations share is generated once."""
    import torch
    from reference_model import manifest, weight

    cache: dict = {}

    def build(config: str) -> dict:
        for entry in manifest(config).entries:
            if (entry.key, entry.shape) not in cache:
                cache[entry.key, entry.shape] = torch.from_numpy(weight(*entry[:3]))
        return {entry.key: cache[entry.key, entry.shape] for entry in manifest(config).entries}

    return build


@pytest.fixture(scope="session")
def reference_checkpoint(
    reference_state: Callable[[str], dict], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Path]]:
    """Path of a full-size checkpoint in the authors' layout; one at a time is kept on the disk."""
    import torch

    folder = tmp_path_factory.mktemp("reference")
    path = folder / "reference.pth"
    held: list[str] = []

    def write(config: str) -> Path:
        if held != [config]:
            torch.save(reference_state(config), path)
            held[:] = [config]
        return path

    yield write
    path.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained tiny model in our own format: 64x32 pixels, 4 cameras, 5 identities."""
    # the runtime is tested where there is no PyTorch as well
    torch = pytest.importorskip("torch")
    from mambapro.train.models.checkpoints.weights import save_checkpoint
    from mambapro.train.models.mambapro.sizes import build_model

    torch.manual_seed(3)
    model = build_model("tiny", image_size=(64, 32), cameras=4, identities=5)
    with torch.no_grad():
        # prompts start at zero and biases too: move everything, so that nothing is exported right by accident
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for name, buffer in model.named_buffers():
            if name.endswith("running_var"):
                buffer += torch.rand_like(buffer)
            elif name.endswith("running_mean"):
                buffer += 0.1 * torch.randn_like(buffer)
    path = tmp_path_factory.mktemp("tiny") / "best.safetensors"
    save_checkpoint(model, path, training={"dataset": "rgbnt201"})
    return path
