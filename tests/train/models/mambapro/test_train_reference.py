"""A whole training step of the full-size model against the reference: loss, outputs, gradients, running statistics."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from mambapro.train.engine.optimizer import freeze_pretrained
from mambapro.train.models.checkpoints.names import key_pairs
from mambapro.train.models.checkpoints.weights import load_checkpoint
from mambapro.train.models.mambapro.mambapro import MambaPro
from mambapro.train.reid.losses import pair_losses
from reference_model import FOLDER, images, manifest, normalised

pytestmark = pytest.mark.full
BATCH = 8


class Step(NamedTuple):
    """What a step left, by the authors' keys, and what it should have left."""

    model: MambaPro
    loss: float
    outputs: list[np.ndarray]
    gradients: dict[str, torch.Tensor | None]
    buffers: dict[str, torch.Tensor]
    about: dict[str, Any]
    wanted: dict[str, np.ndarray]


@pytest.fixture(scope="module", params=[1, 0], ids=["direct", "each-modality"])
def step(request: pytest.FixtureRequest, reference_checkpoint: Any) -> Step:
    """One forward and backward pass as the trainer makes them, float32, the tower frozen."""
    direct = request.param
    about = json.loads((FOLDER / "train_step.json").read_text())[f"direct{direct}"]
    with np.load(FOLDER / "train_step.npz") as arrays:
        prefix = f"direct{direct}/"
        wanted = {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
    configuration = manifest("rgbnt201_full")
    switches = {**configuration.switches, "direct": bool(direct)}
    model = load_checkpoint(reference_checkpoint("rgbnt201_full"), configuration.image_size, **switches)
    freeze_pretrained(model)
    model.train()
    pixels = torch.from_numpy(normalised(images("rgbnt201", configuration.image_size, BATCH)))
    outputs = model(pixels, torch.tensor(about["cam"]))
    losses = pair_losses(outputs, torch.tensor(about["pids"]))
    losses.total.backward()
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    pairs = key_pairs(model.config)
    return Step(
        model,
        losses.total.item(),
        [part.detach().numpy() for pair in outputs for part in pair],
        {theirs: parameters[ours].grad for theirs, ours in pairs if ours in parameters},
        {theirs: buffers[ours] for theirs, ours in pairs if ours in buffers},
        about,
        wanted,
    )


def test_loss_and_outputs(step: Step) -> None:
    """The loss is within 1e-4 of the reference's, scores and features within 2e-4."""
    assert step.loss == pytest.approx(step.about["total"], abs=1e-4)
    assert len(step.outputs) == sum(key.startswith("out") for key in step.wanted)
    for number, found in enumerate(step.outputs):
        np.testing.assert_allclose(found, step.wanted[f"out{number}"], rtol=0, atol=2e-4)


def test_gradient_norms(step: Step) -> None:
    """Every gradient's norm is within 1e-3; what should have no gradient has none, the frozen tower above all."""
    norms = step.about["grad_norm"]
    zero = step.about["structurally_zero"]
    assert len(norms) > 350 and not norms.keys() & set(zero)

    for key in norms:
        gradient = step.gradients[key]
        assert gradient is not None, key
        assert float(gradient.double().norm()) == pytest.approx(norms[key], rel=1e-3), key
    for key, gradient in step.gradients.items():
        if key in zero:
            # its exact value is 0, what is there is rounding
            assert gradient is not None and gradient.norm() < 1e-5, key
        elif key not in norms:
            assert gradient is None or not gradient.any(), key


def test_gradients(step: Step) -> None:
    """Where the reference's gradients are known value for value they agree within 1e-3 of their length."""
    keys = [key for key in step.wanted if key.startswith("grad/")]
    assert len(keys) > 8

    for key in keys:
        gradient = step.gradients[key.removeprefix("grad/")]
        assert gradient is not None
        found, expected = gradient.double().numpy().reshape(-1), step.wanted[key].astype(np.float64).reshape(-1)
        assert np.linalg.norm(found - expected) <= 1e-3 * np.linalg.norm(expected), key


def test_running_statistics(step: Step) -> None:
    """BatchNorm's running means and variances are within 1e-5."""
    keys = [key for key in step.wanted if key.startswith("buffer/")]
    assert len(keys) >= 10

    for key in keys:
        np.testing.assert_allclose(step.buffers[key.removeprefix("buffer/")], step.wanted[key], rtol=0, atol=1e-5)
