"""Teachers of the hybrids: taken over exactly, frozen, and only of the right kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from attribute_runs import recipe, train
from mambapro.errors import InputError
from mambapro.runtime.data.readers.benchmarks import read_benchmark
from mambapro.train.attributes.attribute_task import AttributeTask
from mambapro.train.attributes.teacher import load_teacher
from mambapro.train.models.attributes.attribute_model import AttributeModel
from mambapro.train.models.checkpoints.weights import load_checkpoint, save_checkpoint
from toy_people import draw

HYBRIDS = ("maformer", "mahdft", "kdtm", "makdf")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("toy") / "data")


@pytest.fixture(scope="module")
def teacher(data: Path) -> Path:
    """A ViT after two epochs."""
    train("vit_b", data, data.parent / "vit", "solver.epochs=2")
    return data.parent / "vit" / "best.pth"


def model_of(name: str, data: Path, *changes: str) -> AttributeModel:
    """A new model for the toy people."""
    torch.manual_seed(0)
    config = recipe(name, *changes)
    return AttributeTask(read_benchmark("attributes", data), config).build_model()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


class TestTakenOver:
    @pytest.mark.parametrize("name", ["mahdft", "kdtm", "makdf"])
    def test_logits(self, name: str, data: Path, teacher: Path, images: torch.Tensor) -> None:
        """The hybrid's ViT answers as the checkpoint does, whose type embedding it has no place for."""
        model, source = model_of(name, data), load_checkpoint(teacher)
        with torch.no_grad():
            source.vis_embed.normal_(generator=torch.Generator().manual_seed(1))
        save_checkpoint(source, teacher.with_name(f"{name}.pth"), training=source.trained_on)

        load_teacher(model, teacher.with_name(f"{name}.pth"))

        with torch.no_grad():
            found = model.eval().outputs(images)["logits_vit"]
            torch.testing.assert_close(found, source.eval()(images), rtol=0, atol=2e-5)

    def test_released(self, data: Path, teacher: Path) -> None:
        """As released the heads are taken as they are."""
        model, source = model_of("kdtm", data, "model.overrides.teacher=released"), load_checkpoint(teacher)

        load_teacher(model, teacher)

        ours = model.state_dict()
        for key, value in source.state_dict().items():
            if key.startswith(("vit.blocks", "conv_vis.", "weight_layer.", "bn.")):
                assert torch.equal(ours[key], value), key

    def test_positions(self, data: Path, teacher: Path) -> None:
        """MaFormer's positions start as the teacher's in variant "pretrained", at zero as released."""
        given = {"teacher": teacher}
        free = recipe("maformer", "model.overrides.variant=pretrained").initialiser(**given)
        model = model_of("maformer", data, "model.overrides.variant=pretrained")
        free(model)
        released = model_of("maformer", data)
        free(released)

        assert torch.equal(model.pos_embed_vit, load_checkpoint(teacher).vit.pos_embed)
        assert not released.pos_embed_vit.any()


class TestFrozen:
    @pytest.mark.parametrize("name", HYBRIDS)
    def test_unchanged(self, name: str, data: Path, teacher: Path, tmp_path: Path) -> None:
        """Training leaves every bit of the teacher, its BatchNorm's statistics included, and changes the student."""
        start = model_of(name, data)
        recipe(name).initialiser(teacher=teacher)(start)

        report = train(name, data, tmp_path / "run", "solver.epochs=2", given={"teacher": teacher})

        before, after = start.state_dict(), load_checkpoint(tmp_path / "run" / "last.pth").state_dict()
        frozen = [key for key in before if key.startswith(start.teacher) and key not in start.trained]
        assert len(frozen) > 20
        assert [key for key in frozen if not torch.equal(before[key], after[key])] == []
        changed = [key for key in before if not torch.equal(before[key], after[key])]
        assert len(changed) > 20 and report.trainable == sum(
            before[key].numel() for key, value in start.named_parameters() if key not in frozen
        )

    def test_losses(self, data: Path, teacher: Path, tmp_path: Path) -> None:
        """The log of a distillation has the cross entropy of both and the distance, and their sum is the loss."""
        report = train("kdtm", data, tmp_path / "run", "solver.epochs=1", given={"teacher": teacher})

        (record,) = report.epochs
        assert list(record.parts) == ["cross_entropy_teacher", "cross_entropy_student", "distillation"]
        assert record.loss == pytest.approx(sum(record.parts.values()), rel=1e-5)
        # the student is what is deployed
        model = load_checkpoint(tmp_path / "run" / "best.pth")
        x = torch.zeros(1, 3, 32, 32)
        with torch.no_grad():
            assert torch.equal(model(x), model.student(x)["logits_vim"])


class TestRefused:
    def test_another_list_of_labels(self, data: Path, tmp_path: Path) -> None:
        """InputError names the first difference in names or order."""
        other = draw(tmp_path / "other", ("green", "red", "blue", "short"))
        train("vit_b", other, tmp_path / "vit", "solver.epochs=1")

        with pytest.raises(InputError, match=r"another list of 4 labels; .* the first difference is green for red"):
            train("kdtm", data, tmp_path / "run", given={"teacher": tmp_path / "vit" / "best.pth"})
        assert not (tmp_path / "run").exists()

    def test_another_kind(self, data: Path, tmp_path: Path) -> None:
        """InputError where the checkpoint is no image-only ViT."""
        train("vim_s", data, tmp_path / "vim", "solver.epochs=1")

        with pytest.raises(InputError, match=r"the teacher is an image-only ViT .* --config mini_vit_b"):
            train("mahdft", data, tmp_path / "run", given={"teacher": tmp_path / "vim" / "best.pth"})

    @pytest.mark.parametrize(
        ("change", "words"),
        [("model.image_size=[48, 32]", "has image_size"), ("model.overrides.vit.heads=4", "has vit .*heads': 2")],
    )
    def test_other_sizes(self, data: Path, teacher: Path, change: str, words: str) -> None:
        """InputError names the field in which the teacher differs, and the recipe of a tiny one for a tiny model."""
        with pytest.raises(InputError, match=rf"{words}.*\(--config mini_vit_b\)"):
            load_teacher(model_of("kdtm", data, change), teacher)

    def test_no_labels(self, data: Path, teacher: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A teacher that does not name its labels is taken, with a warning."""
        save_checkpoint(load_checkpoint(teacher), tmp_path / "plain.pth")

        load_teacher(model_of("kdtm", data), tmp_path / "plain.pth")

        assert "plain.pth does not name its labels" in caplog.text


def test_missing(data: Path, tmp_path: Path) -> None:
    """InputError where a hybrid with a teacher has none, before anything is written."""
    given: dict[str, Any] = {}
    with pytest.raises(InputError, match="as --teacher"):
        train("mahdft", data, tmp_path / "run", given=given)
    assert not (tmp_path / "run").exists()
