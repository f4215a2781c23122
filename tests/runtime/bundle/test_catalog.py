"""Artifacts of a bundle: listed atomically, found, chosen; their state changes where a machine proves them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_cuda import FakeDriver
from mambapro.errors import AccuracyError, ArtifactError, InputError
from mambapro.plugins.cuda import driver as cuda_driver
from mambapro.runtime import selection as opening
from mambapro.runtime.bundle import catalog as module
from mambapro.runtime.bundle.artifact import (
    AccuracyGate,
    CosineGate,
    EngineNeeds,
    Plugin,
    Profile,
    Sidecar,
    SpeedGate,
    read_sidecar,
)
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.catalog import (
    add_artifact,
    matching,
    update_sidecar,
)
from mambapro.runtime.bundle.checksums import MODEL, SUMS
from mambapro.runtime.bundle.publication import locked, publish
from mambapro.runtime.bundle.stage import scratch_copy, scratch_folder
from mambapro.runtime.evaluation.gates.accuracy import require_accuracy
from mambapro.runtime.extractor import Extractor
from mambapro.runtime.loader import open_fastest
from mambapro.runtime.run_options import RunOptions
from mambapro.runtime.selection import candidates
from mambapro.runtime.verification.check import check_bundle


class TestSidecar:
    def test_survives_json(self, changed: Path, tmp_path: Path, sidecar_of: Callable[..., Sidecar]) -> None:
        """Everything a sidecar can hold comes back equal."""
        made = sidecar_of(
            changed,
            hint="bf16",
            profile=Profile(1, 4, 16),
            engine=EngineNeeds(
                "10.3.0", ("8.7",), "same", False, "linux-aarch64", Plugin("external", "p.so", "0" * 64)
            ),
            cosine=CosineGate(1e-3, 1e-4, 1e-2, 14),
            accuracy=AccuracyGate("rgbnt201", 10, 20, 0.8, 0.79, 0.01, -0.01, 0.02, 0.01),
            speed=SpeedGate(1, 5.0, "openvino-bf16", 10.0),
            calibration="1" * 64,
            quantized=("backbone.layers.0.mlp.inner",),
            widened=("a",),
            versions={"onnx": "1"},
        )
        path = tmp_path / "x.json"
        path.write_text(json.dumps(made.to_json()))

        assert read_sidecar(path) == made
        assert made.speed is not None and made.speed.ratio == 2

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"target": "tpu"}, "target must be one of"),
            ({"precision": "fp8"}, "precision must be one of"),
            ({"state": "fine"}, "state must be one of"),
            ({"surplus": 1}, "surplus is unknown"),
            ({"build": {"seconds": 1.0}}, "build.bytes is missing"),
            ({"schema": "mambapro.artifact/3"}, "schema"),
        ],
    )
    def test_wrong_ones_are_refused(
        self, change: dict, words: str, changed: Path, sidecar_of: Callable[..., Sidecar]
    ) -> None:
        """ArtifactError names the field."""
        with pytest.raises(ArtifactError, match=words):
            Sidecar.from_json({**sidecar_of(changed).to_json(), **change})

    def test_profile_in_order(self) -> None:
        """InputError for a largest batch below the usual one."""
        with pytest.raises(InputError, match="smallest <= usual <= largest"):
            Profile(1, 8, 4)


class TestAdd:
    def test_listed_and_found(self, with_int8: Path) -> None:
        """The exported model stays first; the new file is hashed, and a check of the bundle passes."""
        bundle = Bundle.open(with_int8)

        assert [item.stem for item in bundle.artifacts] == ["onnxruntime-fp32", "onnxruntime-int8"]
        assert [item.artifact for item in check_bundle(with_int8, "cpu").artifacts] == [
            "onnxruntime-fp32",
            "onnxruntime-int8",
        ]

    def test_replaced_whole(self, with_int8: Path, tmp_path: Path, sidecar_of: Callable[..., Sidecar]) -> None:
        """The second of the same name takes the place of the first, files that it no longer has included."""
        (tmp_path / "new.onnx").write_bytes((with_int8 / MODEL).read_bytes())
        (tmp_path / "table").write_text("{}")
        made = sidecar_of(tmp_path / "new.onnx")
        add_artifact(
            with_int8, made, {made.file: tmp_path / "new.onnx", "onnxruntime-int8.scales.json": tmp_path / "table"}
        )
        (tmp_path / "new.onnx").write_bytes((with_int8 / MODEL).read_bytes())
        add_artifact(with_int8, made, {made.file: tmp_path / "new.onnx"})

        assert not (with_int8 / "onnxruntime-int8.scales.json").exists()
        assert read_sidecar(with_int8 / "onnxruntime-int8.json") == made
        check_bundle(with_int8, "cpu")

    @pytest.mark.parametrize("step", range(5))
    def test_interrupted_anywhere_leaves_the_old_or_none(
        self,
        step: int,
        with_int8: Path,
        changed: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        sidecar_of: Callable[..., Sidecar],
    ) -> None:
        """Killed at the nth change of the disk: what is listed is whole, and another build puts everything right."""
        shutil.copyfile(with_int8 / MODEL, tmp_path / "new.onnx")
        made = sidecar_of(tmp_path / "new.onnx")
        real, count = os.replace, 0

        def killed(source: object, target: object, **folders: int) -> None:
            nonlocal count
            if count == step:
                raise KeyboardInterrupt
            count += 1
            real(source, target, **folders)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "replace", killed)
        with contextlib.suppress(KeyboardInterrupt):
            add_artifact(with_int8, made, {made.file: tmp_path / "new.onnx"})
        monkeypatch.undo()

        bundle = Bundle.open(with_int8)
        for name in bundle.sums:
            bundle.file(name)
        assert len(bundle.artifacts) in (1, 2)
        shutil.copyfile(with_int8 / MODEL, tmp_path / "again.onnx")
        add_artifact(with_int8, made, {made.file: tmp_path / "again.onnx"})
        check_bundle(with_int8, "cpu")

    def test_left_over_file_is_explained(self, bundle: Path) -> None:
        """A check names a file that an interrupted build left, and says what to do."""
        (bundle / "openvino-int8.onnx").write_bytes(b"half")

        with pytest.raises(ArtifactError, match=r"openvino-int8\.onnx is not listed.*interrupted, build it again"):
            check_bundle(bundle, "cpu")

    def test_foreign_names_are_refused(self, bundle: Path, changed: Path, sidecar_of: Callable[..., Sidecar]) -> None:
        """Nothing but files of an artifact enters a bundle this way."""
        with pytest.raises(InputError, match=r"model\.onnx is no name"):
            add_artifact(bundle, sidecar_of(changed), {MODEL: changed})

    @pytest.mark.parametrize("name", ["onnxruntime-int8.onnx", "onnxruntime-int8.json"])
    def test_changed_file_is_never_used(self, name: str, with_int8: Path) -> None:
        """ArtifactError where an artifact's file or its sidecar is not the one that was listed."""
        (with_int8 / name).write_bytes((with_int8 / name).read_bytes() + b" ")

        with pytest.raises(ArtifactError, match="is not the file that was exported"):
            Extractor(with_int8, target="onnxruntime", precision="int8")

    def test_sidecar_of_another_file(self, with_int8: Path, tmp_path: Path) -> None:
        """Where the lists agree but the sidecar speaks of another content the artifact is left out, and told why."""
        update_sidecar(with_int8, replace(Bundle.open(with_int8).artifacts[1], sha256="0" * 64))

        bundle = Bundle.open(with_int8)
        usable, broken = bundle.artifacts, bundle.damaged

        assert [item.stem for item in usable] == ["onnxruntime-fp32"]
        assert list(broken) == ["onnxruntime-int8"] and "is of another" in str(broken["onnxruntime-int8"])
        with pytest.raises(ArtifactError, match="is of another"):
            matching(Bundle.open(with_int8), "onnxruntime", "int8")


class TestScratch:
    def test_copy_is_a_bundle_and_changes_nothing(
        self, with_int8: Path, changed: Path, tmp_path: Path, sidecar_of: Callable[..., Sidecar]
    ) -> None:
        """What is added to the copy is not in the bundle, and the copy is gone afterwards."""
        before = (with_int8 / SUMS).read_text()
        shutil.copyfile(with_int8 / MODEL, tmp_path / "other.onnx")
        with scratch_copy(Bundle.open(with_int8)) as copy:
            made = sidecar_of(tmp_path / "other.onnx")
            add_artifact(copy, made, {made.file: tmp_path / "other.onnx"})
            assert (copy / SUMS).read_text() != before

        assert (with_int8 / SUMS).read_text() == before
        assert list(with_int8.parent.glob(".*build")) == []
        check_bundle(with_int8, "cpu")

    def test_copied_while_another_build_goes_on(self, with_int8: Path) -> None:
        """What was listed when the bundle was opened may be gone; the copy waits for a list that is being changed."""
        opened = Bundle.open(with_int8)
        copies: list[list[str]] = []

        def copy() -> None:
            with scratch_copy(opened) as folder:
                copies.append([item.stem for item in Bundle.open(folder).artifacts])

        other = threading.Thread(target=copy)
        with locked(with_int8) as files:
            other.start()
            other.join(0.3)
            assert other.is_alive()
            publish(files, {}, [name for name in opened.sums if name.startswith("onnxruntime-int8")])
        other.join(10)

        assert copies == [["onnxruntime-fp32"]]

    def test_without_links(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file system that has no links gets copies."""
        monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError("no links")))

        with scratch_copy(Bundle.open(bundle)) as copy:
            check_bundle(copy, "cpu")

            names = sorted(path.name for path in bundle.iterdir() if not path.name.startswith("."))
            assert sorted(path.name for path in copy.iterdir()) == names
            for name in names:
                assert (copy / name).stat().st_nlink == 1
                assert (copy / name).read_bytes() == (bundle / name).read_bytes()

    def test_what_a_killed_build_left_is_removed(self, bundle: Path) -> None:
        """The next one clears folders that nobody uses; one in use, and those of other bundles, stay."""
        parent = bundle.parent
        left, other = parent / f".{bundle.name}.abcd1234.build", parent / f".x{bundle.name}.abcd1234.build"
        for folder in (left, other):
            (folder / "content" / "deep").mkdir(parents=True)

        with scratch_folder(Bundle.open(bundle)) as first, scratch_folder(Bundle.open(bundle)) as second:
            assert not left.exists() and other.exists()
            assert first.exists() and second.exists()
        assert list(parent.glob(".*build")) == [other]

    def test_torn_lists_and_sidecars_are_cleared(
        self, bundle: Path, changed: Path, sidecar_of: Callable[..., Sidecar]
    ) -> None:
        """A process killed while it wrote SHA256SUMS or a sidecar: check explains it, the next build clears it."""
        left = [bundle / f".{SUMS}.ab_d1234", bundle / ".onnxruntime-int8.abcd1234.json"]
        for path in left:
            path.write_text("half")
        with pytest.raises(ArtifactError) as caught:
            check_bundle(bundle, "cpu")
        assert str(caught.value).count("left by a build that was interrupted") == 2
        assert all(module.is_artifact_file(path.name) for path in left)
        made = sidecar_of(changed)

        add_artifact(bundle, made, {made.file: changed})

        assert not any(path.exists() for path in left)
        check_bundle(bundle, "cpu")

    def test_scratch_folders_of_killed_processes(
        self, bundle: Path, changed: Path, sidecar_of: Callable[..., Sidecar]
    ) -> None:
        """One in which the list or a sidecar was being written is no part of the bundle, and goes with the next."""
        left = [bundle / f".{name}.abcd1234.partial" for name in (SUMS, "onnxruntime-int8.json")]
        for folder in left:
            (folder / "content").mkdir(parents=True)
            (folder / "content" / "half").touch()
        check_bundle(bundle, "cpu")
        assert all(module.is_artifact_file(path.name) for path in left)
        made = sidecar_of(changed)

        add_artifact(bundle, made, {made.file: changed})

        assert not any(path.exists() for path in left)

    def test_an_artifact_that_was_built_meanwhile(
        self, bundle: Path, changed: Path, tmp_path: Path, sidecar_of: Callable[..., Sidecar]
    ) -> None:
        """Without overwrite it stays; the usual error is raised under the lock, and the files are not touched."""
        made, second = sidecar_of(changed), tmp_path / "second.onnx"
        shutil.copyfile(changed, second)
        add_artifact(bundle, made, {made.file: changed})
        before = (bundle / SUMS).read_text()

        with pytest.raises(InputError, match=r"has onnxruntime-int8 already\. Replace it with --overwrite"):
            add_artifact(bundle, made, {made.file: second}, overwrite=False)

        assert (bundle / SUMS).read_text() == before and second.exists()

    def test_other_hidden_files_are_nobodys(self) -> None:
        """Names that only look alike are left alone."""
        for name in (f".{SUMS}", f".{SUMS}.old", f"{SUMS}.abcd1234", f".{SUMS}.abcd1234.txt", ".model.abcd1234.onnx"):
            assert not module.is_artifact_file(name)


class TestChoose:
    def test_fastest_by_default(self, with_int8: Path, caplog: pytest.LogCaptureFixture) -> None:
        """int8 before fp32, and it says so; a precision that is asked for is taken."""
        bundle = Bundle.open(with_int8)
        with caplog.at_level(logging.INFO, "mambapro"):
            artifact, backend = open_fastest(bundle, RunOptions("cpu"))
        backend.close()
        assert artifact.precision == "int8" and "running onnxruntime-int8" in caplog.text
        assert candidates(bundle, RunOptions(precision="fp32"))[0].file == MODEL

    def test_onnxruntime_on_a_gpu(self, with_int8: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It has no int8 products there, so int8 comes last; its package and the driver tell."""
        driver = FakeDriver()
        monkeypatch.setattr(cuda_driver, "library", lambda: driver)
        bundle = Bundle.open(with_int8)
        assert candidates(bundle, RunOptions())[0].precision == "int8"

        monkeypatch.setattr(opening, "installed_version", lambda *_: "1.31.1")

        assert candidates(bundle, RunOptions())[0].precision == "fp32"
        assert candidates(bundle, RunOptions(device="cpu"))[0].precision == "int8"
        driver.gpus = 0
        assert candidates(bundle, RunOptions())[0].precision == "int8"

    def test_extractor_runs_what_it_says(self, with_int8: Path, images: dict) -> None:
        """The two artifacts return different features: each extractor runs its own."""
        found = {}
        for precision in ("fp32", "int8"):
            with Extractor(with_int8, "cpu", precision=precision) as extractor:
                assert extractor.artifact.precision == precision
                found[precision] = extractor.embed(images)

        assert 0 < np.abs(found["fp32"] - found["int8"]).max() < 0.1

    def test_unverified_is_not_taken(self, with_int8: Path) -> None:
        """By default the next one; asked for by name, ArtifactError says how to verify it; `unverified` takes it."""
        update_sidecar(with_int8, replace(Bundle.open(with_int8).artifacts[1], state="unverified"))
        bundle = Bundle.open(with_int8)

        assert candidates(bundle, RunOptions())[0].precision == "fp32"
        with pytest.raises(ArtifactError, match="not verified on any machine yet; run mambapro check"):
            candidates(bundle, RunOptions(precision="int8"))[0]
        assert candidates(bundle, RunOptions(precision="int8", unverified=True))[0].precision == "int8"

    @pytest.mark.parametrize(("target", "precision"), [("tensorrt", None), ("openvino", None), ("openvino", "int8")])
    def test_absent_ones(self, target: str | None, precision: str | None, with_int8: Path) -> None:
        """InputError says what the bundle has and how to build the other."""
        with pytest.raises(InputError, match=r"only onnxruntime-fp32, onnxruntime-int8\. Build it: mambapro build"):
            matching(Bundle.open(with_int8), target, precision)

    def test_what_is_never_built(self, bundle: Path) -> None:
        """No command is recommended that would be refused."""
        with pytest.raises(InputError, match=r"openvino has no fp16: on CPUs it computes in bf16 or float32"):
            matching(Bundle.open(bundle), "openvino", "fp16")

    def test_unknown_names(self, bundle: Path) -> None:
        """InputError lists the names that there are."""
        with pytest.raises(InputError, match="target must be one of onnxruntime, openvino"):
            Extractor(bundle, target="tflite")

    def test_largest_batch_of_an_engine_bounds_the_batch(self, with_int8: Path) -> None:
        """An artifact with a profile is never given more samples than it takes."""
        update_sidecar(with_int8, replace(Bundle.open(with_int8).artifacts[1], profile=Profile(1, 2, 3)))

        assert Extractor(with_int8, "cpu").batch_size == 3

    def test_smallest_batch_of_an_engine_is_filled_up(self, with_int8: Path, images: dict) -> None:
        """An artifact is never given fewer samples than it takes; what was filled in does not come back."""
        with Extractor(with_int8, "cpu") as extractor:
            expected = extractor.embed(images)
        update_sidecar(with_int8, replace(Bundle.open(with_int8).artifacts[1], profile=Profile(3, 4, 4)))
        with Extractor(with_int8, "cpu") as extractor:
            run, sizes = extractor.backend.run, []
            extractor.backend.run = lambda feeds: sizes.append({len(x) for x in feeds.values()}) or run(feeds)  # type: ignore[method-assign]
            found = extractor.embed(images)

        assert sizes == [{4}, {3}]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

    def test_slower_one_kept_by_force_comes_later(self, with_int8: Path) -> None:
        """Nothing asked for: what it lost to is taken. By name it is still to be had, and a faster one goes first."""
        made = Bundle.open(with_int8).artifacts[1]
        slow = SpeedGate(1, 5.0, "onnxruntime-fp32", 5.0, forced=True)
        update_sidecar(with_int8, replace(made, speed=slow))
        bundle = Bundle.open(with_int8)

        assert candidates(bundle, RunOptions())[0].precision == "fp32"
        assert candidates(bundle, RunOptions(precision="int8"))[0].precision == "int8"
        update_sidecar(with_int8, replace(made, speed=replace(slow, other_milliseconds=5.1)))
        assert candidates(Bundle.open(with_int8), RunOptions())[0].precision == "int8"
        # the rounds tell more than the medians
        update_sidecar(with_int8, replace(made, speed=replace(slow, ratios=(0.9, 1.1, 1.1))))
        assert candidates(Bundle.open(with_int8), RunOptions())[0].precision == "int8"

    @pytest.mark.parametrize(
        ("other", "listed", "first"),
        [
            ("onnxruntime-bf16", {}, "fp32"),
            ("onnxruntime-bf16", {"onnxruntime-fp32": 0.9}, "fp32"),
            ("onnxruntime-bf16", {"onnxruntime-fp32": 1.0}, "fp32"),
            ("onnxruntime-bf16", {"onnxruntime-fp32": 1.4}, "int8"),
        ],
    )
    def test_what_it_lost_to_is_not_in_the_bundle(
        self, other: str, listed: dict[str, float], first: str, with_int8: Path
    ) -> None:
        """int8 that lost to a file that was never added is compared with what is there; not compared, it comes last."""
        made = Bundle.open(with_int8).artifacts[1]
        lost = SpeedGate(1, 5.0, other, 4.0, forced=True, ratios=(0.8, 0.8, 0.9), listed=listed)
        update_sidecar(with_int8, replace(made, speed=lost))

        assert candidates(Bundle.open(with_int8), RunOptions())[0].precision == first
        assert Bundle.open(with_int8).artifacts[1].speed == lost


def test_accuracy_gate_says_what_is_lost() -> None:
    """AccuracyError (6) with both numbers and the interval; NaN fails; a gain passes."""
    gate = AccuracyGate("rgbnt201", 10, 20, 0.80, 0.78, 0.02, 0.01, 0.03, 0.01)

    with pytest.raises(AccuracyError, match=r"loses 2\.00 points of mAP .* 78\.00 % instead of 80\.00 %"):
        require_accuracy(gate, "openvino-int8")
    with pytest.raises(AccuracyError):
        require_accuracy(replace(gate, drop=float("nan")), "openvino-int8")
    require_accuracy(replace(gate, drop=-0.02), "openvino-int8")
    assert AccuracyError.exit_code == 6


def test_base_artifact_is_the_exported_model(bundle: Path) -> None:
    """It has no file of its own, and its limit is that of the parity run."""
    base = Bundle.open(bundle).base

    assert (base.stem, base.file, base.max_departure) == ("onnxruntime-fp32", MODEL, 1e-8)
    assert module.is_artifact_file("openvino-int8.onnx") and not module.is_artifact_file(MODEL)
