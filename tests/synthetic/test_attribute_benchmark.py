"""Drawn attribute sets on disk: whole or not at all, marked, and replaced only if nothing else is in the folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mambapro.errors import InputError, SetupError
from mambapro.synthetic.attribute_benchmark import draw_attribute_set
from mambapro.synthetic.benchmark import draw_benchmark
from PIL import Image


def test_says_that_it_is_drawn(tmp_path: Path) -> None:
    """The root says in words and in JSON that no camera took these images, and with which errors they are labeled."""
    report = draw_attribute_set(tmp_path / "set", "wider", seed=3, images=40, label_noise=0.1)

    facts = json.loads((tmp_path / "set" / "drawn.json").read_text())
    assert (facts["drawn"], facts["dataset"], facts["seed"], facts["images"]) == (True, "wider", 3, 40)
    assert (facts["train"], facts["val"], facts["test"], facts["label_noise"]) == (20, 0, 20, 0.1)
    assert "drawn by a program" in (tmp_path / "set" / "README.txt").read_text()
    assert "wider, drawn with seed 3" in str(report) and report.attributes == 14


def test_images(tmp_path: Path) -> None:
    """There are as many images as asked for, in RGB, of different sizes, under the published names."""
    draw_attribute_set(tmp_path / "set", "msp60k", images=40)

    files = sorted((tmp_path / "set" / "images").iterdir())
    assert len(files) == 40 and files[0].name == "part15_00024.jpg"
    assert {Image.open(file).mode for file in files} == {"RGB"}
    assert len({Image.open(file).size for file in files}) > 30


def test_interruption_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle leaves no folder, not even a hidden one."""

    def interrupted(items: Iterable[Any], description: str, total: int | None = None) -> Iterator[Any]:
        yield next(iter(items))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_attribute_set(tmp_path / "set", "wider", images=40, track=interrupted)

    assert list(tmp_path.iterdir()) == []


def test_overwrite_replaces_drawn_sets_only(tmp_path: Path) -> None:
    """A drawn set of either kind replaces one of the other; a folder that holds somebody's file stays."""
    folder = tmp_path / "set"
    draw_benchmark(folder, "rgbnt100", identities=(1, 1), views=2)

    draw_attribute_set(folder, "wider", images=40, overwrite=True)
    draw_attribute_set(folder, "msp60k", images=40, overwrite=True)
    draw_benchmark(folder, "rgbnt100", identities=(1, 1), views=2, overwrite=True)
    draw_attribute_set(folder, "wider", images=40, overwrite=True)
    (folder / "split_image" / "000041.jpg").write_bytes(b"mine")

    with pytest.raises(InputError, match="holds other things"):
        draw_attribute_set(folder, "wider", images=41, overwrite=True)
    assert (folder / "split_image" / "000041.jpg").read_bytes() == b"mine"


def test_without_scipy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without SciPy a set with a MATLAB file is refused before anything is drawn; the others need none."""
    monkeypatch.setitem(sys.modules, "scipy.io", None)

    with pytest.raises(SetupError, match=r"needs the package scipy.*mambapro\[train\]"):
        draw_attribute_set(tmp_path / "pa100k", "pa100k", images=40)
    draw_attribute_set(tmp_path / "msp60k", "msp60k", images=40)

    assert [path.name for path in tmp_path.iterdir()] == ["msp60k"]


def test_unknown_set(tmp_path: Path) -> None:
    """The name of no attribute set is refused with the names there are, and nothing is written."""
    with pytest.raises(InputError, match=r"no attribute set 'rgbnt201' to draw\. Known: pa100k, peta"):
        draw_attribute_set(tmp_path / "set", "rgbnt201")

    assert list(tmp_path.iterdir()) == []
