"""The whole folder of pictures, and what is refused before anything is written."""

from __future__ import annotations

import base64
import io
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mambapro.common import figures as extra
from mambapro.errors import ArtifactError, InputError, SetupError
from mambapro.runtime.data.sample import ImageSource, Sample
from mambapro.synthetic.benchmark import draw_benchmark
from mambapro.train.models.checkpoints.weights import load_checkpoint, save_checkpoint
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.paper.explain.explain import KINDS, ExplainOptions, explain
from mambapro.train.paper.explain.explanation_folder import names_of
from mambapro.train.paper.explain.plot_gradcam import GradCamRow, overlay, plot_gradcam, scaled_map, signed
from mambapro.train.paper.explain.plot_similarity import plot_similarity
from mambapro.train.paper.explain.similarity import modality_similarities
from PIL import Image


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn RGBNT201 of three test identities, five samples each."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_benchmark(folder, "rgbnt201", identities=(2, 3), views=5)
    return folder


@pytest.fixture(scope="module")
def without_ma(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint with its aggregation switched off, under the same name in another folder."""
    path = tmp_path_factory.mktemp("other") / tiny_checkpoint.name
    save_checkpoint(load_checkpoint(tiny_checkpoint, mamba=False), path)
    return path


@pytest.fixture
def options(tiny_checkpoint: Path, data: Path, tmp_path: Path) -> ExplainOptions:
    """Everything of the tiny checkpoint, small."""
    return ExplainOptions([tiny_checkpoint], data, "rgbnt201", tmp_path / "out", rows=2, device="cpu")


class TestFolder:
    def test_one_checkpoint(self, options: ExplainOptions) -> None:
        """Three pictures, a page with all of them, the numbers; the report names what is there."""
        report = explain(options)

        names = sorted(path.name for path in options.out.iterdir())
        assert (
            names
            == sorted(report.files)
            == sorted(["explain.json", "gradcam.png", "index.html", "similarity.png", "tsne.png"])
        )
        page = (options.out / "index.html").read_text()
        assert page.count('<img src="data:image/') == 3 and "http:" not in page and "https:" not in page
        assert report.page_bytes == (options.out / "index.html").stat().st_size < 5_000_000
        assert json.loads((options.out / "explain.json").read_text()) == report.to_json()
        assert (report.identities, report.samples) == (3, 15)
        (checkpoint,) = report.checkpoints
        assert [stage.stage for stage in checkpoint.stages] == ["before aggregation", "after aggregation"]
        assert len(checkpoint.gradcam) == 2
        for stage in checkpoint.stages:
            assert stage.pairs is not None and stage.silhouette is not None
            assert f"{stage.silhouette:.3f}" in page and f"{stage.pairs[0].auc:.3f}" in page
        for name in names:
            if name.endswith(".png"):
                assert base64.b64encode((options.out / name).read_bytes()).decode() in page
        assert list(options.out.parent.iterdir()) == [options.out]

    def test_several_checkpoints(self, options: ExplainOptions, without_ma: Path) -> None:
        """A picture of each checkpoint and one t-SNE of all; without MA there is one stage, and the caption says so."""
        report = explain(replace(options, checkpoints=[options.checkpoints[0], without_ma]))

        pictures = [name for name in report.files if name.endswith(".png")]
        assert pictures == ["gradcam-1.png", "gradcam-2.png", "tsne.png", "similarity-1.png", "similarity-2.png"]
        assert [len(checkpoint.stages) for checkpoint in report.checkpoints] == [2, 1]
        page = (options.out / "index.html").read_text()
        assert "f_ir, the patch tokens after the last scan of MA" in page
        assert "since this model runs without MA" in page
        assert len({checkpoint.name for checkpoint in report.checkpoints}) == 2
        # the same weights below the aggregation: the same numbers
        first, second = (checkpoint.stages[0].to_json() for checkpoint in report.checkpoints)
        assert first == second

    def test_it_can_be_repeated(self, options: ExplainOptions) -> None:
        """The same call writes the same bytes; another seed other samples."""
        only = replace(options, identities=2, samples=3, rows=1)
        first, again, other = (
            replace(only, out=options.out.with_name(name), seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 5))
        )

        for each in (first, again, other):
            explain(each)

        def files(folder: ExplainOptions) -> dict[str, bytes]:
            return {path.name: path.read_bytes() for path in folder.out.iterdir() if path.suffix in (".png", ".html")}

        assert files(first) == files(again)
        assert files(first)["tsne.png"] != files(other)["tsne.png"]

    @pytest.mark.parametrize("kind", KINDS)
    def test_only_one(self, options: ExplainOptions, kind: str) -> None:
        """--only leaves the other pictures out, and their numbers."""
        report = explain(replace(options, only=(kind,)))

        assert [name for name in report.files if name.endswith(".png")] == [f"{kind}.png"]
        (checkpoint,) = report.checkpoints
        assert bool(checkpoint.gradcam) is (kind == "gradcam")
        assert all((stage.pairs is not None) is (kind == "similarity") for stage in checkpoint.stages)
        assert str(report)

    def test_what_may_be_replaced(self, options: ExplainOptions) -> None:
        """An empty folder is filled; a folder of ours needs overwrite; anything else is never touched."""
        only = replace(options, only=("similarity",))
        options.out.mkdir()
        explain(only)
        with pytest.raises(InputError, match="--overwrite"):
            explain(only)
        explain(replace(only, overwrite=True, only=("tsne",)))
        assert not (options.out / "similarity.png").exists()

        (options.out / "mine.txt").write_text("mine")
        with pytest.raises(InputError, match="holds other things"):
            explain(replace(only, overwrite=True))
        (options.out / "explain.json").unlink()
        with pytest.raises(InputError, match="holds other things"):
            explain(replace(only, overwrite=True))
        assert (options.out / "mine.txt").read_text() == "mine"

    def test_vehicles(self, tmp_path: Path) -> None:
        """Images that lie are shown lying."""
        draw_benchmark(tmp_path / "data", "msvr310", identities=(2, 2), views=3)
        torch.manual_seed(0)
        sizes = {"width": 64, "depth": 1, "embed_dim": 32, "scan_channels": 32}
        model = build_model("tiny", image_size=(32, 64), cameras=8, identities=3, **sizes)
        save_checkpoint(model, tmp_path / "model.pth")
        out = tmp_path / "out"

        explain(ExplainOptions([tmp_path / "model.pth"], tmp_path / "data", "msvr310", out, only=("gradcam",), rows=1))

        width, height = Image.open(out / "gradcam.png").size
        assert width > 3 * height


def assert_refused(options: ExplainOptions, kind: type[Exception], message: str, **changes: Any) -> None:
    """The call raises and leaves nothing behind."""
    with pytest.raises(kind, match=message):
        explain(replace(options, **changes))
    assert not options.out.exists() and [p for p in options.out.parent.iterdir() if ".partial" in p.name] == []


class TestBadInput:
    def test_no_such_checkpoint(self, options: ExplainOptions, tmp_path: Path) -> None:
        """A path that is not there is named."""
        assert_refused(options, InputError, "no checkpoint .*missing.pth", checkpoints=[tmp_path / "missing.pth"])

    def test_no_checkpoint_at_all(self, options: ExplainOptions) -> None:
        """An empty list is refused."""
        assert_refused(options, InputError, "at least one", checkpoints=[])

    def test_corrupt_checkpoint(self, options: ExplainOptions, tmp_path: Path) -> None:
        """A file that is no checkpoint raises ArtifactError, also as the second of two."""
        (tmp_path / "bad.pth").write_bytes(b"no checkpoint")

        assert_refused(options, ArtifactError, "bad.pth", checkpoints=[*options.checkpoints, tmp_path / "bad.pth"])

    def test_another_data_set(self, options: ExplainOptions, tmp_path: Path) -> None:
        """A folder of another benchmark is refused by its reader; a checkpoint for upright images on lying ones too."""
        assert_refused(options, InputError, "RGBNT100 is expected", dataset="rgbnt100")
        draw_benchmark(tmp_path / "cars", "rgbnt100", identities=(2, 2), views=2)
        assert_refused(options, ArtifactError, "takes images of 64x32", dataset="rgbnt100", data=tmp_path / "cars")

    def test_another_training_set(
        self, options: ExplainOptions, without_ma: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A checkpoint of another benchmark of the same shape is shown, with a warning."""
        path = tmp_path / "other.pth"
        save_checkpoint(load_checkpoint(without_ma), path, training={"dataset": "elsewhere"})
        with caplog.at_level(logging.WARNING, "mambapro"):
            logging.getLogger("mambapro").propagate = True
            explain(replace(options, checkpoints=[path], only=("similarity",)))

        assert "was trained on elsewhere; it is used on rgbnt201" in caplog.text

    @pytest.mark.parametrize(
        ("changes", "message"),
        (
            ({"identities": 4}, "has 3 with two samples"),
            ({"samples": 1}, "at least 2"),
            ({"rows": 0}, "give 1 to 24"),
            ({"only": ("umap",)}, "gradcam, tsne, similarity"),
        ),
        ids=str,
    )
    def test_numbers(self, options: ExplainOptions, changes: dict[str, Any], message: str) -> None:
        """Numbers out of range and unknown pictures are refused with what is allowed."""
        assert_refused(options, InputError, message, **changes)

    def test_packages_missing(self, options: ExplainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the extra SetupError says how to install it, before anything is computed."""
        import builtins

        real = builtins.__import__

        def without(name: str, *arguments: Any, **more: Any) -> Any:
            if name.split(".")[0] == "sklearn":
                raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
            return real(name, *arguments, **more)

        monkeypatch.setattr(builtins, "__import__", without)

        assert_refused(options, SetupError, r'scikit-learn.*pip install "mambapro\[analysis\]"')

    def test_other_missing_modules_are_not_hidden(self) -> None:
        """Only the packages of the extra are translated: anything else is a fault of ours."""
        with pytest.raises(ModuleNotFoundError), extra.analysis():
            import mambapro.no_such_module  # noqa: F401

    def test_failure_while_writing(self, options: ExplainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full disk in the middle leaves nothing behind."""

        def full(self: Path, text: str, encoding: str) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_text", full)

        assert_refused(options, SetupError, "No room", only=("tsne",))


class TestDrawing:
    def test_names(self) -> None:
        """Names are as short as tells them apart; best and last always carry their folder."""
        assert names_of([Path("/a/one.pth"), Path("/b/two.pth")]) == ["one", "two"]
        assert names_of([Path("/a/best.pth")]) == ["a/best"]
        assert names_of([Path("/x/a/best.pth"), Path("/y/a/best.pth")]) == ["x/a/best", "y/a/best"]
        assert names_of([Path("/x/m.pth"), Path("/x/m.pth")]) == ["m (1)", "m (2)"]

    def test_maps_become_images(self) -> None:
        """A map's largest patch is 1 at its centre, an empty one stays empty; what is 0 shows the grey image."""
        weights = np.zeros((4, 2), dtype=np.float32)
        weights[1, 0] = 0.01

        heat = scaled_map(weights, (64, 32))

        assert heat.shape == (64, 32) and 0.9 < heat[24, 8] <= 1 and not heat[48:].any()
        assert not scaled_map(np.zeros((4, 2), np.float32), (64, 32)).any()
        image = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
        covered = overlay(image, heat)
        assert np.array_equal(covered[50], np.rint(image[50].mean(1, keepdims=True)).repeat(3, 1).astype(np.uint8))
        assert np.ptp(covered[24, 8].astype(int)) > 50

    def test_small_numbers(self) -> None:
        """Numbers that two digits would round to nothing get four."""
        assert [signed(value) for value in (0.123, -0.5, 0.0012, -0.0012)] == ["+0.12", "-0.50", "+0.0012", "-0.0012"]

    def test_equal_similarities(self) -> None:
        """Distributions without any width can be drawn."""
        pairs = modality_similarities(np.ones((4, 3, 2), np.float32), np.array([0, 0, 1, 1]))

        assert pairs[0].auc == 0.5
        assert plot_similarity({"before": pairs}, "t")[:4] == b"\x89PNG"

    def test_the_global_style_is_untouched(self) -> None:
        """Drawing leaves matplotlib as it found it, and never loads pyplot."""
        import sys

        import matplotlib

        before, loaded = dict(matplotlib.rcParams), "matplotlib.pyplot" in sys.modules
        source = ImageSource(Path("x.png"))
        row = GradCamRow(
            Sample("a", {"rgb": source, "nir": source, "tir": source}, 1, 0),
            np.zeros((3, 32, 16, 3), np.uint8),
            np.ones((3, 2, 1), np.float32),
            (0.1, 0.2, -0.1),
        )

        png = plot_gradcam([row], "t")

        assert Image.open(io.BytesIO(png)).format == "PNG"
        assert dict(matplotlib.rcParams) == before
        assert ("matplotlib.pyplot" in sys.modules) is loaded
