"""Extractor: what it takes, what it returns, and what it refuses."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mambapro.errors import ArtifactError, InputError
from mambapro.runtime import session
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.data.image_settings import ImageSettings, using_image_settings
from mambapro.runtime.data.sample import ImageSource
from mambapro.runtime.extractor import Extractor, unit_rows
from mambapro.runtime.run_options import RunOptions
from PIL import Image


@pytest.fixture
def extractor(bundle):
    """On the CPU, two samples at a time, so that every test of five samples splits."""
    with Extractor(bundle, device="cpu", batch_size=2, threads=1) as opened:
        yield opened


def full_mask(count):
    """All sensors present."""
    return np.ones((count, 3), np.float32)


class TestOneOrMany:
    def test_many_samples_equal_the_reference(self, extractor, images, small_model):
        """A batch returns the model's raw numbers, in order, across the splits."""
        cameras = np.array([0, 1, 2, 3, 0])

        found = extractor(**images, cameras=cameras, normalize=False)

        assert found.dtype == np.float32
        np.testing.assert_allclose(found, small_model.reference(images, full_mask(5), cameras), atol=1e-5)

    def test_embeddings_have_length_one_by_default(self, extractor, images):
        """Without `normalize` given, each row is the raw embedding divided by its length."""
        raw = extractor(**images, normalize=False)

        found = extractor(**images)

        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)
        np.testing.assert_allclose(found, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-6)

    def test_one_array_gives_a_two_dimensional_result(self, extractor, images):
        """A single (H, W, 3) array per sensor is one sample, and the result is (1, dim)."""
        single = extractor(images["rgb"][0], images["nir"][0], images["tir"][0])

        assert single.shape == (1, extractor.dim)
        np.testing.assert_allclose(single[0], extractor(**images)[0], atol=1e-6)

    def test_paths_pil_images_and_sources_are_taken_alike(self, extractor, images, tmp_path):
        """A file, its path as text, an ImageSource and a PIL image give the embedding of the array."""
        paths = {}
        for modality, arrays in images.items():
            paths[modality] = tmp_path / f"{modality}.png"
            Image.fromarray(arrays[0]).save(paths[modality])
        expected = extractor(*(arrays[0] for arrays in images.values()))

        by_path = extractor(paths["rgb"], str(paths["nir"]), ImageSource(paths["tir"]))
        by_image = extractor(*(Image.open(path) for path in paths.values()))

        np.testing.assert_array_equal(by_path, expected)
        np.testing.assert_array_equal(by_image, expected)

    def test_no_samples_give_an_empty_result(self, extractor):
        """Empty lists return (0, dim), so that a frame without detections needs no special case."""
        assert extractor([], [], []).shape == (0, extractor.dim)

    def test_fixed_batch_is_padded_and_the_padding_dropped(self, make_bundle, images, small_model):
        """A model exported for a batch of 4 takes 5 samples and returns 5."""
        with Extractor(make_bundle(batch=4), device="cpu") as extractor:
            found = extractor(**images, cameras=1, normalize=False)

        expected = small_model.reference(images, full_mask(5), np.full(5, 1))
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_fixed_batch_refuses_another_batch_size(self, make_bundle):
        """batch_size is InputError where the model dictates it."""
        with pytest.raises(InputError, match="fixed batch of 4"):
            Extractor(make_bundle(batch=4), device="cpu", batch_size=3)

    def test_images_are_decoded_batch_by_batch(self, extractor, images):
        """At most one batch of images is decoded before the model runs."""
        events = []
        run = extractor.backend.run
        extractor._backend = SimpleNamespace(
            run=lambda feeds: (events.append("run"), run(feeds))[1], close=lambda: None
        )

        class Watched(list):
            def __getitem__(self, index):
                events.append("image")
                return super().__getitem__(index)

        rgb = Watched(images["rgb"])
        extractor(rgb, list(images["nir"]), list(images["tir"]))
        last = events[events.index("run") :]

        assert events.count("run") == 3
        assert last.count("image") == 3

    def test_threads_share_an_extractor(self, extractor, images):
        """Calls from four threads return what one thread returns."""
        expected = extractor(**images)

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: extractor(**images), range(12)))

        assert all(np.array_equal(expected, one) for one in found)


class TestMissingSensors:
    def test_sensor_missing_for_the_batch_is_masked(self, extractor, images, small_model):
        """None for a sensor equals a zero in the mask, whatever the image holds."""
        mask = full_mask(5)
        mask[:, 1] = 0

        found = extractor(images["rgb"], None, images["tir"], normalize=False)

        np.testing.assert_allclose(found, small_model.reference(images, mask, np.full(5, -1)), atol=1e-5)

    def test_sensor_missing_for_single_samples_is_masked(self, extractor, images, small_model):
        """None inside a list masks that sensor of that sample only."""
        mask = full_mask(5)
        mask[3, 2] = mask[0, 0] = 0
        rgb, tir = list(images["rgb"]), list(images["tir"])
        rgb[0] = tir[3] = None

        found = extractor(rgb, images["nir"], tir, normalize=False)

        np.testing.assert_allclose(found, small_model.reference(images, mask, np.full(5, -1)), atol=1e-5)

    def test_different_counts_are_refused_with_all_three_named(self, extractor, images):
        """InputError names the number of images of each sensor."""
        with pytest.raises(InputError, match="rgb 5, nir 3, tir none"):
            extractor(images["rgb"], images["nir"][:3], None)

    def test_sample_without_any_image_is_refused_by_its_number(self, extractor, images):
        """InputError says which samples no sensor saw."""
        rgb, nir = list(images["rgb"]), list(images["nir"])
        rgb[2] = nir[2] = rgb[4] = nir[4] = None

        with pytest.raises(InputError, match="sample 2, 4"):
            extractor(rgb, nir, None)

    def test_no_images_at_all_are_refused(self, extractor):
        """InputError when all three sensors are None."""
        with pytest.raises(InputError, match="rgb, nir, tir"):
            extractor(None, None, None)

    def test_unreadable_image_names_sample_sensor_and_file(self, extractor, images, tmp_path):
        """InputError tells where in the batch the damaged file stands."""
        broken = tmp_path / "broken.jpg"
        broken.write_bytes(b"")

        with pytest.raises(InputError, match=r"Sample 4, nir: .*broken\.jpg is an empty file"):
            extractor(images["rgb"], [*images["nir"][:4], broken], images["tir"])


class TestCameras:
    @pytest.mark.parametrize("unknown", [None, -1, [99, -5, 4, -1, 2**40]])
    def test_unknown_cameras_get_the_mean_row(self, extractor, images, small_model, unknown):
        """None, -1 and every number outside the table give the same embedding."""
        expected = small_model.reference(images, full_mask(5), np.full(5, -1))

        found = extractor(**images, cameras=unknown, normalize=False)

        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_one_number_stands_for_all(self, extractor, images):
        """An int is the camera of every sample."""
        np.testing.assert_array_equal(extractor(**images, cameras=2), extractor(**images, cameras=[2] * 5))

    def test_strict_cameras_name_the_offending_numbers_and_the_range(self, extractor, images):
        """InputError lists each number outside the table once, and the numbers allowed."""
        with pytest.raises(InputError, match=r"-3, 4, 7\. It knows numbers 0 to 3"):
            extractor(**images, cameras=[0, 7, 4, 7, -3], strict_cameras=True)

    def test_strict_cameras_refuse_unknown_ones(self, extractor, images):
        """With strict_cameras a camera must be given."""
        with pytest.raises(InputError, match="-1"):
            extractor(**images, strict_cameras=True)

    @pytest.mark.parametrize(
        "cameras", [[0, 1], 1.5, "x", [[None] * 5], [0.0] * 5, 2**70, [[0] * 5], [[0], [1, 2]], True]
    )
    def test_cameras_that_are_not_one_number_per_sample_are_refused(self, extractor, images, cameras):
        """InputError for other counts, floats, text, and numbers beyond 64 bits."""
        with pytest.raises(InputError, match="cameras must be"):
            extractor(**images, cameras=cameras)

    def test_model_without_cameras_takes_any(self, make_bundle, images, small_model):
        """Without a camera input numbers have no effect, and the graph is not fed any."""
        with Extractor(make_bundle(cameras=0), device="cpu") as extractor:
            found = extractor(**images, cameras=3, normalize=False)

        np.testing.assert_allclose(found, small_model.reference(images, full_mask(5), None), atol=1e-5)


class TestBadModels:
    def test_nan_is_refused_with_the_samples_named(self, extractor, images):
        """ArtifactError when the model returns NaN; the sample's number counts over all batches."""
        run = extractor.backend.run

        def poisoned(feeds):
            result = run(feeds)
            bright = feeds["rgb"].mean(axis=(1, 2, 3)) == 255
            result["embedding"][bright] = np.nan
            return result

        images["rgb"][3] = 255
        extractor._backend = SimpleNamespace(run=poisoned, close=lambda: None)

        with pytest.raises(ArtifactError, match="NaN or infinity for sample 3"):
            extractor(**images)

    def test_zero_embedding_cannot_be_normalised(self):
        """ArtifactError names the rows that have no direction."""
        with pytest.raises(ArtifactError, match="only zeros for sample 1"):
            unit_rows(np.array([[1.0, 0.0], [0.0, 0.0]], np.float32))

    def test_metadata_of_another_model_is_refused(self, make_bundle):
        """ArtifactError when graph and metadata name different inputs."""
        other, folder = make_bundle("other", cameras=0), make_bundle("b")
        (folder / "model.onnx").write_bytes((other / "model.onnx").read_bytes())

        with pytest.raises(ArtifactError, match="camera"):
            Extractor(folder, device="cpu", verify=False)

    def test_closed_extractor_says_so(self, bundle, images):
        """InputError after the `with` block."""
        with Extractor(bundle, device="cpu") as extractor:
            pass

        with pytest.raises(InputError, match="closed"):
            extractor(**images)


class TestEmbed:
    def test_arrays_go_to_the_model_unchanged(self, extractor, images, small_model):
        """embed splits too, and returns raw embeddings."""
        cameras = np.array([3, 2, 1, 0, 9])

        found = extractor.embed(images, None, cameras)

        np.testing.assert_allclose(found, small_model.reference(images, full_mask(5), cameras), atol=1e-5)

    def test_wrong_shapes_are_refused(self, extractor, images):
        """InputError shows the shape wanted and the shapes given."""
        with pytest.raises(InputError, match=r"\(5, 16, 8, 3\).*nir \(5, 16, 7, 3\)"):
            extractor.embed({**images, "nir": images["nir"][:, :, 1:]})


def test_sixteen_bit_range_can_be_set_and_changes_the_fingerprint(bundle, images):
    """Embeddings made with another thermal scaling are not of the same feature space."""
    thermal = (images["tir"][0, :, :, 0].astype(np.uint16)) * 4 + 28000
    with (
        Extractor(bundle, device="cpu") as plain,
        Extractor(bundle, device="cpu", sixteen_bit_range=(28000, 28000 + 255 * 4)) as ranged,
    ):
        expected = plain(tir=images["tir"][0, :, :, :1])

        np.testing.assert_array_equal(ranged(tir=thermal), expected)
        assert ranged.fingerprint != plain.fingerprint == plain.metadata.fingerprint


def test_the_fingerprint_is_that_of_the_opening(bundle: Path) -> None:
    """Settings of the process count when the bundle is opened, as they do for the images, and not later."""
    settings = ImageSettings(sixteen_bit_range={"tir": (7000, 9000)})
    with using_image_settings(settings):
        ranged = Extractor(bundle, device="cpu")
        fingerprint = ranged.fingerprint
    plain = Extractor(bundle, device="cpu")

    assert ranged.fingerprint == fingerprint != plain.metadata.fingerprint
    with using_image_settings(settings):
        assert plain.fingerprint == plain.metadata.fingerprint
    with pytest.raises(ArtifactError, match="not the bundle that was pickled"):
        pickle.loads(pickle.dumps(ranged))


def test_settings_are_checked_before_loading(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong option loads no model."""
    monkeypatch.setattr(session, "open_fastest", lambda *_: pytest.fail("the model was loaded"))

    with pytest.raises(InputError, match="max_image_pixels must be"):
        Extractor(bundle, device="cpu", max_image_pixels=0)


def test_a_bundle_without_embedding(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ArtifactError before the model is loaded."""
    monkeypatch.setattr(session, "open_fastest", lambda *_: pytest.fail("the model was loaded"))
    opened = Bundle.open(bundle)
    # as read from a file it would have no embedding among its outputs either
    object.__setattr__(opened.metadata, "embedding", None)

    with pytest.raises(ArtifactError, match="returns no embedding"):
        Extractor.with_options(opened, RunOptions("cpu"))


@pytest.mark.alone
def test_import_is_fast_and_free_of_heavy_packages():
    """Importing the extractor takes 0.2 s of processor time at most beyond NumPy and loads no heavy package."""
    heavy = {"torch", "onnx", "onnxruntime", "PIL", "click", "rich"}

    def runs(module: str) -> list[list[str]]:
        code = (
            f"import sys, time; start = time.process_time(); import {module}; "
            f"print(time.process_time() - start, *({heavy} & set(sys.modules)))"
        )
        command = [sys.executable, "-c", code]
        return [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(3)]

    # The best of three: what else runs on the machine can only add. NumPy alone takes 0.09 to 0.19 s, by its release.
    numpy_alone, extractor = runs("numpy"), runs("mambapro.runtime.extractor")

    assert min(float(run[0]) for run in extractor) - min(float(run[0]) for run in numpy_alone) < 0.2
    assert extractor[0][1:] == []
