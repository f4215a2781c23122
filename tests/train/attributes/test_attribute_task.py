"""Training of attributes from a folder to a checkpoint."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attribute_runs import SMALL, recipe, train
from mambapro.errors import InputError, SetupError
from mambapro.runtime.data.readers.benchmarks import read_benchmark
from mambapro.train.attributes import attribute_memory
from mambapro.train.attributes.attribute_memory import least_bytes
from mambapro.train.attributes.attribute_pretraining import fill
from mambapro.train.attributes.attribute_task import AttributeTask
from mambapro.train.engine.loop import fit
from mambapro.train.engine.recipes import load_recipe
from mambapro.train.engine.step import TrainingStep
from mambapro.train.models.checkpoints.weights import load_checkpoint
from toy_people import NAMES, draw


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("toy") / "data")


def state(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path).state_dict()


class TestLearning:
    def test_the_toy_people(self, data: Path, tmp_path: Path) -> None:
        """Eight epochs find colours that the majority's answer does not; report, log and checkpoint say which."""
        report = train("vim_s", data, tmp_path / "run", "solver.epochs=8")

        assert report.baseline == {"mA": 0.5, "F1": 0.0}
        best = report.epochs[report.best_epoch - 1]
        assert best.metric == "mA" and best.validation > 0.8 and best.others["F1"] > 0.5
        assert "validation mA " in str(best) and "majority    mA 50.00 %, F1 0.00 %" in str(report)
        assert report.to_json()["validation_images"] == 32 and report.to_json()["baseline"]["mA"] == 0.5
        with open(tmp_path / "run" / "log.csv", newline="", encoding="utf-8") as file:
            row = list(csv.DictReader(file))[-1]
        assert {"validation_ma", "validation_f1", "cross_entropy"} <= row.keys()

    def test_the_checkpoint(self, data: Path, tmp_path: Path) -> None:
        """It names task, labels, words, thresholds and data; its logits are those of the model's deployed form."""
        train("vim_s", data, tmp_path / "run", "solver.epochs=1", "metric=F1")

        model = load_checkpoint(tmp_path / "run" / "best.pth")

        facts = model.trained_on
        assert (facts["task"], facts["config"]["metric"], len(facts["data"])) == ("attributes", "F1", 16)
        assert facts["labels"] == {
            "names": list(NAMES),
            "activation": "sigmoid",
            "thresholds": [0.45] * 4,
            "words": list(NAMES),
        }
        assert model.spec.labels.names == NAMES and model(torch.zeros(2, 3, 32, 32)).shape == (2, 4)

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    @pytest.mark.parametrize("name", ["vmamba_b", "vsf_vim_s", "textconv_vim_s", "pafusion", "n_asf", "adamtf"])
    def test_every_wiring(self, name: str, precision: str, data: Path, tmp_path: Path) -> None:
        """A step of each lowers its own loss in both precisions."""
        changes = ["solver.epochs=2", f"precision={precision}", "solver.base_lr=3e-3"]
        if name == "vmamba_b":
            changes.append("model.overrides.vmamba.depths=[1, 1, 1, 1]")

        report = train(name, data, tmp_path / "run", *changes)

        assert report.epochs[1].loss < report.epochs[0].loss
        assert (tmp_path / "run" / "best.pth").is_file()

    def test_groups_of_batches(self, data: Path, tmp_path: Path) -> None:
        """SGD on groups of accumulated batches makes as many batches, and fewer steps of the optimizer."""
        report = train(
            "vim_s", data, tmp_path / "run", "solver.epochs=1", "solver.optimizer=sgd", "solver.accumulate=3"
        )

        assert report.epochs[0].steps == 6


def test_biases(data: Path) -> None:
    """Tiny recipes start the last biases at the shares of positives; published ones at 0."""
    benchmark = read_benchmark("attributes", data)
    task = AttributeTask(benchmark, recipe("kdtm"))
    zeros = AttributeTask(benchmark, recipe("kdtm", "model.prior_bias=false")).build_model()

    model = task.build_model()

    assert torch.equal(model.bn.bias, model.bn_vim.bias) and (model.bn.bias < 0).all()
    assert not zeros.bn.bias.any() and not load_recipe("vim_s").model.prior_bias


class TestSelection:
    def test_on_test(self, data: Path, caplog: pytest.LogCaptureFixture) -> None:
        """The test part selects with a warning; validation images may be trained on."""
        config = recipe("vim_s", "select_on_test=true", "train_on_validation=true")
        task = AttributeTask(read_benchmark("attributes", data), config)

        assert "so its figures are optimistic" in caplog.text
        assert (len(task.training), len(task.validation)) == (128, 32)
        assert task.counts["validation_images"] == 0

    def test_none(self, data: Path, tmp_path: Path) -> None:
        """Without validation images the last epoch counts as best, and there is no baseline."""
        report = train("vim_s", data, tmp_path / "run", "solver.epochs=2", "validation_images=0")

        assert report.best_epoch == 2 and report.baseline == {} and report.epochs[0].validation is None
        assert "majority" not in str(report)

    def test_attributes_that_cannot_be_learned(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A warning names those without a positive, and those without a negative."""
        folder = draw(tmp_path / "data")
        content = json.loads((folder / "attributes.json").read_text())
        content["labels"] = [f"1{row[1:3]}0" for row in content["labels"]]
        (folder / "attributes.json").write_text(json.dumps(content))

        AttributeTask(read_benchmark("attributes", folder), recipe("vim_s"))

        assert "No training image is a positive of short" in caplog.text
        assert "No training image is a negative of red" in caplog.text


class Interrupted(KeyboardInterrupt):
    """A Ctrl-C of the tests."""


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Break a training off after so many whole batches."""
    inner = TrainingStep.__call__

    def after(steps: int) -> None:
        done = 0

        def step(self: TrainingStep, *arguments: Any) -> Any:
            nonlocal done
            if done == steps:
                raise Interrupted
            done += 1
            return inner(self, *arguments)

        monkeypatch.setattr(TrainingStep, "__call__", step)

    return after


CHANGES = ("solver.epochs=3", "model.overrides.vim.drop_path=0.3")


@pytest.fixture(scope="module")
def whole(data: Path) -> Path:
    """A training that nothing interrupts."""
    train("vim_s", data, data.parent / "whole", *CHANGES)
    return data.parent / "whole"


class TestResume:
    @pytest.mark.parametrize(("steps", "save_every"), [(8, 0), (8, 1), (15, 4)])
    def test_bit_for_bit(
        self, data: Path, whole: Path, tmp_path: Path, interrupt: Callable, steps: int, save_every: int
    ) -> None:
        """Broken off within an epoch and resumed, a training ends with the weights of an unbroken one."""
        changes = (*CHANGES, f"save_every={save_every}")
        interrupt(steps)
        with pytest.raises(Interrupted):
            train("vim_s", data, tmp_path / "run", *changes)
        interrupt(1000)

        report = train("vim_s", data, tmp_path / "run", *changes, resume=True)

        for name in ("best.pth", "last.pth"):
            expected, found = state(whole / name), state(tmp_path / "run" / name)
            assert all(torch.equal(value, found[key]) for key, value in expected.items())
        assert len(report.epochs) == 3 and not (tmp_path / "run" / "state.pth").exists()

    def test_other_data(self, data: Path, tmp_path: Path, interrupt: Callable) -> None:
        """InputError for another list of labels of the same images."""
        interrupt(8)
        with pytest.raises(Interrupted):
            train("vim_s", data, tmp_path / "run", *CHANGES)
        other = draw(tmp_path / "other", ("green", "red", "blue", "short"))

        with pytest.raises(InputError, match="saw other data"):
            train("vim_s", other, tmp_path / "run", *CHANGES, resume=True)

    def test_other_words(self, data: Path, tmp_path: Path, interrupt: Callable) -> None:
        """InputError where the words of the labels have other ids than before."""
        ids = np.arange(40, dtype=np.int64).reshape(4, 10)
        np.save(tmp_path / "one.npy", ids)
        np.save(tmp_path / "two.npy", ids + 1)
        changes = (*CHANGES, "model.words=given")
        interrupt(8)
        with pytest.raises(Interrupted):
            train("vsf_vim_s", data, tmp_path / "run", *changes, given={"label_tokens": tmp_path / "one.npy"})

        with pytest.raises(InputError, match="other words of the labels"):
            train(
                "vsf_vim_s", data, tmp_path / "run", *changes, given={"label_tokens": tmp_path / "two.npy"}, resume=True
            )


class TestWords:
    def test_hashed(self, data: Path, tmp_path: Path) -> None:
        """The checkpoint holds the ids, and answers without being given any."""
        train("vsf_vim_s", data, tmp_path / "run", "solver.epochs=1")

        model = load_checkpoint(tmp_path / "run" / "best.pth")

        assert model.label_tokens.shape == (4, 10) and model.label_tokens[:, 0].tolist() == [101] * 4
        assert torch.isfinite(model(torch.zeros(1, 3, 32, 32))).all()

    def test_vectors(self, data: Path, tmp_path: Path) -> None:
        """Vectors take the place of the text encoder, in the checkpoint too."""
        vectors = np.random.default_rng(0).standard_normal((4, 32)).astype(np.float32)
        np.save(tmp_path / "vectors.npy", vectors)

        train(
            "vsf_vim_s",
            data,
            tmp_path / "run",
            "solver.epochs=1",
            "model.words=given",
            given={"label_vectors": tmp_path / "vectors.npy"},
        )

        model = load_checkpoint(tmp_path / "run" / "best.pth")
        assert not model.config.text_encoder and not any(key.startswith("mamba.") for key in model.state_dict())
        np.testing.assert_array_equal(model.label_vectors, vectors)

    def test_refused(self, data: Path, tmp_path: Path) -> None:
        """InputError without words, for ids beyond the vocabulary, and for another number of labels."""
        np.save(tmp_path / "large.npy", np.full((4, 10), 50280))
        np.save(tmp_path / "few.npy", np.zeros((3, 10), np.int64))

        with pytest.raises(InputError, match="reads the words of its labels"):
            train("vsf_vim_s", data, tmp_path / "run", "model.words=given")
        for name, words in (("large", "has the id 50280"), ("few", "is of 3 labels")):
            with pytest.raises(InputError, match=words):
                given = {"label_tokens": tmp_path / f"{name}.npy"}
                train("vsf_vim_s", data, tmp_path / "run", "model.words=given", given=given)
        assert not (tmp_path / "run").exists()


class TestPublicWeights:
    def test_towers(self, data: Path, tmp_path: Path) -> None:
        """Weights of towers and text encoder are taken over, and the fusion starts as the last text layers."""
        config = recipe("vsf_vim_s", "model.words=given")
        task = AttributeTask(read_benchmark("attributes", data), config)
        source, model = task.build_model(), task.build_model()
        average = {key: torch.zeros_like(value) for key, value in source.vim.state_dict().items()}
        torch.save({"model": source.vim.state_dict(), "model_ema": average}, tmp_path / "vim.pth")
        torch.save({"model": source.mamba.state_dict()}, tmp_path / "text.pth")
        np.save(tmp_path / "ids.npy", np.zeros((4, 10), np.int64))

        config.initialiser(
            vim=tmp_path / "vim.pth", text=tmp_path / "text.pth", label_tokens=tmp_path / "ids.npy", weights="model"
        )(model)

        assert torch.equal(model.vim.layers[3].mixer.A_log, source.vim.layers[3].mixer.A_log)
        assert torch.equal(model.vim.pos_embed, source.vim.pos_embed)
        fused, last = (part.state_dict() for part in (model.VSF_mamba, source.mamba.backbone.layers[-2:]))
        assert all(torch.equal(fused[key], value) for key, value in last.items())

    def test_fusion_of_fixed_vectors(self, data: Path, tmp_path: Path) -> None:
        """With vectors for the words the text encoder's file still starts the fusion, and no encoder is left."""
        task = AttributeTask(read_benchmark("attributes", data), recipe("vsf_vim_s", "model.words=given"))
        source, model = task.build_model(), task.build_model()
        torch.save({"model": source.mamba.state_dict()}, tmp_path / "text.pth")
        np.save(tmp_path / "vectors.npy", np.zeros((4, 32), np.float32))

        fill(model, {"text": tmp_path / "text.pth", "label_vectors": tmp_path / "vectors.npy"})

        fused, last = (part.state_dict() for part in (model.VSF_mamba, source.mamba.backbone.layers[-2:]))
        assert all(torch.equal(fused[key], value) for key, value in last.items()) and not hasattr(model, "mamba")

    @pytest.mark.parametrize("suffix", ["npy", "json"])
    def test_files_of_an_export(self, data: Path, tmp_path: Path, suffix: str) -> None:
        """A training reads the words of its labels from the files that an export reads."""
        model = AttributeTask(
            read_benchmark("attributes", data), recipe("vsf_vim_s", "model.words=given")
        ).build_model()
        ids = np.arange(40).reshape(4, 10)
        np.save(tmp_path / "ids.npy", ids)
        (tmp_path / "ids.json").write_text(str(ids.tolist()))

        fill(model, {"label_tokens": tmp_path / f"ids.{suffix}"})

        np.testing.assert_array_equal(model.label_tokens, ids)

    def test_copies(self, data: Path, tmp_path: Path) -> None:
        """MaKDF's layers between start as Vim's even ones."""
        task = AttributeTask(read_benchmark("attributes", data), recipe("makdf"))
        source, model = task.build_model(), task.build_model()
        torch.save({"model": source.vim.state_dict()}, tmp_path / "vim.pth")

        fill(model, {"vim": tmp_path / "vim.pth"})

        found, wanted = (part.state_dict() for part in (model.vim_mid[0], source.vim.layers[0]))
        assert all(torch.equal(found[key], value) for key, value in wanted.items())


def test_two_processes_are_one(data: Path, tmp_path: Path) -> None:
    """Two processes over gloo have the losses and the BatchNorm statistics of one with the same batches."""
    options = [f"--set={change}" for change in (*SMALL, "solver.epochs=2")]
    command = [sys.executable, "-m", "mambapro", "train", "--config", "mini_vim_s", "--data", str(data)]
    command += ["--dataset", "attributes", "--device", "cpu", "--json", *options]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [*command, "--out", str(tmp_path / "two")],
            env={**os.environ, **world, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs

    single = train("vim_s", data, tmp_path / "one", "solver.epochs=2").to_json()["epochs"]
    double = json.loads(outputs[0][0])["epochs"]
    for a, b in zip(single, double, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], abs=1e-4)
        assert (b["steps"], b["accuracy"]) == (a["steps"], pytest.approx(a["accuracy"], abs=1e-3))
    expected, found = (state(tmp_path / name / "last.pth") for name in ("one", "two"))
    torch.testing.assert_close(found["bn.running_mean"], expected["bn.running_mean"], rtol=1e-3, atol=1e-3)


class TestRefused:
    def test_the_other_task(self, data: Path, tmp_path: Path) -> None:
        """InputError where recipe and data set are of different tasks, both ways, before anything is read."""
        for name, dataset in (("mini_vim_s", "rgbnt201"), ("tiny", "attributes")):
            with pytest.raises(InputError, match=f"The recipe {name} is for .*, and {dataset} is a data set for"):
                fit(load_recipe(name), data, dataset, tmp_path / "run", device="cpu")
        assert not (tmp_path / "run").exists()

    def test_too_few_images(self, data: Path, tmp_path: Path) -> None:
        """InputError where no batch can be filled; the folder is not left behind."""
        with pytest.raises(InputError, match="96 images, a batch needs 500"):
            train("vim_s", data, tmp_path / "run", "solver.batch=500")
        assert not (tmp_path / "run").exists()

    def test_memory(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """SetupError with the fields that make it smaller; the bound grows with the batch and with Adam's moments."""
        monkeypatch.setattr(attribute_memory, "free_memory", lambda: 2**20)
        with pytest.raises(SetupError, match=r"batches of 16 images of 32x32 pixels .* Lower solver\.batch"):
            train("vim_s", data, tmp_path / "run")

        model = AttributeTask(read_benchmark("attributes", data), recipe("vim_s")).build_model()
        adam, sgd = (least_bytes(model, recipe("vim_s", f"solver.optimizer={n}"), 16) for n in ("adam", "sgd"))
        assert adam - sgd == 4 * sum(parameter.numel() for parameter in model.parameters())
        assert least_bytes(model, recipe("vim_s"), 32) > 1.5 * adam
