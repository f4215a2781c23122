"""Runs of a table: what is trained, from what, and what a second call does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mambapro.errors import ArtifactError, InputError
from mambapro.runtime.data.image_settings import ImageSettings, using_image_settings
from mambapro.synthetic.benchmark import draw_benchmark
from mambapro.train.engine.trainer import Trainer
from mambapro.train.models.checkpoints.weights import load_checkpoint, save_checkpoint
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.models.mambapro.spec import is_pretrained
from mambapro.train.paper.ablation import run_ablation as run
from mambapro.train.paper.ablation import stored_runs
from mambapro.train.paper.ablation.record import Record
from mambapro.train.paper.ablation.run_ablation import AblationOptions, run_ablation
from mambapro.train.paper.ablation.stored_runs import read_result
from mambapro.train.reid.evaluate import evaluate_checkpoint

SHAPE = {"width": 64, "depth": 1, "mlp_width": 64, "embed_dim": 32, "scan_channels": 32, "aggregation_depth": 1}
CHANGES = (
    *(f"model.overrides.{name}={value}" for name, value in SHAPE.items()),
    "model.image_size=[32,16]",
    "solver.epochs=1",
    "solver.warmup_epochs=0",
    "solver.identities_per_batch=3",
    "augmentation.padding=2",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four training identities, three of query and gallery."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_benchmark(folder, "rgbnt201", identities=(4, 3), views=3)
    return folder


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint to start from."""
    path = tmp_path_factory.mktemp("tower") / "tower.pth"
    torch.manual_seed(5)
    save_checkpoint(build_model("tiny", image_size=(32, 16), cameras=4, identities=2, **SHAPE), path)
    return path


@pytest.fixture
def options(data: Path, tower: Path, tmp_path: Path) -> AblationOptions:
    """Rows A and C of table 3, one seed."""
    return AblationOptions(
        "3", data, tmp_path / "out", rows=("A", "C"), size="tiny", changes=CHANGES, backbones=(tower,), device="cpu"
    )


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the recipes that were trained."""
    names: list[str] = []
    real: Callable[..., Any] = stored_runs.fit

    def fit(config: Any, *arguments: Any, **more: Any) -> Any:
        names.append(f"{config.name}, seed {config.seed}")
        return real(config, *arguments, **more)

    monkeypatch.setattr(stored_runs, "fit", fit)
    return names


def test_a_benchmark_of_another_task(options: AblationOptions) -> None:
    """InputError, before a recipe of the benchmark's name is looked for."""
    with pytest.raises(InputError, match=r"PA100K \(pa100k\) is a benchmark for attributes; this needs one for re-id"):
        run_ablation(replace(options, dataset="pa100k"))


class TestResults:
    def test_rows_and_files(self, options: AblationOptions, tower: Path, fits: list[str]) -> None:
        """Trained rows run with each seed, the untrained one once; the figures are those of the kept checkpoints."""
        report = run_ablation(replace(options, seeds=(1, 2)))

        assert fits == ["tiny, row C, seed 1", "tiny, row C, seed 2"]
        untrained, adapted = report.rows
        assert (untrained.seeds, untrained.spread, untrained.trainable, untrained.seconds) == ((), None, 0, 0)
        assert adapted.seeds == (1, 2) and adapted.spread is not None and adapted.trainable > 0
        folders = sorted((options.out / "runs").iterdir())
        measured = [
            evaluate_checkpoint(path / "best.pth", options.data, "rgbnt201", device="cpu").map for path in folders
        ]
        assert adapted.maps == pytest.approx([100 * value for value in measured])
        assert adapted.map == pytest.approx(sum(adapted.maps) / 2)
        source = load_checkpoint(tower).state_dict()
        for path in folders:
            trained = load_checkpoint(path / "best.pth")
            kept = {name: value for name, value in trained.named_parameters() if is_pretrained(name)}
            assert all(torch.equal(value, source[name]) for name, value in kept.items())
            assert (trained.config.adapter, trained.config.prompt, trained.config.mamba) == (True, False, False)

    def test_written(self, options: AblationOptions) -> None:
        """The folder holds the table as Markdown and as JSON, ours and the paper's."""
        report = run_ablation(options)

        values = json.loads((options.out / "results.json").read_text())
        text = (options.out / "results.md").read_text()
        assert values == json.loads(json.dumps(report.to_json()))
        assert [row["paper"]["map"] for row in values["rows"]] == [3.3, 73.2]
        assert f"| C | CLIP locked, PFA | 1 | {report.rows[1].map:.1f} | - |" in text
        assert "| 73.2 | 76.4 | 85.2 | 88.2 | 28.34 |" in text

    def test_untrained_row(self, options: AblationOptions, tower: Path) -> None:
        """Row A is the tower's class tokens without camera table, whatever the seed."""
        first = run_ablation(replace(options, rows=("A",)))
        second = run_ablation(replace(options, rows=("A",), seeds=(7,), out=options.out.with_name("other")))

        switches = {"prompt": False, "adapter": False, "mamba": False, "sie_camera": False}
        expected = evaluate_checkpoint(tower, options.data, "rgbnt201", switches=switches, device="cpu")
        assert first.rows[0].map == second.rows[0].map == pytest.approx(100 * expected.map)

    def test_two_kinds_of_backbone(self, options: AblationOptions, tmp_path: Path) -> None:
        """Each row of table 9 starts from the backbone of its kind."""
        towers, fields = [], {"image_size": (32, 16), "depth": 1, "identities": 2}
        for size in ("tiny", "tiny_imagenet"):
            torch.manual_seed(8)
            towers.append(tmp_path / f"{size}.pth")
            save_checkpoint(build_model(size, **fields), towers[-1])
        changes = ("model.overrides.depth=1", *CHANGES[len(SHAPE) :])

        run_ablation(replace(options, table="9", rows=("ViT-L", "CLIP-F"), changes=changes, backbones=tuple(towers)))

        models = {
            key: load_checkpoint(next((options.out / "runs").glob(f"9-{key}-*")) / "best.pth")
            for key in ("ViT-L", "CLIP-F")
        }
        sources = {key: load_checkpoint(path) for key, path in zip(("CLIP-F", "ViT-L"), towers, strict=True)}
        weights = {key: model.backbone.embedding.patches.weight for key, model in models.items()}
        assert models["ViT-L"].config.backbone == "vit"
        assert torch.equal(weights["ViT-L"], sources["ViT-L"].backbone.embedding.patches.weight)
        # row F trains it
        moved = (weights["CLIP-F"] - sources["CLIP-F"].backbone.embedding.patches.weight).abs().max()
        assert 0 < moved < 0.1


class TestAgain:
    def test_finished_rows_are_read(self, options: AblationOptions, fits: list[str]) -> None:
        """A second call trains nothing and says the same; a new row is added to what is there."""
        first = run_ablation(options)
        fits.clear()

        second = run_ablation(options)
        run_ablation(replace(options, rows=("A", "C", "D")))

        assert second == first
        assert fits == ["tiny, row D, seed 1"]

    def test_killed_in_training(self, options: AblationOptions, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was finished before stays; the row in progress goes on where its state is, to the same figures."""
        long = replace(options, rows=("A", "C"), changes=(*CHANGES[:-3], "solver.epochs=3", *CHANGES[-2:]))
        expected = run_ablation(replace(long, out=options.out.with_name("whole")))
        self.kill(monkeypatch, epoch=2)
        with pytest.raises(KeyboardInterrupt):
            run_ablation(long)
        monkeypatch.undo()
        folder = next((options.out / "runs").iterdir())
        assert (folder / "state.pth").exists()
        assert [path.name for path in (options.out / "results").iterdir()] == ["3-A-seed1.json"]

        report = run_ablation(long)

        assert [row.map for row in report.rows] == [row.map for row in expected.rows]
        assert (folder / "best.pth").exists()

    def kill(self, monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
        """Interrupt trainings at the start of an epoch."""
        real = Trainer.run_epoch

        def run_epoch(trainer: Trainer, *arguments: Any) -> Any:
            if len(trainer.records) == epoch - 1:
                raise KeyboardInterrupt
            return real(trainer, *arguments)

        monkeypatch.setattr(Trainer, "run_epoch", run_epoch)

    def test_killed_in_evaluation(
        self, options: AblationOptions, fits: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A training that was finished is only measured."""
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(run, "_measure", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            run_ablation(replace(options, rows=("C",)))

        report = run_ablation(replace(options, rows=("C",)))

        assert len(fits) == 1
        assert report.rows[0].seconds > 0

    @pytest.mark.parametrize("change", ("recipe", "backbone", "data"))
    def test_other_settings(self, options: AblationOptions, tmp_path: Path, fits: list[str], change: str) -> None:
        """Results of another recipe, backbone or data set are refused, with --overwrite replaced."""
        run_ablation(replace(options, rows=("C",)))
        fits.clear()
        other = replace(options, rows=("C",), **self.changed(change, tmp_path))

        with pytest.raises(InputError, match=r"3-C-seed1\.json"):
            run_ablation(other)
        assert fits == []
        run_ablation(replace(other, overwrite=True))

        assert len(fits) == 1
        run_ablation(other)
        assert len(fits) == 1

    def test_other_ranges_of_sixteen_bits(self, options: AblationOptions, fits: list[str]) -> None:
        """Results with another range of 16-bit images are other results."""
        run_ablation(replace(options, rows=("C",)))
        fits.clear()

        settings = ImageSettings(sixteen_bit_range={"tir": (7000, 9000)})
        with using_image_settings(settings), pytest.raises(InputError, match=r"3-C-seed1\.json"):
            run_ablation(replace(options, rows=("C",)))
        assert fits == []

    def changed(self, what: str, tmp_path: Path) -> dict[str, Any]:
        if what == "recipe":
            return {"changes": (*CHANGES, "solver.base_lr=1e-3")}
        if what == "backbone":
            torch.manual_seed(6)
            path = tmp_path / "other.pth"
            save_checkpoint(build_model("tiny", image_size=(32, 16), cameras=4, identities=2, **SHAPE), path)
            return {"backbones": (path,)}
        draw_benchmark(tmp_path / "data", "rgbnt201", identities=(4, 3), views=3, seed=1)
        return {"data": tmp_path / "data"}

    def test_damaged_result(self, options: AblationOptions) -> None:
        """A result that cannot be read raises ArtifactError and says what to do."""
        run_ablation(replace(options, rows=("A",)))
        path = options.out / "results" / "3-A-seed1.json"
        path.write_text(path.read_text()[:50])

        with pytest.raises(ArtifactError, match="Remove it"):
            run_ablation(replace(options, rows=("A",)))
        with pytest.raises(ArtifactError):
            read_result(Record, path)


class TestRefused:
    def test_no_backbone(self, options: AblationOptions) -> None:
        """Without pretrained weights there is nothing all rows could start from."""
        with pytest.raises(InputError, match="--backbone CHECKPOINT or --clip"):
            run_ablation(replace(options, backbones=()))

    def test_backbone_of_another_kind(self, options: AblationOptions) -> None:
        """The ViT rows of table 9 want a ViT."""
        with pytest.raises(InputError, match="kind vit"):
            run_ablation(replace(options, table="9", rows=()))

    def test_two_backbones(self, options: AblationOptions, tower: Path) -> None:
        """Two backbones of one kind raise InputError."""
        with pytest.raises(InputError, match="two clip backbones"):
            run_ablation(replace(options, backbones=(tower, tower)))

    def test_row_that_does_not_fit(self, options: AblationOptions) -> None:
        """A row that the small model cannot be is named before anything is trained."""
        with pytest.raises(InputError, match="Row 9-12 cannot be built as tiny"):
            run_ablation(replace(options, table="fig9c", rows=()))
        assert not options.out.exists()
