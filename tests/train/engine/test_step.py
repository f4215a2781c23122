"""One batch: the losses of the recipe, gradients over an accumulation group, and what is counted."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mambapro.train.engine.distributed import World
from mambapro.train.engine.step import NotFiniteError, TrainingStep
from mambapro.train.engine.trainer import Trainer
from mambapro.train.engine.training_config import Solver, TrainConfig
from mambapro.train.reid.dataset import ReidBatch
from mambapro.train.reid.losses import batch_hard_triplet
from mambapro.train.reid.reid_task import ReidTask
from torch import Tensor, nn

LABELS = torch.tensor([0, 0, 1, 1])
CAMERAS = torch.zeros(4, dtype=torch.int64)


class TwoHeads(nn.Module):
    """Scores and features that are linear in a few inputs; the second head's scores are the first's, shifted."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.scores = nn.Parameter(torch.randn(3, 3, generator=generator))
        self.features = nn.Parameter(torch.randn(3, 2, generator=generator))

    def forward(self, images: Tensor, cameras: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        features = images @ self.features
        return (images @ self.scores, features), (images @ self.scores.roll(1, 1), 2 * features)


def batches(count: int) -> list[Tensor]:
    """Inputs (4, 3) of as many batches."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(4, 3, generator=generator) for _ in range(count)]


def step_of(network: nn.Module, solver: Solver, rate: float = 0.1) -> TrainingStep:
    """Plain gradient descent, so that a step is the rate times the gradient."""
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    task: Any = object.__new__(ReidTask)
    task.config = TrainConfig("test", solver=solver)
    return TrainingStep(network, task, optimizer, scaler, solver.accumulate, "float32", torch.device("cpu"), World())


def loss_by_hand(network: nn.Module, x: Tensor, solver: Solver) -> Tensor:
    """The sum over the heads, with cross entropy written out: 1 - s on the label, and s over all classes."""
    total = torch.zeros(())
    for scores, features in network(x, CAMERAS):
        logs = scores.log_softmax(1)
        own = logs[torch.arange(4), LABELS]
        smooth = solver.label_smoothing
        entropy = -((1 - smooth) * own + smooth * logs.mean(1)).mean()
        total = total + solver.id_weight * entropy
        total = total + solver.triplet_weight * batch_hard_triplet(features, LABELS, solver.margin)
    return total


class TestRecipe:
    @pytest.mark.parametrize(
        "changes",
        [
            {"label_smoothing": 0.0},
            {"label_smoothing": 0.4},
            {"id_weight": 2.0},
            {"triplet_weight": 0.0},
            {"margin": 0.3},
        ],
    )
    def test_losses_are_those_of_the_recipe(self, changes: dict[str, Any]) -> None:
        """Smoothing, weights and margin of the solver decide the loss, whatever the defaults of the losses are."""
        network, solver, (x,) = TwoHeads(), Solver(**changes), batches(1)
        expected = loss_by_hand(network, x, solver).item()

        losses = step_of(network, solver)(ReidBatch(x, LABELS, CAMERAS), 1, 1)

        assert losses.total.item() == pytest.approx(expected, rel=1e-5)

    def test_right_answers_are_the_last_head_s(self) -> None:
        """Identity scores: the first head is always right; the second one, shifted by a class, is right for none."""
        network = TwoHeads()
        with torch.no_grad():
            network.scores.copy_(torch.eye(3))
        x = torch.eye(3)[LABELS] + 0.01 * torch.arange(12).view(4, 3) / 12

        losses = step_of(network, Solver())(ReidBatch(x, LABELS, CAMERAS), 1, 1)

        assert losses.right.item() == 0


class TestAccumulation:
    @pytest.mark.parametrize(("accumulate", "total"), [(1, 3), (2, 4), (2, 5), (3, 5), (4, 3)])
    def test_a_step_is_the_mean_gradient_of_its_group(self, accumulate: int, total: int) -> None:
        """Batches in groups of `accumulate`, the last group with what is left: after each the weights move by the rate
        times the mean gradient of that group alone, computed here at the weights before it."""
        solver, inputs = Solver(accumulate=accumulate), batches(total)
        network, expected = TwoHeads(), TwoHeads()
        take = step_of(network, solver)

        for start in range(0, total, accumulate):
            group = inputs[start : start + accumulate]
            loss = torch.stack([loss_by_hand(expected, x, solver) for x in group]).mean()
            gradients = torch.autograd.grad(loss, list(expected.parameters()))
            for number, x in enumerate(group, start + 1):
                before = [value.clone() for value in network.parameters()]
                take(ReidBatch(x, LABELS, CAMERAS), number, total)
                moved = any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
                assert moved == (number == start + len(group))
            with torch.no_grad():
                for value, gradient in zip(expected.parameters(), gradients, strict=True):
                    value -= 0.1 * gradient
            for ours, theirs in zip(network.parameters(), expected.parameters(), strict=True):
                torch.testing.assert_close(ours, theirs)

    def test_what_an_epoch_left_is_cleared(self) -> None:
        """Gradients that another epoch or a caller left behind do not count."""
        solver, (x,) = Solver(), batches(1)
        network, clean = TwoHeads(), TwoHeads()
        for value in network.parameters():
            value.grad = torch.full_like(value, 100.0)

        step_of(network, solver)(ReidBatch(x, LABELS, CAMERAS), 1, 1)
        step_of(clean, solver)(ReidBatch(x, LABELS, CAMERAS), 1, 1)

        for ours, theirs in zip(network.parameters(), clean.parameters(), strict=True):
            assert torch.equal(ours, theirs)

    def test_a_loss_that_is_no_number_changes_nothing(self) -> None:
        """NotFiniteError before the step, with the losses."""
        network = TwoHeads()
        before = [value.clone() for value in network.parameters()]

        with pytest.raises(NotFiniteError, match="nan"):
            step_of(network, Solver())(ReidBatch(torch.full((4, 3), torch.nan), LABELS, CAMERAS), 1, 1)

        assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize(
    ("save_every", "accumulate", "written"),
    [(0, 1, []), (1, 1, [1, 2, 3, 4, 5, 6]), (2, 1, [2, 4, 6]), (1, 3, [3, 6]), (2, 2, [4])],
)
def test_states_are_written_between_steps(save_every: int, accumulate: int, written: list[int], tmp_path: Path) -> None:
    """Every `save_every` steps of the optimiser, never inside a group, and not after the last batch of seven."""
    found: list[int] = []
    trainer: Any = object.__new__(Trainer)
    trainer.config = SimpleNamespace(save_every=save_every, solver=replace(Solver(), accumulate=accumulate))
    trainer.task, trainer.records, trainer.world = range(7), [], SimpleNamespace(is_first=True, wait=nullcontext)
    trainer.files = SimpleNamespace(room_wanted=nullcontext, write_state=found.append)
    trainer._state = lambda records: trainer.batch

    for trainer.batch in range(1, 8):
        trainer._save_within()

    assert found == written


def test_the_seed_depends_on_epoch_batch_and_process() -> None:
    """What dropout draws follows from (seed, epoch, batch, rank): the same again, and another for any other of them."""

    def drawn(seed: int = 1, epoch: int = 2, batch: int = 3, rank: int = 0) -> float:
        trainer: Any = object.__new__(Trainer)
        trainer.config, trainer.batch, trainer.world = SimpleNamespace(seed=seed), batch, SimpleNamespace(rank=rank)
        trainer._seed(epoch)
        return torch.rand(()).item()

    assert drawn() == drawn()
    assert len({drawn(), drawn(seed=2), drawn(epoch=3), drawn(batch=4), drawn(rank=1)}) == 5


def test_the_logged_rate_is_the_largest() -> None:
    """Of groups with several rates the record tells the largest, the biases'."""
    trainer: Any = object.__new__(Trainer)
    trainer.optimizer = SimpleNamespace(param_groups=[{"lr": 1e-4}, {"lr": 2e-4}, {"lr": 5e-6}])

    assert trainer._rate() == 2e-4
