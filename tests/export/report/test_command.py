"""`mambapro report` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mambapro.cli.commands.report import report
from mambapro.cli.main import run
from mambapro.export.pipeline import ExportReport
from mambapro.export.report import measure


def call(*arguments: str | Path) -> int:
    """The exit code of `mambapro report ...`."""
    return run([str(argument) for argument in arguments], report, "mambapro report")


def test_it_writes_a_page_and_prints_json(
    exports: dict[str, ExportReport],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One page, and on standard output nothing but the JSON."""
    monkeypatch.setattr(measure, "ROUNDS", 1)
    page = tmp_path / "new" / "report.html"

    assert call(exports["fp32"].bundle, "--out", page, "--runs", "1", "--json") == 0

    found = json.loads(capsys.readouterr().out)
    assert found["state"] == "ready" and found["page"] == str(page)
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    (
        (("--data", "x"), 2, "belong together"),
        (("--dataset", "market1501", "--data", "x"), 2, "market1501"),
        (("--sensitivity", "nowhere"), 2, "is not a folder"),
        (("--runs", "0"), 2, "--runs"),
        (("--batch", "0"), 2, "--batch"),
    ),
)
def test_bad_input(
    exports: dict[str, ExportReport],
    arguments: tuple[str, ...],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is refused with its exit code and a message, and no page is written."""
    assert call(exports["fp32"].bundle, "--out", tmp_path / "report.html", *arguments) == code

    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is no bundle is an artifact error, a missing one an input error."""
    assert call(tmp_path, "--out", tmp_path / "r.html") == 7
    assert call(tmp_path / "nothing", "--out", tmp_path / "r.html") == 2
    assert "is not a bundle: it holds none of" in capsys.readouterr().err
