"""Training from images to a checkpoint, on a minute model and drawn squares."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mambapro.errors import InputError, SetupError, TrainingError
from mambapro.runtime.data.sample import Benchmark, ImageSource, Sample
from mambapro.train.engine.device import resolve_device, resolve_precision
from mambapro.train.engine.loop import fit, train_model
from mambapro.train.engine.training_config import ModelSettings, Solver, TrainConfig
from mambapro.train.engine.transforms import Augmentation
from mambapro.train.models.checkpoints.weights import load_checkpoint
from mambapro.train.models.mambapro.mambapro import MambaPro
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.reid import reid_task
from mambapro.train.reid.dataset import split_training
from mambapro.train.reid.reid_task import ReidTask
from PIL import Image

SMALL = {"width": 64, "depth": 1, "embed_dim": 32, "scan_channels": 32, "aggregation_depth": 1}
CONFIG = TrainConfig(
    "test",
    model=ModelSettings(size="tiny", image_size=(32, 16), frozen=False, overrides=SMALL),
    solver=Solver(epochs=2, warmup_epochs=0, backbone_lr=3.5e-4, identities_per_batch=3, images_per_identity=2),
    augmentation=Augmentation(padding=2),
    validation_identities=0,
)
IDENTITIES, CAMERAS = 5, 2


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """Five identities, each its own colours, seen twice by two cameras."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    samples = []
    for number in range(4 * IDENTITIES):
        identity, camera = number // 4, number % CAMERAS
        colours = np.random.default_rng(identity).integers(0, 200, (3, 1, 1, 3))
        sources = {}
        for modality, colour in zip(("rgb", "nir", "tir"), colours, strict=True):
            path = folder / f"{number}_{modality}.png"
            Image.fromarray((colour + random.integers(0, 56, (32, 16, 3))).astype(np.uint8)).save(path)
            sources[modality] = ImageSource(path)
        samples.append(Sample(str(number), sources, 10 * identity, camera))
    return Benchmark("rgbnt201", tuple(samples), tuple(samples), tuple(samples), "camera", (256, 128))


def small_model(identities: int = IDENTITIES) -> MambaPro:
    torch.manual_seed(0)
    return build_model("tiny", image_size=(32, 16), cameras=CAMERAS, identities=identities, **SMALL)


def spoil(model: MambaPro, call: int) -> None:
    """Make the outputs of the given training call (from 1) NaN."""
    calls = 0

    def hook(module: Any, inputs: Any, outputs: Any) -> Any:
        nonlocal calls
        calls += 1
        return tuple((score * torch.nan, feature) for score, feature in outputs) if calls == call else outputs

    model.register_forward_hook(hook)


@pytest.fixture(scope="module")
def run(benchmark: Benchmark, tmp_path_factory: pytest.TempPathFactory) -> tuple[MambaPro, Any, Path]:
    """A training of ten epochs: the model, its report, its folder."""
    folder = tmp_path_factory.mktemp("run") / "out"
    model = small_model()
    solver = replace(CONFIG.solver, epochs=10, base_lr=3e-3, backbone_lr=3e-3)
    config = replace(CONFIG, solver=solver)
    return model, train_model(model, ReidTask(benchmark, config), config, folder, device="cpu"), folder


class TestRun:
    def test_learns(self, run: tuple[MambaPro, Any, Path]) -> None:
        """The loss falls and the identities of the training set are told apart better than by chance."""
        _, report, _ = run

        assert report.epochs[-1].loss < 0.7 * report.epochs[0].loss
        assert report.epochs[-1].accuracy > 0.5

    def test_checkpoint(self, run: tuple[MambaPro, Any, Path]) -> None:
        """Without validation identities both checkpoints hold the weights of the last epoch."""
        model, report, folder = run

        assert (report.checkpoint, report.last) == (str(folder / "best.pth"), str(folder / "last.pth"))
        assert report.best_epoch == 10
        for path in (report.checkpoint, report.last):
            loaded = load_checkpoint(path).state_dict()
            assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())

    def test_log(self, run: tuple[MambaPro, Any, Path]) -> None:
        """The CSV has a row for each epoch with the losses of each head, and no other file is left."""
        _, report, folder = run

        with open(folder / "log.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["epoch"]) for row in rows] == list(range(1, 11))
        assert float(rows[3]["loss"]) == report.epochs[3].loss
        assert float(rows[3]["head1_triplet"]) == report.epochs[3].parts["head1_triplet"]
        assert sorted(path.name for path in folder.iterdir()) == ["best.pth", "last.pth", "log.csv"]

    def test_report(self, run: tuple[MambaPro, Any, Path]) -> None:
        """The report says what was trained, on what, and is plain JSON."""
        _, report, _ = run

        values = json.loads(json.dumps(report.to_json()))
        assert (values["samples"], values["identities"], values["precision"]) == (20, 5, "float32")
        assert values["epochs"][0]["steps"] == report.epochs[0].steps > 0
        assert "20 samples of 5 identities" in str(report)

    def test_loss_is_sum_of_heads(self, run: tuple[MambaPro, Any, Path]) -> None:
        """The logged loss is the weighted sum of the logged parts."""
        record = run[1].epochs[0]

        weights = {"cross_entropy": 0.25, "triplet": 1.0}
        total = sum(weights[name.partition("_")[2]] * value for name, value in record.parts.items())
        assert len(record.parts) == 4 and record.loss == pytest.approx(total, rel=1e-5)


class TestDeterminism:
    def test_same_seed(self, benchmark: Benchmark, tmp_path: Path) -> None:
        """The same seed gives the same weights, whatever was drawn from the global generators in between."""
        first = self.weights(benchmark, tmp_path / "1", CONFIG)
        torch.rand(3), np.random.rand(3)
        second = self.weights(benchmark, tmp_path / "2", CONFIG)

        assert all(torch.equal(value, second[name]) for name, value in first.items())

    def test_other_seed(self, benchmark: Benchmark, tmp_path: Path) -> None:
        """Another seed gives other batches and augmentations, so other weights."""
        first, second = (
            self.weights(benchmark, tmp_path / str(seed), replace(CONFIG, seed=seed))["backbone.projection"]
            for seed in (1, 2)
        )

        assert not torch.equal(first, second)

    def weights(self, benchmark: Benchmark, out: Path, config: TrainConfig) -> dict[str, torch.Tensor]:
        model = small_model()
        train_model(model, ReidTask(benchmark, config), config, out, device="cpu")
        return model.state_dict()


class TestNotANumber:
    def test_keeps_last_good(self, benchmark: Benchmark, tmp_path: Path) -> None:
        """A NaN loss stops the training, names the batch, and keeps the weights from before it."""
        steps = len(benchmark.train) // 6
        good = small_model()
        spoil(good, steps + 2)

        with pytest.raises(TrainingError, match=r"nan in epoch 2, batch 2 .*before this batch are in .*last\.pth"):
            train_model(good, ReidTask(benchmark, CONFIG), CONFIG, tmp_path / "out", device="cpu")

        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["last.pth", "log.csv", "state.pth"]
        saved = load_checkpoint(tmp_path / "out" / "last.pth").state_dict()
        assert all(torch.isfinite(value).all() for value in saved.values())

    def test_first_batch(self, benchmark: Benchmark, tmp_path: Path) -> None:
        """In the first batch the weights that were given are kept."""
        model = small_model()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        spoil(model, 1)

        with pytest.raises(TrainingError, match="epoch 1, batch 1"):
            train_model(model, ReidTask(benchmark, CONFIG), CONFIG, tmp_path / "out", device="cpu")

        saved = load_checkpoint(tmp_path / "out" / "last.pth").state_dict()
        assert all(
            torch.equal(saved[name], value)
            for name, value in before.items()
            if "running" not in name and "num_b" not in name
        )

    def test_bad_weights_are_not_kept(self, benchmark: Benchmark, tmp_path: Path) -> None:
        """Where the weights are NaN themselves the checkpoint of the epoch before stays."""
        model = small_model()
        with torch.no_grad():
            model.backbone.projection[0, 0] = torch.nan

        with pytest.raises(TrainingError, match="no checkpoint was written"):
            train_model(model, ReidTask(benchmark, CONFIG), CONFIG, tmp_path / "out", device="cpu")

        assert list(tmp_path.iterdir()) == []

    def test_weights(self, benchmark: Benchmark, tmp_path: Path) -> None:
        """Weights that became NaN in the last step of an epoch are not saved."""
        model = small_model()
        model.backbone.projection.register_hook(lambda gradient: gradient * torch.nan)
        one_step = replace(CONFIG, solver=replace(CONFIG.solver, identities_per_batch=5, images_per_identity=4))

        with pytest.raises(TrainingError, match=r"After epoch 1 .*backbone\.projection"):
            train_model(model, ReidTask(benchmark, one_step), one_step, tmp_path / "out", device="cpu")

        assert list(tmp_path.iterdir()) == []


class TestValidation:
    def test_split(self, benchmark: Benchmark) -> None:
        """Validation identities leave the training part and become query and gallery of their own."""
        config = replace(CONFIG, validation_identities=2)

        training, validation = split_training(benchmark, config)

        assert validation is not None and validation.query == validation.gallery
        kept, held = ({s.identity for s in part} for part in (training.train, validation.query))
        assert (len(kept), len(held), kept & held) == (3, 2, set())
        assert set(validation.query) <= set(benchmark.train)
        assert split_training(benchmark, config) == (training, validation)

    def test_best_epoch(self, benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """best.pth holds the epoch with the highest validation mAP, the earliest of equals."""
        maps = iter((0.4, 0.6, 0.6, 0.5))
        report = type("Report", (), {})
        monkeypatch.setattr(reid_task, "evaluate_benchmark", lambda *_, **__: type("R", (report,), {"map": next(maps)}))
        config = replace(CONFIG, validation_identities=2, solver=replace(CONFIG.solver, epochs=4))

        result = train_model(small_model(3), ReidTask(benchmark, config), config, tmp_path / "out", device="cpu")

        assert result.best_epoch == 2
        assert [record.validation for record in result.epochs] == [0.4, 0.6, 0.6, 0.5]
        best, last = (load_checkpoint(path).backbone.projection for path in (result.checkpoint, result.last))
        assert not torch.equal(best, last)

    def test_measured(self, benchmark: Benchmark, tmp_path: Path) -> None:
        """The validation mAP is measured on the identities that were split off."""
        config = replace(CONFIG, validation_identities=2, solver=replace(CONFIG.solver, epochs=1))

        result = train_model(small_model(3), ReidTask(benchmark, config), config, tmp_path / "out", device="cpu")

        assert result.epochs[0].validation is not None and 0 < result.epochs[0].validation <= 1
        assert (result.counts["identities"], result.counts["validation_identities"]) == (3, 2)

    def test_on_the_test_set(self, benchmark: Benchmark) -> None:
        """With select_on_test nothing is split off, and the benchmark's own queries choose."""
        training, chooses = split_training(benchmark, replace(CONFIG, select_on_test=True))

        assert training == benchmark and chooses is not None
        assert (chooses.query, chooses.gallery, chooses.train) == (benchmark.query, benchmark.gallery, ())

    def test_one_camera(self, benchmark: Benchmark) -> None:
        """Where no identity was seen by two cameras, a validation could find none: InputError before the training."""
        one = tuple(sample for sample in benchmark.train if sample.camera == 0)

        with pytest.raises(InputError, match="images of two cameras"):
            split_training(replace(benchmark, train=one), replace(CONFIG, validation_identities=2))

    def test_too_many(self, benchmark: Benchmark) -> None:
        """A split that leaves too few identities for a batch raises InputError."""
        with pytest.raises(InputError, match="Of 5 training identities 3"):
            split_training(benchmark, replace(CONFIG, validation_identities=3))


class TestFit:
    @pytest.fixture
    def reader(self, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Makes `fit` read the given benchmark from anywhere."""

        def install(value: Benchmark = benchmark) -> None:
            monkeypatch.setattr(reid_task, "read_benchmark", lambda name, root: value)

        return install

    def test_builds_model(self, reader: Callable[..., None], tmp_path: Path) -> None:
        """The model gets the data set's cameras and orientation and the training set's identities."""
        reader()
        seen = []

        config = replace(CONFIG, model=replace(CONFIG.model, image_size=(16, 32)))
        report = fit(config, "root", "rgbnt201", tmp_path / "out", device="cpu", initialise=seen.append)

        built = load_checkpoint(report.checkpoint).config
        assert (built.image_size, built.cameras, built.identities) == ((32, 16), 4, 5)
        assert len(seen) == 1

    def test_frozen_without_weights(self, tmp_path: Path) -> None:
        """Freezing a backbone that was never pretrained raises InputError."""
        frozen = replace(CONFIG, model=replace(CONFIG.model, frozen=True))

        with pytest.raises(InputError, match="pretrained weights"):
            fit(frozen, "root", "rgbnt201", tmp_path / "out")

    def test_frozen(self, reader: Callable[..., None], tmp_path: Path) -> None:
        """A frozen backbone keeps its values while its adapters move."""
        reader()
        frozen = replace(CONFIG, model=replace(CONFIG.model, frozen=True))
        before = {}

        def remember(model: MambaPro) -> None:
            before.update({name: value.clone() for name, value in model.state_dict().items()})

        report = fit(frozen, "root", "rgbnt201", tmp_path / "out", device="cpu", initialise=remember)

        after = load_checkpoint(report.checkpoint).state_dict()
        frozen_key, own_key = "backbone.projection", "backbone.layers.0.adapter.inner.weight"
        assert torch.equal(after[frozen_key], before[frozen_key])
        assert not torch.equal(after[own_key], before[own_key])

    def test_camera_outside(self, reader: Callable[..., None], benchmark: Benchmark, tmp_path: Path) -> None:
        """Training images of a camera that the data set does not have raise InputError."""
        reader(replace(benchmark, train=(*benchmark.train, replace(benchmark.train[0], camera=4))))

        with pytest.raises(InputError, match=r"4 cameras .* name 4"):
            fit(CONFIG, "root", "rgbnt201", tmp_path / "out")


class TestArguments:
    def test_output_exists(self, benchmark: Benchmark, tmp_path: Path) -> None:
        """A folder with something in it is not written into, unless asked."""
        (tmp_path / "log.csv").write_text("old")

        with pytest.raises(InputError, match="exists already"):
            train_model(small_model(), ReidTask(benchmark, CONFIG), CONFIG, tmp_path)
        train_model(small_model(), ReidTask(benchmark, CONFIG), CONFIG, tmp_path, device="cpu", overwrite=True)

        assert (tmp_path / "best.pth").is_file()
        assert "old" not in (tmp_path / "log.csv").read_text()

    def test_identities_differ(self, benchmark: Benchmark, tmp_path: Path) -> None:
        """A classifier for another number of identities raises InputError with both numbers."""
        with pytest.raises(InputError, match=r"has 7 identities, the training set 5"):
            train_model(small_model(7), ReidTask(benchmark, CONFIG), CONFIG, tmp_path / "out", device="cpu")

    def test_bfloat16(self, benchmark: Benchmark, tmp_path: Path) -> None:
        """bfloat16 trains on the CPU and is reported."""
        config = replace(CONFIG, precision="bfloat16", solver=replace(CONFIG.solver, epochs=1))

        report = train_model(small_model(), ReidTask(benchmark, config), config, tmp_path / "out", device="cpu")

        assert (report.precision, report.device) == ("bfloat16", "cpu")

    def test_precision(self) -> None:
        """ "auto" is float16 on CUDA and float32 elsewhere; float16 without CUDA raises InputError."""
        assert resolve_precision("auto", torch.device("cuda")) == "float16"
        assert resolve_precision("auto", torch.device("cpu")) == "float32"
        with pytest.raises(InputError, match="needs CUDA"):
            resolve_precision("float16", torch.device("cpu"))

    def test_device(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """ "auto" is the CPU where there is no card; asking for CUDA there raises SetupError."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

        assert resolve_device("auto").type == "cpu"
        with pytest.raises(SetupError, match="no CUDA card"):
            resolve_device("cuda:0")
