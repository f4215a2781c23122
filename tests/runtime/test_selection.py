"""Which artifact is loaded: the next one where one cannot be, and never another than was asked for by name."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import ArtifactError, InputError, SetupError
from mambapro.plugins.selective_scan.openvino import extension
from mambapro.runtime import loader as module
from mambapro.runtime.backends import openvino
from mambapro.runtime.bundle.artifact import EngineNeeds, Plugin, Profile, Sidecar
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.catalog import update_sidecar
from mambapro.runtime.bundle.checksums import write_sums
from mambapro.runtime.compatibility import Machine, verdict
from mambapro.runtime.extractor import Extractor, open_session
from mambapro.runtime.loader import open_fastest
from mambapro.runtime.run_options import RunOptions
from mambapro.runtime.verification.check import check_bundle


def without_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without compiler and without the package onnx."""

    def refuse() -> Path:
        raise SetupError("no C++ compiler found for this test.")

    real = importlib.util.find_spec
    monkeypatch.setattr(extension, "build", refuse)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "onnx" else real(name, *more))


def damaged_file(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The artifact's file is not the one that was built."""
    with (bundle / "openvino-fp32.onnx").open("ab") as file:
        file.write(b"more")


def no_model(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is listed with its hash, but is no model."""
    (bundle / "openvino-fp32.onnx").write_bytes(b"no model")
    write_sums(bundle)
    found = Bundle.open(bundle)
    sidecar = (bundle / "openvino-fp32.json").read_text()
    old = sidecar.split('"sha256": "')[1][:64]
    (bundle / "openvino-fp32.json").write_text(sidecar.replace(old, found.sums["openvino-fp32.onnx"]))
    write_sums(bundle)


def no_compiler(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO is there, but neither the extension nor onnx."""
    without_extension(monkeypatch)


def broken_library(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is found, but cannot be imported."""

    def refuse() -> None:
        raise SetupError("OpenVINO cannot be imported for this test.")

    monkeypatch.setattr(openvino, "import_openvino", refuse)


def damaged_sidecar(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands beside the file cannot be read."""
    (bundle / "openvino-fp32.json").write_text("{")
    write_sums(bundle)


DAMAGES = [damaged_file, no_model, no_compiler, broken_library, damaged_sidecar]
Damage = Callable[[Path, pytest.MonkeyPatch], None]


@pytest.mark.parametrize("damage", DAMAGES)
class TestOneBadArtifact:
    """One bad artifact never hides a good one."""

    def test_the_next_one_is_taken_and_told(
        self,
        damage: Damage,
        with_openvino: Path,
        images: dict,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Nothing was asked for: ONNX Runtime runs, and a warning names what was left out and why."""
        with Extractor(with_openvino, "cpu", target="onnxruntime") as extractor:
            wanted = extractor.embed(images)
        damage(with_openvino, monkeypatch)

        with caplog.at_level(logging.WARNING, "mambapro"), Extractor(with_openvino, "cpu") as extractor:
            found = extractor.embed(images)

        assert extractor.artifact.stem == "onnxruntime-fp32"
        np.testing.assert_array_equal(found, wanted)
        assert "openvino-fp32" in caplog.text and {record.levelname for record in caplog.records} == {"WARNING"}

    def test_asked_for_by_name_it_is_an_error(
        self, damage: Damage, with_openvino: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing else is taken in its place."""
        damage(with_openvino, monkeypatch)

        with pytest.raises((ArtifactError, SetupError)):
            Extractor(with_openvino, "cpu", target="openvino")

    def test_check_goes_on(self, damage: Damage, with_openvino: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The other artifact is replayed and reported: beside the failure, or beside why the one does not run here."""
        damage(with_openvino, monkeypatch)

        try:
            text = str(check_bundle(with_openvino, "cpu"))
            assert "not run: OpenVINO" in text
        except ArtifactError as error:
            text = str(error)
            assert "openvino-fp32" in text

        assert "onnxruntime-fp32" in text and "on CPUExecutionProvider" in text


def test_without_extension_nothing_is_announced(
    with_openvino: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where onnx is missing the function is no way out: SetupError says what is missing, and promises nothing."""
    without_extension(monkeypatch)

    with caplog.at_level(logging.WARNING, "mambapro"), pytest.raises(SetupError) as caught:
        Extractor(with_openvino, "cpu", target="openvino")

    assert "no C++ compiler found for this test" in str(caught.value) and "mambapro[calib]" in str(caught.value)
    assert "runs as its ONNX function" not in caplog.text


def test_the_extensions_compiling_is_no_loading(with_openvino: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes half a minute the first time: the budget of a model begins when it is done."""
    order: list[str] = []
    build, within = extension.build, module.within

    def built() -> Path:
        order.append("build")
        return build()

    def timed(*arguments: object) -> object:
        order.append("budget")
        return within(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(extension, "build", built)
    monkeypatch.setattr(module, "within", timed)

    Extractor(with_openvino, "cpu", target="openvino").close()

    assert order == ["build", "budget", "build"]


def test_nothing_that_can_be_loaded(
    with_openvino: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The error has the reason of each; missing libraries are exit code 3."""
    broken_library(with_openvino, monkeypatch)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(SetupError, match=r"(?s)openvino-fp32: .*\n  onnxruntime-fp32: .*mambapro\[cpu\]"):
        Extractor(with_openvino, "cpu")
    with pytest.raises(SetupError, match=r"(?s)can run here.*onnxruntime-fp32: not run.*openvino-fp32: not run"):
        check_bundle(with_openvino, "cpu")


def test_an_engine_without_what_it_needs(with_int8: Path, sidecar_of: Callable[..., Sidecar], changed: Path) -> None:
    """ArtifactError, not an assertion, for a sidecar whose engine section is missing."""
    with pytest.raises(ArtifactError, match="does not say what its engine needs"):
        module.open_backend(
            Bundle.open(with_int8), replace(Bundle.open(with_int8).artifacts[1], target="tensorrt"), RunOptions()
        )


def test_an_artifact_by_itself(with_int8: Path, tmp_path: Path) -> None:
    """The artifact that is passed runs, whatever its state, and all other options stay."""
    options = RunOptions("cpu", threads=1, mode="throughput", cache=tmp_path)
    artifact = replace(Bundle.open(with_int8).artifacts[1], state="unverified")

    with open_session(with_int8, options, artifact) as session:
        assert session.artifact == artifact
        assert session.options == replace(options, target="onnxruntime", precision="int8", unverified=True)


class TestArguments:
    @pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"mode": "x"}, "mode must be one of latency, throughput"),
            ({"device": "gpu"}, "device must be one of auto, cpu, cuda"),
            ({"batch_size": "8"}, "batch_size must be a whole number, at least 1, or left out, not '8'"),
            ({"batch_size": 2.5}, "batch_size must be a whole number"),
            ({"batch_size": True}, "batch_size must be a whole number"),
            ({"batch_size": 0}, "batch_size must be a whole number"),
            ({"threads": "2"}, "threads must be a whole number"),
            ({"threads": 0}, "threads must be a whole number"),
            ({"cache": 3}, "cache must be the path of a folder, not 3"),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_wrong_ones_are_input_errors(self, with_openvino: Path, target: str, given: dict, words: str) -> None:
        """On every backend, with what is allowed."""
        with pytest.raises(InputError, match=words):
            Extractor(with_openvino, target=target, **{"device": "cpu", **given})

    def test_numbers_of_numpy_are_numbers(self, with_openvino: Path) -> None:
        """An np.int64 is a whole number."""
        with Extractor(with_openvino, "cpu", batch_size=np.int64(3), threads=np.int32(1)) as extractor:
            assert extractor.batch_size == 3 and extractor.backend.threads == 1

    def test_a_cache_may_be_a_string(self, with_openvino: Path, tmp_path: Path) -> None:
        """The compiled model is kept there, in a folder that is closed to others."""
        for kept in (False, True):
            with Extractor(with_openvino, "cpu", target="openvino", cache=str(tmp_path / "kept")) as extractor:
                assert extractor.backend.from_cache is kept  # type: ignore[attr-defined]

        assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700

    def test_a_cache_that_others_may_write_is_refused(self, with_openvino: Path, tmp_path: Path) -> None:
        """Compiled models are code: SetupError names the folder and its mode."""
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o777)

        with pytest.raises(SetupError, match=r"open may be written by others \(mode 0777\)"):
            Extractor(with_openvino, "cpu", target="openvino", cache=tmp_path / "open")


class TestEngines:
    NEEDS = EngineNeeds("10.12.0.36", ("8.6",), "same", False, "linux-x86_64", Plugin("none"))

    def state(self, sidecar: Sidecar, capability: str = "8.6", version: str = "10.12.0.36", **needs: object) -> str:
        """The verdict of an engine on a machine."""
        machine = Machine("linux-x86_64", "a GPU", capability, None, {"tensorrt": version}, builder=True)
        engine = replace(self.NEEDS, **needs)  # type: ignore[arg-type]
        return verdict(replace(sidecar, target="tensorrt", onnx="x.onnx", engine=engine), machine).state

    def test_ampere_begins_at_8_0(self, with_int8: Path) -> None:
        """8.0 is among "ampere+", 7.5 is not, and 10.0 is newer than 8.0."""
        sidecar = Bundle.open(with_int8).artifacts[1]

        found = {c: self.state(sidecar, c, hardware="ampere+") for c in ("7.5", "8.0", "8.9", "10.0", "12.0")}

        assert found == {"7.5": "rebuild", "8.0": "fit", "8.9": "fit", "10.0": "fit", "12.0": "fit"}

    def test_version_compatible_engines(self, with_int8: Path) -> None:
        """They load on their own version and later ones of the same major version, not on earlier ones."""
        sidecar = Bundle.open(with_int8).artifacts[1]
        versions = ("10.11.0.33", "10.12.0.35", "10.12.0.36", "10.12.0", "10.13.0.1", "11.0.0.1")

        loose = [self.state(sidecar, version=version, version_compatible=True) for version in versions]
        strict = [self.state(sidecar, version=version) for version in versions]

        assert loose == ["rebuild", "rebuild", "fit", "fit", "fit", "rebuild"]
        assert strict == ["rebuild", "rebuild", "fit", "fit", "rebuild", "rebuild"]

    def test_an_engine_asked_for_by_name_that_does_not_fit(self, with_int8: Path) -> None:
        """ArtifactError with the reason; without a name the next artifact runs."""
        sidecar = Bundle.open(with_int8).artifacts[1]
        update_sidecar(with_int8, replace(sidecar, state="unverified"))

        with pytest.raises(ArtifactError, match="onnxruntime-int8: not verified"):
            open_fastest(Bundle.open(with_int8), RunOptions("cpu", target="onnxruntime", precision="int8"))
        chosen, backend = open_fastest(Bundle.open(with_int8), RunOptions(device="cpu"))
        backend.close()
        assert chosen.precision == "fp32"

    @pytest.mark.parametrize(("asked", "size", "runs"), [(None, 4, [4, 3]), (3, 3, [3, 3]), (2, 2, [3, 3, 3])])
    def test_the_profile_bounds_every_run(
        self, with_int8: Path, images: dict, asked: int | None, size: int, runs: list[int]
    ) -> None:
        """Batches from 3 to 4: five samples run as told, the last filled up, and come back once each."""
        sidecar = Bundle.open(with_int8).artifacts[1]
        with Extractor(with_int8, "cpu") as extractor:
            wanted = extractor.embed(images)
        update_sidecar(with_int8, replace(sidecar, profile=Profile(3, 4, 4)))
        with Extractor(with_int8, "cpu", batch_size=asked) as extractor:
            run, seen = extractor.backend.run, []
            extractor.backend.run = lambda feeds: seen.append(len(feeds["rgb"])) or run(feeds)  # type: ignore[method-assign]
            found = extractor.embed(images)

        assert (extractor.batch_size, seen) == (size, runs)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
