"""Features that are kept: by all that they depend on, read with distrust, of one user alone, of bounded size."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import SetupError
from mambapro.runtime.data.image_settings import ImageSettings, using_image_settings
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.data.sample import ImageSource, Sample
from mambapro.runtime.evaluation import feature_cache as module
from mambapro.runtime.evaluation.feature_cache import FeatureCache, extractor_identity, features_key, images_digest
from mambapro.runtime.extractor import Extractor

KEY = "a" * 64


@pytest.fixture
def features() -> np.ndarray:
    """Some of three samples."""
    return np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    """An empty one."""
    return FeatureCache(tmp_path / "cache" / "features")


def test_what_is_kept_comes_back(cache: FeatureCache, features: np.ndarray) -> None:
    """Bit for bit, under its key alone; the folder is its owner's."""
    assert cache.get(KEY, 3) is None

    cache.put(KEY, features)

    np.testing.assert_array_equal(cache.get(KEY, 3), features)
    assert cache.get("b" * 64, 3) is None
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert [path.name for path in cache.folder.iterdir()] == [f"{KEY}.npz"]


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 half an archive", {"features": np.ones((2, 4), np.float32), "key": np.array(KEY)},
     {"features": np.ones((3, 4), np.float64), "key": np.array(KEY)}, {"features": np.ones(3, np.float32)},
     {"features": np.full((3, 4), np.nan, np.float32), "key": np.array(KEY)},
     {"features": np.ones((3, 4), np.float32), "key": np.array("b" * 64)}, {"key": np.array(KEY)},
     {"features": np.array([object()] * 3), "key": np.array(KEY)}],
    ids=["empty", "torn", "rows", "type", "no key", "NaN", "other key", "no features", "objects"],
)  # fmt: skip
def test_a_bad_entry_is_none(content: bytes | dict, cache: FeatureCache, features: np.ndarray) -> None:
    """What is damaged, of another shape, type or key, not finite or of objects is not used, and is replaced."""
    cache.put(KEY, features)
    path = cache.folder / f"{KEY}.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)

    assert cache.get(KEY, 3) is None
    cache.put(KEY, features)
    np.testing.assert_array_equal(cache.get(KEY, 3), features)


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o755])
def test_a_folder_of_others_is_not_used(mode: int, cache: FeatureCache, features: np.ndarray) -> None:
    """Where others may write or look, nothing is read and nothing is kept."""
    cache.put(KEY, features)
    cache.folder.chmod(mode)

    assert cache.get(KEY, 3) is None
    cache.put("b" * 64, features)
    assert not (cache.folder / f"{'b' * 64}.npz").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users of POSIX")
def test_files_of_another_user_are_not_used(
    cache: FeatureCache, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that somebody else put there is not read."""
    cache.put(KEY, features)
    other = os.geteuid() + 1
    monkeypatch.setattr(module.os, "geteuid", lambda: other)

    assert cache.get(KEY, 3) is None


def test_a_link_in_place_of_the_folder_is_not_used(cache: FeatureCache, features: np.ndarray, tmp_path: Path) -> None:
    """The folder has to be a folder."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    cache.folder.parent.mkdir()
    cache.folder.symlink_to(tmp_path / "elsewhere")

    cache.put(KEY, features)

    assert list((tmp_path / "elsewhere").iterdir()) == [] and cache.get(KEY, 3) is None


def test_no_place_is_no_error(features: np.ndarray, tmp_path: Path) -> None:
    """Where a file stands in the way nothing is kept, and nothing fails."""
    (tmp_path / "file").touch()
    cache = FeatureCache(tmp_path / "file" / "features")

    cache.put(KEY, features)

    assert cache.get(KEY, 3) is None


def test_a_user_without_a_home_keeps_nothing(features: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """No place for a cache is no error."""

    def nowhere() -> Path:
        raise SetupError("no home")

    monkeypatch.setattr(module, "cache_folder", nowhere)
    cache = FeatureCache(module.features_folder())

    cache.put(KEY, features)

    assert cache.get(KEY, 3) is None


def test_the_longest_unused_goes_first(cache: FeatureCache, features: np.ndarray) -> None:
    """Room for two: a third pushes out the one that was read longest ago; one that is too large is not kept at all."""
    cache.put("a" * 64, features)
    size = (cache.folder / f"{'a' * 64}.npz").stat().st_size
    small = FeatureCache(cache.folder, 2 * size + size // 2)
    small.put("b" * 64, features)
    os.utime(cache.folder / f"{'a' * 64}.npz", ns=(1, 1))
    os.utime(cache.folder / f"{'b' * 64}.npz", ns=(2, 2))
    assert small.get("a" * 64, 3) is not None

    small.put("c" * 64, features)

    assert sorted(path.name[0] for path in cache.folder.iterdir()) == ["a", "c"]
    small.put("d" * 64, np.zeros((size, 4), np.float32))
    assert not (cache.folder / f"{'d' * 64}.npz").exists()


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Two samples of three files."""
    found = []
    for i in range(2):
        sources = {m: ImageSource(tmp_path / f"{i}_{m}.png") for m in MODALITIES}
        for number, source in enumerate(sources.values()):
            source.path.write_bytes(bytes([i, number]))
        found.append(Sample(str(i), sources, i, 0))
    return found


def test_images_are_known_by_their_content(samples: list[Sample]) -> None:
    """Content, box, sensor, camera and order count; names, identities and where the files lie do not."""
    first = images_digest(samples)

    assert images_digest([replace(sample, name="x", identity=9) for sample in samples]) == first
    assert images_digest(samples[::-1]) != first
    assert images_digest([replace(samples[0], camera=1), samples[1]]) != first
    sources = samples[0].sources
    boxed = replace(sources["rgb"], box=(0, 0, 1, 1))
    assert images_digest([replace(samples[0], sources={**sources, "rgb": boxed}), samples[1]]) != first
    single = [images_digest([replace(samples[0], sources={m: sources["rgb"]})]) for m in MODALITIES]
    assert len(set(single)) == len(MODALITIES)
    sources["rgb"].path.write_bytes(b"other")
    assert images_digest(samples) != first


def test_the_key_names_model_and_machine(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another preprocessing, file, machine, version of a package or way of decoding is another key."""
    with Extractor(bundle, "cpu") as extractor:
        identity = extractor_identity(extractor)
        other = extractor_identity(extractor, strict_cameras=True)
    key = features_key(identity, "images")

    assert features_key(dict(reversed(identity.items())), "images") == key
    assert features_key(identity, "others") != key and features_key(other, "images") != key
    assert features_key({**identity, "model": "0"}, "images") != key
    assert features_key({**identity, "height": identity["height"] + 1}, "images") != key
    for settings in (ImageSettings(accept_truncated=True), ImageSettings(max_pixels=100)):
        with using_image_settings(settings):
            assert features_key(identity, "images") != key
    monkeypatch.setattr(module, "machine_name", lambda: "another")
    assert features_key(identity, "images") != key
