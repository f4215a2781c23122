"""The command line: what it prints where, and the exit code of everything that goes wrong."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mambapro.cli import main as entry
from mambapro.cli.main import cli, run
from mambapro.export.pipeline import export_bundle
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.synthetic.benchmark import draw_benchmark
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from doc_commands import blocks, differences

COMMANDS = sorted(cli.commands)
#: Commands with the outputs that the pages show, by name; the last of each on a bundle of re-identification.
SHOWN = {
    command.line.split()[1]: (block, command)
    for page in ("docs/commands.md", "README.md")
    for block in blocks(Path(__file__).parents[2] / page)
    for command in block.commands
    if command.output and command.line.startswith("mambapro ") and not re.search(r"\.demo/|attributes/", command.line)
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn benchmark of a few identities."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_benchmark(folder, "rgbnt201", identities=(4, 9), views=4)
    return folder


@pytest.fixture(scope="module")
def bundle(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the tiny checkpoint."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny.mambapro"
    return export_bundle(ExportOptions(tiny_checkpoint, output=folder)).bundle


@pytest.fixture
def copied(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle to damage."""
    target = tmp_path / "copy.mambapro"
    target.mkdir()
    for file in bundle.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def mambapro(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "mambapro", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def code(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command run in this process."""
    result = run([str(argument) for argument in arguments])
    said = capfd.readouterr()
    return result, said.out, said.err


class TestHelp:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_explains_itself(self, name: str) -> None:
        """--help describes the command and every option of it."""
        result = CliRunner().invoke(cli, [name, "--help"])

        assert result.exit_code == 0
        assert cli.commands[name].help
        options = [p for p in cli.commands[name].params if p.param_type_name == "option"]
        assert [option.name for option in options if not option.help] == []

    def test_export_has_a_name_of_its_own(self, capfd: pytest.CaptureFixture[str]) -> None:
        """`mambapro-export` is `mambapro export`."""
        assert run(["--help"], entry.export, "mambapro-export") == 0
        assert "mambapro-export" in capfd.readouterr().out

    def test_version(self, capfd: pytest.CaptureFixture[str]) -> None:
        """--version prints the version and ends well."""
        from mambapro import __version__

        result, out, _ = code(capfd, "--version")

        assert result == 0 and __version__ in out


class TestResults:
    def test_synth_train_export_eval(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """The whole way, command by command, on a few identities; results are JSON where asked for."""
        data, out, bundle = tmp_path / "data", tmp_path / "run", tmp_path / "run" / "best-fp16.mambapro"
        where = ("--data", data, "--dataset", "rgbnt201")

        assert (
            code(
                capfd,
                "synth",
                "--out",
                data,
                "--dataset",
                "rgbnt201",
                "--train-identities",
                8,
                "--test-identities",
                9,
                "--images",
                4,
            )[0]
            == 0
        )
        assert code(capfd, "train", "--config", "tiny", *where, "--out", out, "--epochs", 1)[0] == 0
        terms = ("--license", "MIT", "--card-note", "For tests")
        assert code(capfd, "export", "--ckpt", out / "best.pth", "--fp16", *where, *terms)[0] == 0
        card = (bundle / "MODEL_CARD.md").read_text()
        assert "| weights | MIT |" in card and "For tests" in card and "| model.onnx, fp16 | mAP | rgbnt201 |" in card
        status, evaluated, _ = code(capfd, "eval", bundle, *where, "--json")
        status_2, compared, _ = code(
            capfd, "compare", "--ckpt", out / "best.pth", bundle, *where, "--json", "--runs", 1
        )

        assert (status, status_2) == (0, 0)
        rows = json.loads(compared)["rows"]
        assert [row["model"] for row in rows] == ["PyTorch fp32", "best-fp16.mambapro"]
        assert rows[1]["map"] == pytest.approx(json.loads(evaluated)["map"], abs=1e-12)
        assert rows[1]["min_cosine"] > 1 - 1e-4

    def test_eval_of_a_checkpoint_equals_its_bundle(
        self, data: Path, bundle: Path, tiny_checkpoint: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The same command takes a checkpoint; the accuracy is that of the bundle."""
        where = ("--data", data, "--dataset", "rgbnt201", "--json")

        (_, ours, _), (_, theirs, _) = (code(capfd, "eval", model, *where) for model in (bundle, tiny_checkpoint))

        assert json.loads(ours)["map"] == pytest.approx(json.loads(theirs)["map"], abs=1e-6)

    def test_results_go_to_standard_output_alone(self, bundle: Path) -> None:
        """With --json standard output is JSON and nothing else; progress is on standard error."""
        done = mambapro("check", bundle, "--json")

        assert done.returncode == 0
        assert json.loads(done.stdout)["samples"] == 14
        assert "Hashing" in done.stderr

    def test_extract_writes_embeddings(self, bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Folders in, an .npz out; a sensor without a folder is missing and counted."""
        for name in ("a.jpg", "b.jpg"):
            (tmp_path / "rgb").mkdir(exist_ok=True)
            Image.new("RGB", (40, 80), (200, len(name), 3)).save(tmp_path / "rgb" / name)

        status, out, _ = code(
            capfd, "extract", bundle, "--rgb", tmp_path / "rgb", "--out", tmp_path / "features.npz", "--json"
        )

        assert status == 0
        assert json.loads(out)["missing"] == {"rgb": 0, "nir": 2, "tir": 2}
        with np.load(tmp_path / "features.npz") as arrays:
            assert arrays["names"].tolist() == ["a", "b"]
            np.testing.assert_allclose(np.linalg.norm(arrays["embeddings"], axis=1), 1, atol=1e-6)

    def test_bench_reports_percentiles(self, bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """bench prints percentiles for every batch size, end to end and of the model alone."""
        status, out, _ = code(capfd, "bench", bundle, "--batch", "1,2", "--runs", 2, "--warmup", 0, "--json")

        assert status == 0
        assert len(json.loads(out)["timings"]) == 4

    def test_env_names_the_provider_in_use(self, capfd: pytest.CaptureFixture[str]) -> None:
        """env tells the provider that really ran a model."""
        status, out, _ = code(capfd, "env", "--json")

        assert status == 0
        assert json.loads(out)["provider"].endswith("ExecutionProvider")

    def test_dry_run_prints_the_plan(self, tiny_checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """--dry-run tells what would be done and writes no bundle."""
        status, out, _ = code(capfd, "export", "--ckpt", tiny_checkpoint, "--fp16", "--dry-run")

        assert status == 0
        assert "fp32 stays in" in out
        assert not tiny_checkpoint.with_name("best-fp16.mambapro").exists()


class TestUsage:
    """Exit code 2."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["expotr"], "No such command"),
            (["export"], "--ckpt"),
            (["export", "--ckpt", "none.pth", "--license", ""], "license must have 1 to 4,000 letters, not 0"),
            (["export", "--ckpt", "none.pth"], "No checkpoint at none.pth"),
            (["export", "--ckpt", "none.pth", "--image-size", "256"], "256x128"),
            (["export", "--ckpt", __file__, "--max-cosine-distance", "-1"], "between 0 and 2"),
            (["bench", "none", "--batch", "1;2"], "commas"),
            (["check", "none"], "does not exist"),
            (["train", "--config", "tyni", "--data", "d", "--dataset", "rgbnt201", "--out", "o"], "tiny"),
            (["synth", "--out", "x", "--dataset", "market"], "rgbnt201"),
        ],
    )
    def test_is_told(self, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
        """What was wrong and what is allowed, on standard error."""
        status, out, err = code(capfd, *arguments)

        assert (status, out) == (2, "")
        assert message in err.replace("\n", " ")

    def test_an_empty_data_folder(self, bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """An empty folder, and one of another benchmark, are told with what was expected."""
        for folder in (tmp_path / "empty", tmp_path / "wrong"):
            folder.mkdir()
        (tmp_path / "wrong" / "images").mkdir()

        for folder in ("empty", "wrong"):
            status, _, err = code(capfd, "eval", bundle, "--data", tmp_path / folder, "--dataset", "rgbnt201")

            assert status == 2
            assert "train_171" in err

    def test_an_unreadable_image(self, bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A zero-byte image is named, and no output is written."""
        (tmp_path / "rgb").mkdir()
        (tmp_path / "rgb" / "a.jpg").touch()

        status, _, err = code(capfd, "extract", bundle, "--rgb", tmp_path / "rgb", "--out", tmp_path / "f.npz")

        assert status == 2
        assert "a.jpg" in err
        assert not (tmp_path / "f.npz").exists()

    def test_strict_cameras(self, bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A camera outside the table is refused when that is asked for."""
        (tmp_path / "rgb").mkdir()
        Image.new("RGB", (32, 64)).save(tmp_path / "rgb" / "x_cam9.png")
        call = ("extract", bundle, "--rgb", tmp_path / "rgb", "--camera-pattern", r"cam(\d)", "--out")

        assert code(capfd, *call, tmp_path / "a.npz")[0] == 0
        status, _, err = code(capfd, *call, tmp_path / "b.npz", "--strict-cameras")

        assert status == 2
        assert "9" in err and "0" in err


class TestArtifacts:
    """Exit code 7."""

    def test_a_truncated_checkpoint(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A damaged checkpoint ends with 7 and leaves no bundle."""
        (tmp_path / "bad.pth").write_bytes(b"PK\x03\x04 nothing more")

        assert code(capfd, "export", "--ckpt", tmp_path / "bad.pth")[0] == 7
        assert [path.name for path in tmp_path.iterdir()] == ["bad.pth"]

    def test_another_model(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A checkpoint of something else ends with 7."""
        torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")

        assert code(capfd, "export", "--ckpt", tmp_path / "other.pth", "--dataset", "rgbnt201")[0] == 7

    @pytest.mark.parametrize("name", ("model.onnx", "metadata.json", "golden.npz", "parity.json"))
    def test_a_changed_byte(self, name: str, copied: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """One flipped bit in any file of a bundle is found and the file named."""
        content = bytearray((copied / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copied / name).write_bytes(content)

        status, _, err = code(capfd, "check", copied)

        assert status == 7
        assert name in err

    @pytest.mark.parametrize("name", ("model.onnx", "metadata.json", "golden.npz", "parity.json", "SHA256SUMS"))
    def test_a_missing_file(self, name: str, copied: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A file that is gone is named."""
        (copied / name).unlink()

        status, _, err = code(capfd, "bench", copied)

        assert status == 7
        assert name in err


class TestEnvironment:
    """Exit code 3."""

    def test_a_missing_package(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        """Without the export extra the command says which extra to install."""
        for name in [name for name in sys.modules if name.startswith("mambapro.export")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "onnx", None)

        status, _, err = code(capfd, "export", "--ckpt", "x.pth")

        assert status == 3
        assert "mambapro[export]" in err

    def test_cuda_that_is_not_there(self, bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Asking for CUDA on a machine without it is an error, and a warning where fallback is allowed."""
        import onnxruntime

        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("this ONNX Runtime has CUDA")

        assert code(capfd, "check", bundle, "--device", "cuda")[0] == 3
        status, _, err = code(capfd, "check", bundle, "--device", "cuda", "--allow-fallback")

        assert status == 0
        assert "CPUExecutionProvider" in err


def test_parity_failure_is_5(tiny_checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A limit below what float16 can do ends with 5, the whole table, and no bundle."""
    call = ("export", "--ckpt", tiny_checkpoint, "--fp16", "--max-cosine-distance", 1e-13, "--output", tmp_path / "out")

    status, _, err = code(capfd, *call)

    assert status == 5
    assert "rgb+nir+tir" in err and "first stage that departs" in err
    assert list(tmp_path.iterdir()) == []


class TestHostileNames:
    """Names of files and folders that move the cursor, break lines or change the direction of writing."""

    #: Its second line is one that a result could begin with.
    NAME = "a\x1b[2J\x9b\u202eb\nfeatures.npz: 1000 embeddings"

    @pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
    def test_every_kind_of_name(
        self, as_json: list[str], copied: Path, data: Path, tiny_checkpoint: Path, tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        """Bundles, folders, images, checkpoints and outputs of such names work; nothing of the names acts."""
        folder = tmp_path / self.NAME
        folder.mkdir()
        bundle, checkpoint = folder / f"{self.NAME}.mambapro", folder / f"{self.NAME}.safetensors"
        copied.rename(bundle)
        checkpoint.write_bytes(tiny_checkpoint.read_bytes())
        benchmark = folder / "data"
        benchmark.symlink_to(data)
        Image.new("RGB", (40, 80), (200, 5, 3)).save(folder / f"{self.NAME}.png")
        where = ("--data", benchmark, "--dataset", "rgbnt201")
        commands: list[tuple[object, ...]] = [
            ("check", bundle),
            ("bench", bundle, "--runs", 1, "--warmup", 0),
            ("extract", bundle, "--rgb", folder, "--out", folder / f"{self.NAME}.npz"),
            ("extract", bundle, "--rgb", folder, "--out", folder / f"{self.NAME}.npz"),
            ("eval", bundle, *where, "--bootstrap", 0, "--strips", folder / "strips", "--strips-count", 1),
            ("export", "--ckpt", checkpoint, *where, "--dry-run", "--output", folder / "new"),
        ]

        for command in commands:
            status, out, err = code(capfd, *command, *as_json)

            # the second extraction finds its file there
            assert status == (2 if command is commands[3] else 0), err
            assert not [char for char in out + err if char != "\n" and not char.isprintable()]
            assert not [line for line in out.splitlines() if line.startswith("features.npz: 1000")]
            if as_json and not status:
                json.loads(out)


class TestReadme:
    """Outputs in README and docs/commands.md are those of the commands: a part of what `make docs-check` checks."""

    @pytest.mark.parametrize("name", ["eval", "bench", "extract", "info", "check"])
    def test_output(
        self, name: str, copied: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        """A command prints what the page shows, but for numbers, on a bundle of one artifact."""
        monkeypatch.chdir(tmp_path)
        for there in ("best-fp16.mambapro", "best-fp32.mambapro"):
            Path(there).symlink_to(copied)
        Path("data").symlink_to(data)
        block, command = SHOWN[name]
        block = replace(block, varies=(*block.varies, "^bundle|^best, "))
        # the bundle of the test holds fewer artifacts than the README's
        others = ("onnxruntime-fp16 ", "onnxruntime-int8", "openvino", "tensorrt")
        shown = [
            re.sub(r"\b(onnxruntime|openvino)-(fp16|int8)\b|, on CPU,", self._same, line)
            for line in command.output
            if not line.startswith(others)
        ]

        status, out, err = code(capfd, *shlex.split(command.line)[1:])

        assert status == 0, err
        assert differences(shown, out.splitlines(), block, counts=False) == []

    @staticmethod
    def _same(found: re.Match[str]) -> str:
        return "onnxruntime-fp32" if found[1] else ", on CPUExecutionProvider,"
