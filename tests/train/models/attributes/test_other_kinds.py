"""Checkpoints of attribute models where a command is for another kind of model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mambapro.errors import InputError
from mambapro.export.comparison import compare
from mambapro.export.pipeline import plan_export
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.runtime.data.sample import Benchmark
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.models.checkpoints.weights import save_checkpoint
from mambapro.train.models.mambapro.pretrained import load_tower
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.models.model_spec import Model
from mambapro.train.models.registry import model_class
from mambapro.train.paper.cost.model_cost import checkpoint_info
from mambapro.train.paper.explain import explain
from mambapro.train.reid import evaluate

BENCHMARK = Benchmark("rgbnt201", (), (), (), "camera", (256, 128))


def built(name: str) -> Model:
    """A model that is not trained."""
    named = NAMED_MODELS[name]
    return model_class(named.kind)(named.config).eval()


@pytest.fixture(scope="module")
def attributes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small attribute model."""
    path = tmp_path_factory.mktemp("attributes") / "attributes.pth"
    save_checkpoint(built("mini_par_image_vim_s"), path)
    return path


@pytest.fixture
def no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark without images, which no test gets to."""
    for module in (evaluate, compare):
        monkeypatch.setattr(module, "read_benchmark", lambda *args, **kwargs: BENCHMARK)


@pytest.mark.usefixtures("no_images")
def test_logits_are_no_embeddings(attributes: Path) -> None:
    """eval and compare refuse them on a benchmark of re-identification before any image is embedded."""
    for call in (evaluate.evaluate_checkpoint, compare.compare_bundles):
        arguments: tuple[Any, ...] = (attributes, [], "data", "rgbnt201")
        given = arguments if call is compare.compare_bundles else (attributes, "data", "rgbnt201")
        with pytest.raises(InputError, match=r"is a benchmark for re-identification; the model in .* for attributes"):
            call(*given)


def test_commands_for_mambapro(attributes: Path) -> None:
    """explain, info and the tower of a training name the kind."""
    tiny = build_model("tiny", image_size=(64, 32), cameras=4, identities=5)
    options = explain.ExplainOptions(checkpoints=(attributes,), data=Path("data"), dataset="rgbnt201", out=Path("out"))
    for call in (
        lambda: load_tower(tiny, attributes),
        lambda: checkpoint_info(attributes),
    ):
        with pytest.raises(InputError, match=r"holds a model of kind .*; give a checkpoint of MambaPro"):
            call()
    with pytest.raises(InputError, match=r"is a benchmark for re-identification; the model in .* for attributes"):
        explain.load(attributes, BENCHMARK, options)


def test_a_part_of_a_model(tmp_path: Path) -> None:
    """A tower has no task, so it cannot be exported."""
    save_checkpoint(built("mini_vim"), tmp_path / "tower.pth")

    with pytest.raises(InputError, match="is a part of a model, without a task of its own"):
        plan_export(ExportOptions(tmp_path / "tower.pth"))


def test_images_without_names_of_attributes(attributes: Path) -> None:
    """The export refuses labeled images before it begins, as there are no names to compare."""
    with pytest.raises(InputError, match="does not name its attributes"):
        plan_export(ExportOptions(attributes, data="data", dataset="pa100k"))


def test_the_text_follows_a_fused_optimizer() -> None:
    """After a training step in place, which counts no version, eval mode encodes the labels anew."""
    named = NAMED_MODELS["mini_par_vsf_vim_s"]
    model = model_class(named.kind)(named.config)
    model.set_constants(label_tokens=torch.arange(100).view(10, 10))
    optimizer = torch.optim.Adam(model.mamba.parameters(), lr=0.1, fused=True)
    with torch.no_grad():
        before = model.eval().label_matrix().clone()

    model.train().label_matrix().square().sum().backward()
    optimizer.step()
    with torch.no_grad():
        after = model.eval().label_matrix()
        expected = model.mamba(model.label_tokens)

    assert not torch.equal(before, after)
    torch.testing.assert_close(after, expected)
