"""mambapro eval: a checkpoint and its bundle give the same tables; what cannot be used is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mambapro.cli.main import run
from mambapro.export.pipeline import export_bundle
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.synthetic.benchmark import draw_benchmark


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn benchmark of a few identities."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_benchmark(folder, "rgbnt201", identities=(2, 6), views=4)
    return folder


@pytest.fixture(scope="module")
def bundle(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the tiny checkpoint."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny.mambapro"
    return export_bundle(ExportOptions(tiny_checkpoint, output=folder)).bundle


def evaluate(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of `mambapro eval`."""
    result = run(["eval", *(str(argument) for argument in arguments)])
    said = capfd.readouterr()
    return result, said.out, said.err


def test_checkpoint_and_bundle_agree(
    data: Path, bundle: Path, tiny_checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every row of the whole evaluation is the same from PyTorch and from the bundle; both draw the same strips."""
    where = ("--data", data, "--dataset", "rgbnt201", "--json", "--rerank", "--subsets", "--per-modality")
    strips = ("--bootstrap", 20, "--seed", 3, "--strips-count", 2, "--strips")

    status, ours, _ = evaluate(capfd, bundle, *where, *strips, tmp_path / "a")
    status_2, theirs, _ = evaluate(capfd, "--ckpt", tiny_checkpoint, *where, *strips, tmp_path / "b")

    assert (status, status_2) == (0, 0)
    for first, second in zip(json.loads(ours)["rows"], json.loads(theirs)["rows"], strict=True):
        assert (first["kind"], first["sensors"]) == (second["kind"], second["sensors"])
        assert first["map"] == pytest.approx(second["map"], abs=1e-6)
        assert first["intervals"]["map"] == pytest.approx(second["intervals"]["map"], abs=1e-6)
        assert first["intervals"]["seed"] == 3
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names[:2])


def test_table(data: Path, tiny_checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A checkpoint may be given as MODEL; the table has intervals unless they are switched off."""
    where = (tiny_checkpoint, "--data", data, "--dataset", "rgbnt201")

    (_, with_intervals, _), (_, without, _) = evaluate(capfd, *where), evaluate(capfd, *where, "--bootstrap", 0)

    assert "1000 bootstrap resamples" in with_intervals and "% [" in with_intervals
    assert "[" not in without and "24 queries, gallery of 24" in without


class TestUsage:
    def test_exactly_one_model(self, bundle: Path, tiny_checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """None, both, and a folder for --ckpt end with 2 and say what to give."""
        where = ("--data", "d", "--dataset", "rgbnt201")

        for given, message in (
            ((), "Nothing to evaluate"),
            ((bundle, "--ckpt", tiny_checkpoint), "give one of them"),
            (("--ckpt", bundle), "Give a bundle as MODEL"),
            ((bundle, "--no-mamba"), "A bundle holds its settings"),
        ):
            status, out, err = evaluate(capfd, *given, *where)

            assert (status, out) == (2, "")
            assert message in err

    def test_existing_strips(
        self, data: Path, tiny_checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Strips are replaced with --overwrite only."""
        call = ("--ckpt", tiny_checkpoint, "--data", data, "--dataset", "rgbnt201", "--strips", tmp_path / "s")

        assert evaluate(capfd, *call, "--strips-count", 1)[0] == 0
        status, _, err = evaluate(capfd, *call, "--strips-count", 2)
        assert status == 2 and "--overwrite" in err
        assert evaluate(capfd, *call, "--strips-count", 2, "--overwrite")[0] == 0
        assert len(list((tmp_path / "s").glob("*.png"))) == 2

    def test_a_missing_modality_file(self, bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """The file and its sensor are named."""
        draw_benchmark(tmp_path / "data", "rgbnt201", identities=(2, 2), views=2)
        gone = next((tmp_path / "data" / "RGBNT201" / "test" / "NI").iterdir())
        gone.unlink()

        status, out, err = evaluate(capfd, bundle, "--data", tmp_path / "data", "--dataset", "rgbnt201")

        assert (status, out) == (2, "")
        assert f"{gone.name} (nir)" in err

    def test_an_unreadable_image(self, bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A damaged file is named."""
        draw_benchmark(tmp_path / "data", "rgbnt201", identities=(2, 2), views=2)
        broken = next((tmp_path / "data" / "RGBNT201" / "test" / "TI").iterdir())
        broken.write_bytes(broken.read_bytes()[:200])

        status, out, err = evaluate(capfd, bundle, "--data", tmp_path / "data", "--dataset", "rgbnt201")

        assert (status, out) == (2, "")
        assert broken.name in err
