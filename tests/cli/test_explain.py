"""mambapro explain: its output and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mambapro.cli.commands.explain import PICTURES
from mambapro.cli.main import run
from mambapro.synthetic.benchmark import draw_benchmark
from mambapro.train.paper.explain.explain import KINDS
from mambapro.train.paper.explain.explain_attributes import KINDS as ATTRIBUTE_KINDS


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn RGBNT201 of two test identities."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_benchmark(folder, "rgbnt201", identities=(2, 2), views=3)
    return folder


def code(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of mambapro explain."""
    result = run(["explain", *map(str, arguments)])
    said = capfd.readouterr()
    return result, said.out, said.err


def test_kinds_are_those_of_the_call() -> None:
    """--only offers what can be drawn."""
    assert sorted(PICTURES) == sorted({*KINDS, *ATTRIBUTE_KINDS})


def test_results(data: Path, tiny_checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The numbers go to standard output, as a table or as JSON; the switches reach the model."""
    where = ("--ckpt", tiny_checkpoint, "--data", data, "--dataset", "rgbnt201", "--only", "similarity")

    status, table, _ = code(capfd, *where, "--out", tmp_path / "a")
    status_2, text, _ = code(capfd, *where, "--out", tmp_path / "b", "--json", "--no-mamba", "--device", "cpu")

    assert (status, status_2) == (0, 0)
    assert "after aggregation" in table and "similarity.png" in table
    report = json.loads(text)
    assert [stage["stage"] for stage in report["checkpoints"][0]["stages"]] == ["before aggregation"]
    assert report["files"] == ["index.html", "explain.json", "similarity.png"]


@pytest.mark.parametrize(
    ("change", "expected", "message"),
    (
        (("--ckpt", "nowhere.pth"), 2, "no checkpoint nowhere.pth"),
        (("--dataset", "msvr310"), 2, "MSVR310 is expected"),
        (("--dataset", "market"), 2, "rgbnt201"),
        (("--identities", "40"), 2, "Too few identities"),
        (("--only", "umap"), 2, "gradcam"),
        (("--device", "cuda"), 3, "no CUDA card"),
        (("--ckpt", __file__), 7, "test_explain.py"),
    ),
    ids=str,
)
def test_exit_codes(
    change: tuple[str, str],
    expected: int,
    message: str,
    data: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot be used ends with the documented code and a message, and leaves nothing behind."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    given = {"--ckpt": tiny_checkpoint, "--data": data, "--dataset": "rgbnt201", "--out": tmp_path / "out"}
    given |= {change[0]: change[1]}  # type: ignore[dict-item]

    status, out, err = code(capfd, *(part for pair in given.items() for part in pair))

    assert (status, out) == (expected, "")
    assert message in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []
