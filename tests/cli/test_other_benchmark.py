"""Commands that are given a benchmark which the bundle is not for, or a place inside the bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from mambapro.cli.main import run
from mambapro.export.pipeline import export_bundle
from mambapro.export.pytorch.plan import ExportOptions


@pytest.fixture(scope="module")
def bundle(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 bundle of the tiny model, which has four cameras."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny.mambapro"
    return export_bundle(ExportOptions(tiny_checkpoint, output=folder)).bundle


def said(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """(exit code, standard error) of a command."""
    code = run([str(argument) for argument in arguments])
    return code, capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    (
        ("check", "--data", "nowhere"),
        ("report", "--data", "nowhere", "--out", "page.html"),
        ("calibrate", "--calib", "nowhere"),
        ("sensitivity", "--calib", "nowhere", "--out", "analysis"),
    ),
    ids=lambda arguments: arguments[0],
)
def test_both_are_named(
    arguments: tuple[str, ...],
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A warning tells the bundle's cameras and the benchmark, before anything long is begun."""
    monkeypatch.chdir(tmp_path)

    code, error = said(capfd, arguments[0], bundle, *arguments[1:], "--dataset", "msvr310")

    assert code == 2 and "used on MSVR310 (8 cameras)" in error, error


@pytest.mark.parametrize("arguments", (("calibrate", "--cache"), ("sensitivity", "--out")), ids=lambda a: a[0])
def test_nothing_goes_into_the_bundle(
    arguments: tuple[str, str], bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A place inside the bundle is refused before the images are looked for."""
    command, option = arguments

    code, error = said(capfd, command, bundle, "--calib", "nowhere", option, bundle / "inside")

    assert code == 2 and "lies in the bundle" in error, error
