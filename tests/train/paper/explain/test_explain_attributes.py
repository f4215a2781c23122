"""Pictures of attribute checkpoints, from files to a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mambapro.errors import InputError
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.models.checkpoints.weights import save_checkpoint
from mambapro.train.models.registry import model_class
from mambapro.train.paper.explain.explain_attributes import AttributeExplainOptions, explain_attributes
from mambapro.train.paper.explain.explain_task import explain_checkpoints
from noise_images import NAMES, noise_benchmark
from PIL import Image


@pytest.fixture(scope="module", autouse=True)
def noise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The data set "noise"."""
    with noise_benchmark(tmp_path_factory.mktemp("noise")):
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained mini with the data set's labels."""
    torch.manual_seed(0)
    named = NAMED_MODELS["mini_par_image_vit_b"]
    path = tmp_path_factory.mktemp("checkpoint") / "mini.pth"
    facts = {"labels": {"names": NAMES, "thresholds": [0.45] * 10}}
    save_checkpoint(model_class(named.kind)(named.config).eval(), path, training=facts)
    return path


def values(checkpoint: Path, out: Path) -> dict[str, object]:
    """Options of a small run."""
    return {"checkpoints": (checkpoint,), "data": Path("data"), "dataset": "noise", "out": out, "samples": 8, "rows": 2}


def test_folder(checkpoint: Path, tmp_path: Path) -> None:
    """Pictures of each attribute, of some images, and of right and wrong; a page with all, and the numbers."""
    report = explain_checkpoints(values(checkpoint, tmp_path / "out"))

    names = {"index.html", "explain.json", "gradcam-attributes.png", "gradcam-samples.png", "strips.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    numbers = json.loads((tmp_path / "out" / "explain.json").read_text())
    assert numbers["samples"] == 8 and len(numbers["checkpoints"][0]["labels"]) == 10
    label = numbers["checkpoints"][0]["labels"][0]
    assert label["positives"] + label["negatives"] == 8
    assert len(label["right"]) == min(4, label["found"] + label["negatives"] - label["false"])
    page = (tmp_path / "out" / "index.html").read_text()
    assert "label 9" in page and page.count("<figure>") == 3 and "8 of 12, drawn with seed 0" in page
    # the strip of every attribute is in the picture: its frames are at both sides of each of ten rows
    assert Image.open(tmp_path / "out" / "strips.png").height % 10 == 0
    assert "label 0" in str(report)


def test_only_and_seed(checkpoint: Path, tmp_path: Path) -> None:
    """One kind of picture; the same seed shows the same samples, another one others."""
    given = values(checkpoint, tmp_path / "a")
    calls = ({}, {"out": tmp_path / "b"}, {"out": tmp_path / "c", "seed": 1})
    for more in calls:
        explain_attributes(AttributeExplainOptions(**{**given, "only": ("strips",), **more}))  # type: ignore[arg-type]

    first, second, third = (np.asarray(Image.open(tmp_path / name / "strips.png")) for name in "abc")
    assert (first == second).all() and (first.shape != third.shape or (first != third).any())
    assert not list((tmp_path / "a").glob("gradcam*"))


def test_refusals(checkpoint: Path, tmp_path: Path) -> None:
    """Options of re-identification, other pictures, numbers out of range, a folder of others, a missing file."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for more, words in (
        ({"identities": 3}, "--identities is for re-identification; this is for attributes"),
        ({"only": ("tsne",)}, "pictures of attributes are gradcam, strips"),
        ({"rows": 0}, "0 rows"),
        ({"out": tmp_path / "mine", "overwrite": True}, "holds other things"),
        ({"checkpoints": (tmp_path / "none.pth",)}, "There is no checkpoint"),
    ):
        with pytest.raises(InputError, match=words):
            explain_checkpoints({**values(checkpoint, tmp_path / "out"), **more})
    assert not (tmp_path / "out").exists()
