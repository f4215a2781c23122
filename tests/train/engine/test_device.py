"""Names of devices for training."""

from __future__ import annotations

import pytest
import torch
from mambapro.errors import InputError, SetupError
from mambapro.train.engine.device import resolve_device


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:", "cuda:01", "cuda:١", "", "CPU", "mps", "meta", "cuda:0\n"])
def test_unknown_names(name: str) -> None:
    """InputError names what is allowed, also for devices of PyTorch that nothing here was tried on."""
    with pytest.raises(InputError, match="must be auto, cpu, cuda or one card such as cuda:0, not"):
        resolve_device(name)


def test_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare "cuda" is the process's own card; a card that is not there is an error of the machine."""
    with pytest.MonkeyPatch.context() as none:
        none.setattr(torch.cuda, "is_available", lambda: False)
        assert resolve_device("auto") == torch.device("cpu")
        with pytest.raises(SetupError, match="no CUDA card"):
            resolve_device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    assert resolve_device("cuda", 1) == resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(SetupError, match=r"sees 2 CUDA card\(s\)"):
        resolve_device("cuda:2")
