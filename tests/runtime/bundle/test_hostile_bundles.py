"""Odd and hostile bundles end in an error of this package, soon, whatever reads them."""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import odd_bundles
import pytest
from mambapro.errors import ArtifactError, InputError, MambaProError
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.checksums import GOLDEN, METADATA, MODEL, PARITY, SUMS, write_sums
from mambapro.runtime.bundle.metadata_parts import Embedding, Precision
from mambapro.runtime.bundle.tensors import TensorInfo
from mambapro.runtime.extractor import Extractor
from mambapro.runtime.run_options import RunOptions
from mambapro.runtime.session import Session
from mambapro.runtime.verification.check import check_bundle

#: What runs although it is odd: the Extractor reads no goldens and no limit where it takes the model itself.
HARMLESS = {"metadata_escape_sequences", "sidecar_deep", "sidecar_names_outside", "sidecar_engine_without_needs"}


@pytest.mark.parametrize("name", odd_bundles.changes())
def test_every_reader_refuses(name: str, bundle: Path) -> None:
    """check and Extractor: an error with a documented exit code, in seconds, without a gigabyte, safe to print."""
    odd_bundles.changes()[name](bundle)
    if not name.startswith("unlisted"):
        write_sums(bundle)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()

    for read in (check_bundle, Extractor):
        try:
            read(bundle, "cpu")
        except MambaProError as error:
            assert str(error).isprintable() or all(c.isprintable() or c == "\n" for c in str(error))
            assert len(str(error)) < 3000
        else:
            assert name in HARMLESS or (read is Extractor and name.startswith(("golden", "parity", "sidecar")))

    # the machine may be busy
    assert time.process_time() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20


def test_all_are_written(bundle: Path, tmp_path: Path) -> None:
    """The corpus is one folder for each kind, of a good bundle that stays as it is."""
    good = (bundle / SUMS).read_bytes()

    paths = odd_bundles.write_all(tmp_path, bundle)

    assert len(paths) == len(odd_bundles.changes()) > 50 and all(path.is_dir() for path in paths)
    assert (bundle / SUMS).read_bytes() == good


class TestLimits:
    @pytest.mark.parametrize("text", ["Infinity", "-Infinity", "1e999", "NaN", "-1", "0", "[1]", "null"])
    def test_limit_that_lets_everything_pass(self, text: str, bundle: Path) -> None:
        """A parity limit is a positive finite number, or the bundle is refused."""
        (bundle / PARITY).write_text(f'{{"limit": {text}}}')
        write_sums(bundle)

        with pytest.raises(ArtifactError, match="positive number `limit`"):
            check_bundle(bundle, "cpu")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_goldens_that_are_not_finite(self, value: float, bundle: Path) -> None:
        """They prove nothing: ArtifactError."""
        odd_bundles._golden(bundle, "embedding", value)
        write_sums(bundle)

        with pytest.raises(ArtifactError, match="not finite"):
            check_bundle(bundle, "cpu")

    def test_sizes_that_are_claimed(self) -> None:
        """Axes, numbers of an embedding and types have limits before anything is made of them."""
        with pytest.raises(InputError, match="8 axes"):
            TensorInfo("x", "image", "uint8", ("batch", *[1] * 8), "x")
        with pytest.raises(InputError, match="at most"):
            Embedding(2**20 + 1)
        with pytest.raises(InputError, match="label must be one of"):
            Precision("fp3", {})

    def test_images_of_12000_x_12000(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Refused by what they would take, and let through by the option that allows it."""
        odd_bundles._huge(bundle, 12_000)
        write_sums(bundle)

        with pytest.raises(ArtifactError, match=r"1,296,\d\d\d,\d\d\d bytes .* MAMBAPRO_MAX_GIB"):
            Bundle.open(bundle)
        monkeypatch.setenv("MAMBAPRO_MAX_GIB", "2")
        assert Bundle.open(bundle).metadata.preprocessing.height == 12_000


class TestLitter:
    NAMES = (
        ".DS_Store",
        "Thumbs.db",
        "desktop.ini",
        "._model.onnx",
        ".nfs0000000001",
        "@eaDir/model.onnx@SynoEAStream",
    )

    def test_files_of_file_managers_are_named_and_ignored(self, bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
        """They are in the report and in a warning, and neither in the hashes nor in the way of a new export."""
        for name in self.NAMES:
            (bundle / name).parent.mkdir(exist_ok=True)
            (bundle / name).write_bytes(b"x")

        report = check_bundle(bundle, "cpu")

        assert sorted(report.ignored) == sorted(self.NAMES)
        assert all(name in caplog.text and name in str(report) for name in self.NAMES)
        write_sums(bundle)
        assert not any(name in (bundle / SUMS).read_text() for name in self.NAMES)

    def test_a_new_export_takes_the_folder_for_a_bundle(self, bundle: Path) -> None:
        """Such files do not keep an export from replacing the bundle that they lie in."""
        pytest.importorskip("torch")
        from mambapro.export.pipeline import is_bundle

        (bundle / ".DS_Store").write_bytes(b"x")

        assert is_bundle(bundle)

    @pytest.mark.parametrize("name", [".DS_Store.onnx", "notes.txt", "thumbs", "nfs1", "desktop.ini.exe", ".hidden"])
    def test_other_files_are_refused(self, name: str, bundle: Path) -> None:
        """A file that only looks alike is named, with what to do."""
        (bundle / name).write_bytes(b"x")

        with pytest.raises(ArtifactError, match=f"{name} is not listed in SHA256SUMS: .*move it elsewhere"):
            check_bundle(bundle, "cpu")

    def test_listed_files_are_the_bundles_whatever_their_name(self, bundle: Path) -> None:
        """What SHA256SUMS lists is hashed: nothing hides behind such a name."""
        (bundle / ".DS_Store").write_bytes(b"x")
        with open(bundle / SUMS, "a") as file:
            file.write(f"{'0' * 64}  .DS_Store\n")

        with pytest.raises(ArtifactError, match=r"\.DS_Store is not the file"):
            check_bundle(bundle, "cpu")


class TestLinks:
    def test_bundle_of_links(self, bundle: Path, tmp_path: Path) -> None:
        """A download cache of links is refused, with two ways to a bundle of files."""
        blobs, cache = tmp_path / "blobs", tmp_path / "snapshots.mambapro"
        shutil.copytree(bundle, blobs)
        cache.mkdir()
        for path in blobs.iterdir():
            (cache / path.name).symlink_to(os.path.relpath(path, cache))

        with pytest.raises(ArtifactError, match=r"outside the bundle, which is never followed\. .*cp -rL.*local_dir="):
            Bundle.open(cache)
        shutil.copytree(cache, tmp_path / "copy.mambapro")
        check_bundle(tmp_path / "copy.mambapro", "cpu")

    def test_volume_of_kubernetes(self, bundle: Path) -> None:
        """Links that stay inside, by way of a folder of the day: it is a bundle like any other."""
        day = bundle / "..2030_01_31_12_00_00.123"
        day.mkdir()
        for path in [path for path in bundle.iterdir() if path.is_file()]:
            path.rename(day / path.name)
            path.symlink_to(f"..data/{path.name}")
        (bundle / "..data").symlink_to(day.name)

        report = check_bundle(bundle, "cpu")

        assert len(report.ignored) == 6

    @pytest.mark.parametrize("target", ["../../{name}", "/etc/hostname", "sub/../../x", ".."])
    def test_links_that_leave(self, target: str, bundle: Path) -> None:
        """However they are written: ArtifactError."""
        (bundle / "sub").mkdir()
        (bundle / MODEL).unlink()
        (bundle / MODEL).symlink_to(target.format(name=bundle.name))

        with pytest.raises(ArtifactError, match="outside the bundle"):
            Bundle.open(bundle).read(MODEL)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may enter any folder")
    def test_folder_without_permission(self, bundle: Path) -> None:
        """InputError names the permissions, instead of missing files."""
        bundle.chmod(0o600)
        try:
            with pytest.raises(InputError, match=r"may not be entered: .*chmod u\+rx"):
                Bundle.open(bundle)
        finally:
            bundle.chmod(0o700)


def test_replay_of_a_model_that_returns_nothing_finite(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN and infinity are no numbers of PyTorch's: the check fails, whatever the limit is."""
    from mambapro.errors import ParityError
    from mambapro.runtime.verification.replay import replay

    golden = Bundle.open(bundle).golden()
    with Session(Bundle.open(bundle), RunOptions(device="cpu")) as session:
        for value in (np.nan, np.inf, 0.0):
            outputs = {name: np.full_like(rows, value) for name, rows in golden.outputs.items()}
            monkeypatch.setattr(Session, "run", lambda *_, outputs=outputs: outputs)
            with pytest.raises(ParityError):
                replay(session, golden, np.inf)


def test_the_smaller_limit_counts(make_bundle: Callable[..., Path], bundle: Path, changed: Path) -> None:
    """A foreign bundle that allows itself 1 - cosine of 2 fails where it departs, and is told where it passes; the
    caller may allow more."""
    from mambapro.errors import ParityError

    folder = make_bundle("loose", limit=2.0)
    (found,) = check_bundle(folder, "cpu").artifacts
    assert found.limit == 1e-8 and "the bundle's own limit 2 does not count, 1e-08 does" in str(found)

    shutil.copyfile(changed, folder / MODEL)
    write_sums(folder)
    with pytest.raises(ParityError, match=r"limit 1e-08; the bundle's own limit 2 does not count"):
        check_bundle(folder, "cpu")
    (found,) = check_bundle(folder, "cpu", max_departure=1e-3).artifacts
    assert found.limit == 1e-3 and "the limit 0.001 was asked for, 1e-08 is usual" in str(found)
    (found,) = check_bundle(make_bundle("strict", limit=1e-9), "cpu").artifacts
    assert found.limit == 1e-9 and found.notes == ()
    assert {GOLDEN, METADATA} <= Bundle.open(folder).sums.keys()


@pytest.mark.parametrize("limit", [np.inf, np.nan, -1.0, 0.0, 3.0])
def test_limits_that_decide_nothing(limit: float, bundle: Path) -> None:
    """A limit that is asked for and that nothing exceeds, or everything, is InputError before anything is read."""
    with pytest.raises(InputError, match=r"--max-cosine-distance must be above 0 and at most 2"):
        check_bundle(bundle, "cpu", max_departure=limit)
    with pytest.raises(InputError, match=r"--max-map-drop, in points, must be above 0 and at most 100"):
        check_bundle(bundle, "cpu", max_map_drop=limit)


@pytest.mark.parametrize("variable", ["MAMBAPRO_GRAPH_SECONDS", "MAMBAPRO_MAX_GIB"])
def test_an_option_that_is_wrong_is_no_fault_of_the_bundle(
    variable: str, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """InputError names the variable; the bundle is not called damaged."""
    monkeypatch.setenv(variable, "soon")

    for open_it in (check_bundle, Extractor):
        with pytest.raises(InputError, match=rf"^{variable} is 'soon'"):
            open_it(bundle, "cpu")  # type: ignore[operator]
