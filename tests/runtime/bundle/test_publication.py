"""The files of a bundle and its list change together: whole, or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mambapro.common.files.atomic import sha256_of
from mambapro.errors import ArtifactError, SetupError
from mambapro.runtime.bundle.artifact import Sidecar
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.catalog import add_artifact, update_sidecar
from mambapro.runtime.bundle.check_record import read_record, write_record
from mambapro.runtime.bundle.checksums import CHECKS, MODEL, SUMS
from mambapro.runtime.bundle.publication import locked
from mambapro.runtime.extractor import Extractor
from mambapro.runtime.verification.check import check_bundle


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, hidden ones included."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Disk:
    """A disk that is full at the nth call of os.open for writing, os.fsync or os.replace."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: int, error: int = errno.ENOSPC) -> None:
        self.left, self.error, self.hit = step, error, False
        for name in ("open", "fsync", "replace"):
            monkeypatch.setattr(os, name, self.watched(name, getattr(os, name)))

    def watched(self, name: str, real: Callable) -> Callable:
        """The call, or the error of it."""

        def call(*arguments: object, **others: object) -> object:
            writes = name != "open" or arguments[1] & os.O_CREAT  # type: ignore[operator]
            if writes and not self.hit:
                self.hit = self.left == 0
                self.left -= 1
                if self.hit:
                    raise OSError(self.error, os.strerror(self.error))
            return real(*arguments, **others)

        return call


@pytest.mark.parametrize("step", range(16))
def test_a_full_disk_keeps_the_old_artifact(
    step: int,
    with_int8: Path,
    changed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sidecar_of: Callable[..., Sidecar],
) -> None:
    """Wherever the disk is full: SetupError says that all is as before, and it is, to the byte."""
    new = tmp_path / "new.onnx"
    shutil.copyfile(with_int8 / MODEL, new)
    made, before = sidecar_of(new), contents(with_int8)
    disk = Disk(monkeypatch, step)

    try:
        add_artifact(with_int8, made, {made.file: new})
    except SetupError as error:
        assert "as before" in str(error) and "No space left" in str(error)
        monkeypatch.undo()
        assert contents(with_int8) == before
    else:
        monkeypatch.undo()
        # after the new list is in place nothing is needed any more; and there are fewer steps than were tried
        assert step >= 12
        assert Bundle.open(with_int8).artifacts[1] == made
    assert disk.hit or step > 12
    with Extractor(with_int8, "cpu", precision="int8") as extractor:
        assert extractor.artifact.precision == "int8"


def test_update_on_a_full_disk(with_int8: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sidecar that cannot be replaced stays, and stays listed."""
    made, before = Bundle.open(with_int8).artifacts[1], contents(with_int8)
    Disk(monkeypatch, 2)

    with pytest.raises(SetupError, match="Its files and its list are as before"):
        update_sidecar(with_int8, replace(made, state="unverified"))
    monkeypatch.undo()

    assert contents(with_int8) == before


@pytest.fixture
def unverified(bundle: Path, changed: Path, sidecar_of: Callable[..., Sidecar]) -> Path:
    """The bundle with a float16 artifact that nobody has verified; int8 would have to win a race as well."""
    made = sidecar_of(changed, precision="fp16", state="unverified", max_departure=1e-4)
    add_artifact(bundle, made, {made.file: changed})
    return bundle


def test_check_on_a_full_disk_drops_nothing(unverified: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SetupError; hashes, sidecars and what was known of the artifacts are as before."""
    before = contents(unverified)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(SetupError):
        check_bundle(unverified, "cpu")
    monkeypatch.undo()

    assert contents(unverified) == before
    assert check_bundle(unverified, "cpu").artifacts[1].newly_verified


class TestRecord:
    def test_check_changes_nothing_that_is_hashed(self, unverified: Path) -> None:
        """What a check finds stands in checks.json alone, and counts from then on."""
        before = contents(unverified)

        check_bundle(unverified, "cpu")

        assert {name for name, content in contents(unverified).items() if before.get(name) != content} == {CHECKS}
        found = Bundle.open(unverified).artifacts[1]
        assert found.state == "verified" and found.cosine is not None and found.verified_on
        check_bundle(unverified, "cpu")

    def test_rebuilt_artifact_starts_anew(self, unverified: Path, tmp_path: Path) -> None:
        """The record is of one sidecar: another one of the same name has to be proved again."""
        check_bundle(unverified, "cpu")
        new = tmp_path / "new.onnx"
        shutil.copyfile(unverified / MODEL, new)
        made = replace(Bundle.open(unverified).artifacts[1], state="unverified", sha256=sha256_of(new))

        add_artifact(unverified, made, {made.file: new})

        assert Bundle.open(unverified).artifacts[1].state == "unverified"

    @pytest.mark.parametrize("text", ["{", "[]", '{"schema": "mambapro.checks/9", "artifacts": {}}', "[" * 99_999])
    def test_record_that_cannot_be_read_is_ignored(
        self, text: str, unverified: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A warning names it, and the sidecar counts."""
        (unverified / CHECKS).write_text(text)

        assert Bundle.open(unverified).artifacts[1].state == "unverified"
        assert "checks.json is ignored" in caplog.text

    def test_failed_check_is_remembered(self, with_int8: Path) -> None:
        """What fails is not taken any more, and the bundle's own files stay as they were."""
        made = Bundle.open(with_int8).artifacts[1]
        update_sidecar(with_int8, replace(made, max_departure=1e-12))
        before = (with_int8 / SUMS).read_bytes()

        with pytest.raises(Exception, match="does not return PyTorch's numbers"):
            check_bundle(with_int8, "cpu")

        assert Bundle.open(with_int8).artifacts[1].state == "unverified"
        assert (with_int8 / SUMS).read_bytes() == before
        with pytest.raises(ArtifactError, match="not verified"):
            Extractor(with_int8, "cpu", precision="int8")


def test_checks_write_one_after_the_other(with_int8: Path) -> None:
    """What one check writes down waits for whoever changes the bundle, and keeps what the other found."""
    bundle = Bundle.open(with_int8)
    artifact = bundle.artifacts[1]
    writer = threading.Thread(target=write_record, args=(bundle, artifact))

    with locked(with_int8):
        writer.start()
        writer.join(0.2)
        waited = writer.is_alive() and not (with_int8 / CHECKS).exists()
    writer.join(30)

    assert waited and list(read_record(bundle.files)) == [artifact.stem]


def test_a_disk_without_locks(
    with_int8: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a folder cannot be locked the list is changed all the same, and a warning tells what that means."""

    def no_locks(handle: int, how: int) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    changed = replace(Bundle.open(with_int8).artifacts[1], verified_on="here")

    update_sidecar(with_int8, changed)

    assert Bundle.open(with_int8).artifacts[1].verified_on == "here"
    assert "lies on a disk without locks (Bad file descriptor)" in caplog.text
