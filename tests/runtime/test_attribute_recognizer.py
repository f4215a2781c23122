"""Attributes of crops: probabilities, decisions, crops without RGB, and bundles of other tasks."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from attribute_bundles import ATTRIBUTE_HEIGHT, ATTRIBUTE_NAMES, ATTRIBUTE_WIDTH, MakeAttributeBundle
from mambapro import AttributeRecognizer, Extractor, Pipeline
from mambapro.errors import ArtifactError, InputError
from mambapro.runtime import session
from mambapro.runtime.assigned_attributes import AttributeRule, attribute_rule
from mambapro.runtime.bundle.labels import Labels
from mambapro.runtime.data.sample import ImageSource, Sample
from PIL import Image

CROPS = np.random.default_rng(4).integers(0, 256, (5, ATTRIBUTE_HEIGHT, ATTRIBUTE_WIDTH, 3), np.uint8)


@pytest.fixture
def recognizer(attribute_bundle: Path):
    with AttributeRecognizer(attribute_bundle, "cpu", batch_size=2) as opened:
        yield opened


@pytest.mark.parametrize("image", ["image", "rgb"])
def test_probabilities_and_names(make_attribute_bundle: MakeAttributeBundle, small_attribute_model, image: str) -> None:
    """Float32 probabilities, of models with logits alone too, and the names above the threshold of the bundle."""
    with AttributeRecognizer(make_attribute_bundle(image=image), "cpu", batch_size=2) as recognizer:
        found = recognizer(CROPS)

    wanted = small_attribute_model.probabilities(CROPS)
    np.testing.assert_allclose(found.probabilities, wanted, rtol=0, atol=2e-5)
    assert found.probabilities.dtype == np.float32 and found.labels == ATTRIBUTE_NAMES and len(found) == 5
    assert found.present.all() and found.thresholds.tolist() == [0.45] * 6
    np.testing.assert_array_equal(found.assigned, wanted > 0.45)
    assert 0 < found.assigned.mean() < 1
    assert found.names(1) == tuple(name for name, p in zip(ATTRIBUTE_NAMES, wanted[1], strict=True) if p > 0.45)
    assert found.by_label(0) == pytest.approx(dict(zip(ATTRIBUTE_NAMES, wanted[0], strict=True)), abs=2e-5)


def test_inputs_of_every_kind(recognizer, tmp_path: Path) -> None:
    """Paths, bytes, PIL images, arrays, samples and images by sensor have the same attributes."""
    path = tmp_path / "crop.png"
    Image.fromarray(CROPS[0]).save(path)
    other = np.zeros_like(CROPS[0])
    crops = [
        path,
        path.read_bytes(),
        Image.open(path),
        CROPS[0],
        Sample("s", {"rgb": ImageSource(path), "nir": ImageSource(path)}),
        {"rgb": path, "tir": other},
    ]

    found = recognizer(crops)

    np.testing.assert_allclose(found.probabilities, np.repeat(recognizer(CROPS[0]).probabilities, 6, axis=0), atol=1e-6)
    assert len(recognizer(crops[4])) == 1


def test_without_rgb_nothing_is_known(recognizer) -> None:
    """Crops without RGB are not present: NaN, no names, no probabilities; the others are as without them."""
    found = recognizer([None, CROPS[0], {"nir": CROPS[1]}, None])

    assert found.present.tolist() == [False, True, False, False]
    assert np.isnan(found.probabilities[~found.present]).all() and not found.assigned[~found.present].any()
    assert found.names(0) == () and found.by_label(0) is None
    np.testing.assert_allclose(found.probabilities[1], recognizer(CROPS[0]).probabilities[0], atol=1e-6)


def test_images_of_no_sensor(recognizer) -> None:
    """A misspelled sensor is an error, not a crop without RGB."""
    with pytest.raises(InputError, match="A crop has images of RGB; the sensors are called rgb, nir, tir"):
        recognizer([CROPS[0], {"RGB": CROPS[1]}])


def test_no_crops(recognizer) -> None:
    """An empty list has the attributes of no crops."""
    assert recognizer([]).probabilities.shape == (0, 6)


@pytest.mark.parametrize("kind", ["RGBA", "L", "P"])
def test_modes_of_images(recognizer, kind: str) -> None:
    """Opaque RGBA, grey and palette images are converted; a transparent one is refused."""
    image = Image.fromarray(CROPS[0]).convert(kind)

    found = recognizer(image)

    np.testing.assert_array_equal(found.probabilities, recognizer(image.convert("RGB")).probabilities)
    image = image.convert("RGBA")
    image.putalpha(128)
    with pytest.raises(InputError, match=r"Sample 0, rgb: .*transparent"):
        recognizer(image)


def test_thresholds_are_replaced(attribute_bundle: Path, small_attribute_model) -> None:
    """One for all labels, or by label; the comparison is strict."""
    wanted = small_attribute_model.probabilities(CROPS)

    with AttributeRecognizer(attribute_bundle, "cpu", thresholds=0.9) as strict:
        np.testing.assert_array_equal(strict(CROPS).assigned, wanted > 0.9)
    with AttributeRecognizer(attribute_bundle, "cpu", thresholds={"skirt": 0.0, "hat": 1.0}) as mixed:
        found = mixed(CROPS)
    assert found.assigned[:, 4].all() and not found.assigned[:, 0].any()
    np.testing.assert_array_equal(found.assigned[:, 1], wanted[:, 1] > 0.45)
    rule = AttributeRule(("a",), (0.5,))
    assert rule.assign(np.array([[0.0], [0.00001]])).tolist() == [[False], [True]]


@pytest.mark.parametrize("image", ["image", "rgb"])
def test_large_outputs_are_decided_as_in_an_evaluation(
    make_attribute_bundle: MakeAttributeBundle, monkeypatch, image: str
) -> None:
    """Thresholds separate outputs whose probabilities are all 1 in float32, and so does "best"."""
    threshold = 0.999999999  # the logit 20.7
    rows = np.array([[18.0, 25, 30, 18, 0, 0]] * 5, np.float32)
    with AttributeRecognizer(
        make_attribute_bundle(image=image), "cpu", thresholds=threshold, exclusive="best"
    ) as recognizer:
        outputs = {name: np.ones_like(rows) for name in recognizer.metadata.names("probabilities")}
        outputs |= dict.fromkeys(recognizer.metadata.names("logits"), rows)
        monkeypatch.setattr(recognizer, "run", lambda *_: outputs)
        found = recognizer(CROPS)
        recognizer.rule = AttributeRule(ATTRIBUTE_NAMES, (threshold,) * 6, ((0, 1, 2),))
        best = recognizer(CROPS[:5])

    labels = Labels(ATTRIBUTE_NAMES, thresholds=(threshold,) * 6)
    np.testing.assert_array_equal(found.assigned, labels.assign(rows))
    assert found.assigned[0].tolist() == [False, True, True, False, False, False]
    assert best.assigned[0].tolist() == [False, False, True, False, False, False]


@pytest.mark.parametrize("kind", [AttributeRecognizer, Pipeline])
def test_failing_crops_are_named_by_their_own_number(recognizer, monkeypatch, kind) -> None:
    """ArtifactError counts crops without RGB, and those that were left out before."""
    run = recognizer.backend.run

    def nan_for_white(feeds: dict) -> dict:
        (images,) = feeds.values()
        white = (images == 255).all(axis=(1, 2, 3))
        return {name: np.where(white[:, None], np.nan, values) for name, values in run(feeds).items()}

    monkeypatch.setattr(recognizer.backend, "run", nan_for_white)
    model = recognizer if kind is AttributeRecognizer else Pipeline([recognizer])
    white = np.full_like(CROPS[0], 255)

    with pytest.raises(ArtifactError, match="for sample 3"):
        model([CROPS[0], CROPS[1], None, white])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"thresholds": 1.5}, "threshold of 'hat' must be a number from 0 to 1, not 1.5"),
        ({"thresholds": {"hut": 0.5}}, "no label 'hut'. The nearest of 6: hat"),
        ({"exclusive": "first"}, "exclusive must be one of independent, best"),
    ],
)
def test_settings_are_checked_before_loading(attribute_bundle: Path, monkeypatch, settings, message: str) -> None:
    """InputError names label and value, and no model is loaded."""
    monkeypatch.setattr(session, "open_fastest", lambda *_: pytest.fail("the model was loaded"))

    with pytest.raises(InputError, match=message):
        AttributeRecognizer(attribute_bundle, "cpu", **settings)


def test_exclusive_labels() -> None:
    """With "best" the most probable label of a group above its threshold stays; nothing is assigned below it."""
    rule = AttributeRule(("a", "b", "c"), (0.5, 0.5, 0.5), exclusive=((0, 1),))
    probabilities = np.array([[0.6, 0.9, 0.7], [0.8, 0.8, 0.1], [0.4, 0.45, 0.9], [0.6, 0.2, 0.2]])

    found = rule.assign(logits_of(probabilities)).tolist()

    assert found == [[False, True, True], [True, False, False], [False, False, True], [True, False, False]]
    rule = AttributeRule(("a", "b"), (0.9, 0.5), exclusive=((0, 1),))
    assert rule.assign(logits_of(np.array([[0.8, 0.6]]))).tolist() == [[False, True]]


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits whose sigmoid the probabilities are."""
    return np.log(probabilities / (1 - probabilities))


def test_softmax_labels() -> None:
    """The largest of all is assigned; thresholds are refused."""
    labels = Labels(("a", "b"), "softmax")

    found = attribute_rule(labels).assign(np.array([[1.0, 2.0], [3.0, 3.0]]))

    assert found.tolist() == [[False, True], [True, False]]
    with pytest.raises(InputError, match="decided together"):
        attribute_rule(labels, 0.5)


def test_tasks_are_told_apart(bundle: Path, attribute_bundle: Path, monkeypatch) -> None:
    """ArtifactError names the class and the command for the bundle, before a model is loaded."""
    monkeypatch.setattr(session, "open_fastest", lambda *_: pytest.fail("the model was loaded"))

    with pytest.raises(ArtifactError, match=r"'small attributes' is for attributes .* AttributeRecognizer \(mambapro"):
        Extractor(attribute_bundle, "cpu")
    with pytest.raises(ArtifactError, match=r"'small' is for re-identification .* Extractor \(mambapro extract\)"):
        AttributeRecognizer(bundle, "cpu")


def test_labels_without_names(make_attribute_bundle: MakeAttributeBundle, caplog) -> None:
    """They are numbered, which a warning says, and have the threshold 0.5."""
    with AttributeRecognizer(make_attribute_bundle(named=False), "cpu") as recognizer:
        found = recognizer(CROPS)

    assert found.labels[5] == "attribute_05" and found.thresholds.tolist() == [0.5] * 6
    assert "no names of its 6 attributes" in caplog.text


def test_labels_without_probabilities() -> None:
    """ArtifactError for labels whose logits are compared themselves."""
    with pytest.raises(ArtifactError, match="no probabilities: their activation is 'none'"):
        attribute_rule(Labels(("a",), "none"))


def test_pickled_with_its_settings(attribute_bundle: Path) -> None:
    """A copy in another process opens the same bundle with the same thresholds."""
    with AttributeRecognizer(attribute_bundle, "cpu", thresholds=0.8, exclusive="best") as opened:
        wanted = opened(CROPS)
        with pickle.loads(pickle.dumps(opened)) as copy:
            found = copy(CROPS)

    np.testing.assert_array_equal(found.probabilities, wanted.probabilities)
    assert found.rule == wanted.rule


def test_threads_share_a_recognizer(recognizer) -> None:
    """Calls at the same time return what they return alone."""
    wanted = [recognizer(crop).probabilities for crop in CROPS]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: recognizer(CROPS[number % 5]).probabilities, range(40)))

    for number, each in enumerate(found):
        np.testing.assert_array_equal(each, wanted[number % 5])


def test_fixed_batch(make_attribute_bundle: MakeAttributeBundle, small_attribute_model) -> None:
    """A model of a fixed batch takes any number of crops."""
    with AttributeRecognizer(make_attribute_bundle(batch=4), "cpu") as opened:
        found = opened(CROPS)

    np.testing.assert_allclose(found.probabilities, small_attribute_model.probabilities(CROPS), rtol=0, atol=2e-5)
