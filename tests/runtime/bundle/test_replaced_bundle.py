"""A bundle that is replaced while it is opened: whoever opens it has one of the two, whole."""

from __future__ import annotations

import pickle
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mambapro.common.files.exchange import exchange
from mambapro.errors import ArtifactError, InputError
from mambapro.runtime.bundle.artifact import Sidecar
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.catalog import add_artifact
from mambapro.runtime.bundle.checksums import GOLDEN, METADATA, MODEL, SUMS, BundleReplacedError, write_sums
from mambapro.runtime.bundle.metadata_parts import FeatureSpace
from mambapro.runtime.bundle.stage import scratch_copy
from mambapro.runtime.extractor import Extractor
from mambapro.runtime.verification.check import check_bundle


@pytest.fixture
def other(make_bundle: Callable[..., Path], bundle: Path, changed: Path) -> Path:
    """A bundle of another model and another fingerprint."""
    folder = make_bundle("other", fingerprint="f" * 64, feature_space=FeatureSpace("f" * 64))
    shutil.copyfile(changed, folder / MODEL)
    write_sums(folder)
    return folder


def test_openings_while_it_is_replaced(bundle: Path, other: Path, images: dict[str, np.ndarray]) -> None:
    """Embeddings are those of the fingerprint, at every one of 40 openings, under exchanges without pause."""
    expected = {}
    for folder in (bundle, other):
        with Extractor(folder, "cpu") as extractor:
            expected[extractor.fingerprint] = extractor(**images)
    ended, found = threading.Event(), []

    def replace_it() -> None:
        while not ended.is_set():
            if not exchange(other, bundle):
                pytest.skip("this system cannot exchange two folders")

    replacing = threading.Thread(target=replace_it)
    replacing.start()
    try:
        for _ in range(40):
            with Extractor(bundle, "cpu") as extractor:
                found.append((extractor.fingerprint, extractor(**images)))
    finally:
        ended.set()
        replacing.join()

    assert {fingerprint for fingerprint, _ in found} == set(expected)
    for fingerprint, embeddings in found:
        np.testing.assert_array_equal(embeddings, expected[fingerprint])


def test_all_of_one_opening_is_of_one_folder(bundle: Path, other: Path) -> None:
    """Metadata, model, goldens and limit stay those of the folder that was opened, whatever has its name now."""
    opened, before = Bundle.open(bundle), (bundle / MODEL).read_bytes()
    fingerprint = opened.metadata.fingerprint

    assert exchange(bundle, other)

    assert opened.read(MODEL) == before != (bundle / MODEL).read_bytes()
    assert opened.golden().samples == 7 and opened.parity_limit() == 1e-8
    with opened.loadable(MODEL) as copy:
        assert copy.path.read_bytes() == before
    assert opened.metadata.fingerprint == fingerprint != Bundle.open(bundle).metadata.fingerprint


def test_a_folder_that_went_says_so(bundle: Path, other: Path) -> None:
    """BundleReplacedError advises to try again, where the files of the opened folder are gone."""
    opened = Bundle.open(bundle)
    exchange(bundle, other)
    shutil.rmtree(other)

    for call in (lambda: opened.read(MODEL), opened.golden, opened.parity_limit, opened.require_current):
        with pytest.raises(BundleReplacedError, match=r"was replaced or rebuilt while it was being read\. Try again"):
            call()
    with pytest.raises(BundleReplacedError):
        Extractor(opened, "cpu")


def test_extractor_opens_anew(bundle: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path whose folder is replaced between its metadata and its model is opened again: the new one is whole."""
    real, left = Bundle.open.__func__, []  # type: ignore[attr-defined]

    def replaced_once(cls: type[Bundle], path: Path, verify: bool = True) -> Bundle:
        found = real(cls, path, verify)
        if not left:
            exchange(bundle, other)
            shutil.rmtree(other)
            left.append(found)
        return found

    monkeypatch.setattr(Bundle, "open", classmethod(replaced_once))

    with Extractor(bundle, "cpu") as extractor:
        assert extractor.fingerprint == "f" * 64


def test_file_that_changes_while_it_is_read_is_refused(bundle: Path, changed: Path) -> None:
    """A hostile writer who writes into the model between its hash and its use reaches nobody."""
    opened = Bundle.open(bundle)

    with opened.loadable(MODEL) as copy:
        before = copy.path.read_bytes()
        (bundle / MODEL).write_bytes(b"\0" * 100)

        assert copy.path.read_bytes() == before
        with pytest.raises(OSError):
            copy.path.write_bytes(b"\0")
    with pytest.raises(ArtifactError, match=r"model\.onnx is not the file"), opened.loadable(MODEL):
        pass


def test_handles_are_closed(bundle: Path) -> None:
    """Twenty openings leave no descriptor."""
    Bundle.open(bundle).golden()
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(20):
        with Bundle.open(bundle).loadable(MODEL):
            pass

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_build_whose_source_was_replaced_adds_nothing(
    bundle: Path, other: Path, changed: Path, sidecar_of: Callable[..., Sidecar]
) -> None:
    """BundleReplacedError instead of an artifact of the old model in the new bundle, whose files stay as they are."""
    made = sidecar_of(changed, source=Bundle.open(bundle).sums[MODEL])
    exchange(bundle, other)
    before = sorted(path.name for path in bundle.iterdir()), (bundle / SUMS).read_bytes()

    with pytest.raises(BundleReplacedError, match=r"was replaced while onnxruntime-int8 was built.*nothing was added"):
        add_artifact(bundle, made, {made.file: changed})

    assert (sorted(path.name for path in bundle.iterdir()), (bundle / SUMS).read_bytes()) == before


def test_copy_of_a_replaced_bundle_is_refused(bundle: Path, other: Path) -> None:
    """A build that opened one bundle does not go on in a copy of another."""
    opened = Bundle.open(bundle)
    exchange(bundle, other)

    with pytest.raises(BundleReplacedError), scratch_copy(opened):
        pass


def test_check_of_a_bundle_that_is_replaced(bundle: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check says that it was of a bundle that is not there any more, not that all is well."""
    real = Bundle.golden

    def golden(self: Bundle) -> object:
        found = real(self)
        exchange(bundle, other)
        return found

    monkeypatch.setattr(Bundle, "golden", golden)

    with pytest.raises(BundleReplacedError):
        check_bundle(bundle, "cpu")


def test_artifact_of_another_model_is_refused(bundle: Path, changed: Path, sidecar_of: Callable[..., Sidecar]) -> None:
    """A model.onnx that was put in the place of the one that an artifact was built from: ArtifactError."""
    made = sidecar_of(changed, source=Bundle.open(bundle).sums[MODEL])
    copy = changed.with_name("copy.onnx")
    shutil.copyfile(changed, copy)
    add_artifact(bundle, made, {made.file: changed})
    shutil.copyfile(copy, bundle / MODEL)
    write_sums(bundle)

    with pytest.raises(ArtifactError, match=r"onnxruntime-int8\.json was built from another model\.onnx"):
        check_bundle(bundle, "cpu")
    assert {GOLDEN, METADATA} < {path.name for path in bundle.iterdir()}


def test_another_working_directory_replaces_nothing(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that was opened by a relative path stays itself, pickled too, where the process goes elsewhere."""
    monkeypatch.chdir(bundle.parent)
    extractor = Extractor(bundle.name, "cpu")
    image = np.zeros((9, 7, 3), np.uint8)
    expected = extractor(image)

    (tmp_path / "elsewhere" / bundle.name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")

    extractor._bundle.require_current()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(extractor))(image), expected)


@pytest.mark.parametrize("given", [7, b"x.mambapro", None])
def test_what_is_no_path(given: object) -> None:
    """InputError says what a bundle is given by."""
    with pytest.raises(InputError, match="by the path of its folder, not by "):
        Extractor(given)  # type: ignore[arg-type]
