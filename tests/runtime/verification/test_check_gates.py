"""check_bundle where artifacts are proved for the first time: departure, mAP and speed, one artifact or several."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mambapro.common.progress import silent
from mambapro.errors import AccuracyError, ParityError, SetupError
from mambapro.runtime.bundle.artifact import AccuracyGate, Sidecar, SpeedGate
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.catalog import add_artifact, update_sidecar
from mambapro.runtime.bundle.checksums import MODEL
from mambapro.runtime.data.sample import Benchmark
from mambapro.runtime.evaluation.gates import speed as racing
from mambapro.runtime.extractor import open_session
from mambapro.runtime.run_options import RunOptions
from mambapro.runtime.selection import candidates
from mambapro.runtime.verification import artifact_gates as module
from mambapro.runtime.verification.check import check_bundle

GATE = AccuracyGate("rgbnt201", 10, 20, 0.80, 0.795, 0.005, -0.01, 0.02, 0.01)
BENCHMARK = Benchmark("rgbnt201", (), (), (), "", (1, 1))


def change(folder: Path, number: int = 1, **fields: object) -> None:
    """Write other fields into a sidecar."""
    update_sidecar(folder, replace(Bundle.open(folder).artifacts[number], **fields))  # type: ignore[arg-type]


def of(folder: Path, precision: str = "int8") -> Sidecar:
    """The sidecar on the disk."""
    return next(item for item in Bundle.open(folder).artifacts if item.precision == precision)


@pytest.fixture(autouse=True)
def milliseconds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the race finds, to be changed by a test."""
    times = {"onnxruntime-int8": 2.0, "onnxruntime-fp32": 3.0, "onnxruntime-fp16": 4.0}
    monkeypatch.setattr(
        racing, "time_interleaved", lambda folder, items, *_, **__: {x.stem: (times[x.stem],) * 5 for x in items}
    )
    return times


class TestCheck:
    def test_verifies_what_was_built_elsewhere(self, with_int8: Path) -> None:
        """An unverified artifact that passes is verified from then on, with its numbers and the machine's name."""
        update_sidecar(with_int8, replace(Bundle.open(with_int8).artifacts[1], state="unverified"))

        report = check_bundle(with_int8, "cpu")

        assert [item.newly_verified for item in report.artifacts] == [False, True]
        after = Bundle.open(with_int8).artifacts[1]
        assert after.state == "verified" and after.cosine is not None and 0 < after.cosine.largest < 1e-2
        assert after.verified_on is not None and after.verified_on.startswith("CPUExecutionProvider")
        assert not any(item.newly_verified for item in check_bundle(with_int8, "cpu").artifacts)

    def test_departure_of_one_artifact_fails_the_bundle(self, with_int8: Path) -> None:
        """ParityError names it, and an unverified one stays unverified."""
        made = Bundle.open(with_int8).artifacts[1]
        update_sidecar(with_int8, replace(made, state="unverified", max_departure=1e-12))

        with pytest.raises(ParityError, match="onnxruntime-int8 does not return PyTorch's numbers"):
            check_bundle(with_int8, "cpu")
        assert Bundle.open(with_int8).artifacts[1].state == "unverified"
        assert check_bundle(with_int8, "cpu", precision="fp32").artifacts[0].artifact == "onnxruntime-fp32"

    def test_several_at_once(self, with_int8: Path, tmp_path: Path, sidecar_of: Callable[..., Sidecar]) -> None:
        """What the first one's proof changes in the bundle does not spoil the second one's."""
        shutil.copyfile(with_int8 / MODEL, tmp_path / "half.onnx")
        made = sidecar_of(tmp_path / "half.onnx", precision="fp16", state="unverified")
        add_artifact(with_int8, made, {made.file: tmp_path / "half.onnx"})
        change(with_int8, 2, state="unverified")

        report = check_bundle(with_int8, "cpu")

        assert [item.newly_verified for item in report.artifacts] == [False, True, True]
        assert of(with_int8).state == of(with_int8, "fp16").state == "verified"
        check_bundle(with_int8, "cpu")


class TestSpeed:
    def test_written_down(self, with_int8: Path) -> None:
        """int8 that is faster than the best other one of its target is verified with both times."""
        change(with_int8, state="unverified")

        check_bundle(with_int8, "cpu")

        assert of(with_int8).speed == SpeedGate(1, 2.0, "onnxruntime-fp32", 3.0, ratios=(1.5,) * 5)

    @pytest.mark.parametrize("time", [3.0, 3.5, float("nan")])
    def test_slower_or_equal(self, time: float, with_int8: Path, milliseconds: dict[str, float]) -> None:
        """AccuracyError (6), and it stays unverified; force verifies it and is written down."""
        change(with_int8, state="unverified")
        milliseconds["onnxruntime-int8"] = time

        with pytest.raises(AccuracyError, match=r"onnxruntime-int8 .* onnxruntime-fp32 3\.0 ms.*--force"):
            check_bundle(with_int8, "cpu")
        assert of(with_int8).state == "unverified" and of(with_int8).speed is None
        milliseconds["onnxruntime-int8"] = 3.0
        check_bundle(with_int8, "cpu", force=True)
        made = of(with_int8)
        assert made.state == "verified" and made.speed is not None and made.speed.forced

    def test_in_doubt(self, with_int8: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Faster in the median, but in three rounds of five alone: it is verified, and the report says so."""
        times = {"onnxruntime-int8": (1.0,) * 5, "onnxruntime-fp32": (0.8, 1.1, 1.2, 1.15, 0.9)}
        monkeypatch.setattr(racing, "time_interleaved", lambda *_, **__: times)
        change(with_int8, state="unverified")

        report = check_bundle(with_int8, "cpu")

        assert "not clearly faster than onnxruntime-fp32: 1.10 times as fast, 0.80 to 1.20 in 15 rounds" in str(report)
        assert of(with_int8).state == "verified"

    def test_not_raced_again(self, with_int8: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A race that was run where it was built stands, and a verified artifact is not raced."""
        monkeypatch.setattr(racing, "time_interleaved", lambda *_, **__: pytest.fail("raced"))
        check_bundle(with_int8, "cpu")
        change(with_int8, state="unverified", speed=SpeedGate(1, 1.0, "onnxruntime-fp32", 2.0))

        assert check_bundle(with_int8, "cpu").artifacts[1].newly_verified

    def test_nothing_to_race_against(self, with_int8: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is verified, and the report says what was not gated."""
        change(with_int8, state="unverified")
        alone = of(with_int8)
        with monkeypatch.context() as patch:
            patch.setattr(Bundle, "artifacts", property(lambda bundle: (alone,)))

            report = check_bundle(with_int8, "cpu")

        assert "speed not gated: no other precision of this target in the bundle" in str(report)
        assert of(with_int8).state == "verified" and of(with_int8).speed is None


class TestAccuracy:
    def test_made_up_for(self, with_int8: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A verified artifact without the gate gets it, once, against the exported model on the same device."""
        opened: list[RunOptions] = []
        monkeypatch.setattr(module, "open_session", lambda b, o, s: opened.append(o) or open_session(b, o, s))
        monkeypatch.setattr(module, "accuracy_gate", lambda *_: GATE)

        report = check_bundle(with_int8, "cpu", benchmark=BENCHMARK)

        assert [item.map_drop for item in report.artifacts] == [None, GATE.drop]
        assert of(with_int8).accuracy == GATE and of(with_int8).verified_on is None
        assert opened[-1] == RunOptions(device="cpu") and opened[0].device == "cpu"
        monkeypatch.setattr(module, "accuracy_gate", lambda *_: pytest.fail("run again"))
        check_bundle(with_int8, "cpu", benchmark=BENCHMARK)

    def test_lost(self, with_int8: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """AccuracyError (6) where the drop is above the limit; it is not taken here any more."""
        monkeypatch.setattr(module, "accuracy_gate", lambda *_: replace(GATE, drop=0.02))

        with pytest.raises(AccuracyError, match=r"loses 2\.00 points"):
            check_bundle(with_int8, "cpu", benchmark=BENCHMARK)
        assert of(with_int8).accuracy is None and of(with_int8).state == "unverified"
        assert candidates(Bundle.open(with_int8), RunOptions())[0].precision == "fp32"


class TestAnotherType:
    def test_bf16_without_bf16_stays_unverified(
        self, with_int8: Path, tmp_path: Path, sidecar_of: Callable[..., Sidecar], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A processor that computes bfloat16 in float32 proves nothing of it; the report says so."""
        from mambapro.runtime.backends import openvino

        monkeypatch.setattr(openvino, "_precision", lambda *_: "f32")
        made = sidecar_of(with_int8 / MODEL, "openvino", "bf16", state="unverified", hint="bf16", max_departure=1e-3)
        add_artifact(with_int8, replace(made, file=MODEL, onnx=MODEL), {})

        report = check_bundle(with_int8, "cpu", target="openvino")

        (found,) = report.artifacts
        assert found.notes == ("computed in f32 here: this processor has no bf16",) and not found.newly_verified
        assert "this processor has no bf16" in str(report) and of(with_int8, "bf16").state == "unverified"


def test_a_folder_that_cannot_be_written_hides_no_failure(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What departs from PyTorch is ParityError, also where the verdict cannot be written down, as a warning tells."""
    opened = Bundle.open(bundle)
    artifact = replace(opened.base, precision="fp16")

    def departs(*_: object) -> None:
        raise ParityError("it departs")

    def refused(*_: object) -> None:
        raise SetupError("no permission")

    monkeypatch.setattr(module.ArtifactGates, "_gated", departs)
    monkeypatch.setattr(module, "write_record", refused)

    with pytest.raises(ParityError, match="it departs"):
        module.ArtifactGates(opened, opened.golden(), RunOptions(), None, False, silent).check(artifact)

    assert "stays marked as verified: no permission" in caplog.text
