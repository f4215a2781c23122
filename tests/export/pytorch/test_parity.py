"""The parity gate on features that are known: every set of sensors counts, and so does every sample of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from mambapro.errors import ParityError
from mambapro.export.pytorch.parity import compare, require_parity
from mambapro.export.pytorch.parity_images import (
    COMPLETE,
    INCOMPLETE,
    ParityBatch,
    ParityImages,
    batches_of_subsets,
    parity_images,
)
from mambapro.export.pytorch.parity_report import ParityReport
from mambapro.runtime.data.batch import Batch
from mambapro.runtime.data.modalities import MODALITIES, SUBSETS, subset_name
from mambapro.runtime.data.preprocess import Preprocessing
from mambapro.train.models.mambapro.model_config import MambaProConfig
from mambapro.train.models.mambapro.spec import spec_of

DIM = 6
INPUTS = spec_of(MambaProConfig(), ()).inputs


@pytest.fixture
def images() -> ParityImages:
    """Pixels of which none is 0."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 256, (COMPLETE, 3, 4, 2, 3), dtype=np.uint8)
    by_name = {name: pixels[:, i] for i, name in enumerate(MODALITIES)}
    return ParityImages(Batch.of(by_name, cameras=np.arange(COMPLETE) % 4), "made up")


def features(batch: ParityBatch) -> np.ndarray:
    """Mean colours of the sensors, two numbers of each."""
    images = batch.samples.stacked(MODALITIES)
    return images.mean((2, 3))[:, :, :2].reshape(len(images), DIM).astype(np.float64) + 1.0


def report_of(images: ParityImages, exported: Callable[[ParityBatch], np.ndarray], limit: float = 1e-8) -> ParityReport:
    """What the gate says of an exported model."""
    batches = batches_of_subsets(images)
    report, _ = compare(features, exported, batches, precision="fp32", limit=limit, images="made up", provider="CPU")
    return report


@pytest.mark.parametrize("wrong", [subset_name(subset) for subset in SUBSETS])
def test_every_set_of_sensors_is_gated(wrong: str, images: ParityImages) -> None:
    """One sample of one set of sensors that departs fails the whole, whichever set it is."""

    def exported(batch: ParityBatch) -> np.ndarray:
        found = features(batch)
        if batch.name == wrong:
            found[1] *= np.linspace(1, 2, DIM)
        return found

    report = report_of(images, exported)

    departures = {subset.sensors: subset.max_departure for subset in report.subsets}
    assert departures[wrong] > 1e-4 and sum(value > 1e-12 for value in departures.values()) == 1
    assert report.max_departure == departures[wrong] and not report.passed
    # of eight samples one departs: the limit is on that one, not on the mean
    (mean,) = (subset.mean_departure for subset in report.subsets if subset.sensors == wrong)
    assert mean < departures[wrong] / 2
    with pytest.raises(ParityError, match="largest 1 - cosine"):
        require_parity(report, None)


def test_the_limit_is_on_the_largest(images: ParityImages) -> None:
    """One of 32 samples that departs by more than the limit fails, though the mean of all is far below it."""

    def exported(batch: ParityBatch) -> np.ndarray:
        found = features(batch)
        if batch.name == subset_name(MODALITIES):
            # batches come in parts
            found[batch.rows == 1] *= np.linspace(1, 2, DIM)
        return found

    a, b = (model(batches_of_subsets(images)[0])[1] for model in (features, exported))
    departure = 1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    report = report_of(images, exported, limit=departure / 2)

    assert report.subsets[0].max_departure == pytest.approx(departure)
    assert report.subsets[0].mean_departure == pytest.approx(departure / COMPLETE)
    assert not report.passed and report_of(images, exported, limit=2 * departure).passed


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("wrong", [subset_name(subset) for subset in SUBSETS])
def test_one_number_that_is_not_finite_fails(wrong: str, value: float, images: ParityImages) -> None:
    """One value of one sample of one set; samples are counted, not values."""

    def exported(batch: ParityBatch) -> np.ndarray:
        found = features(batch)
        if batch.name == wrong:
            found[1, :2] = value
        return found

    report = report_of(images, exported, limit=float("inf"))

    in_parts = COMPLETE // 8 if len(wrong.split("+")) == 3 else 1
    assert {s.sensors: s.not_finite for s in report.subsets if s.not_finite} == {wrong: in_parts}
    assert not report.passed
    with pytest.raises(ParityError, match="not finite"):
        require_parity(report, None)


@pytest.mark.parametrize("limit", [float("nan"), 1e-12])
def test_a_limit_that_is_none_is_not_kept(limit: float, images: ParityImages) -> None:
    """NaN as a limit lets nothing pass."""
    report = report_of(images, lambda batch: features(batch) * (1 + 1e-5 * np.arange(DIM)), limit)

    assert not report.passed


def test_constant_features_are_those_of_the_file(images: ParityImages) -> None:
    """Counted by feature over the samples, in what the exported model returns, whatever PyTorch's do."""

    def exported(batch: ParityBatch) -> np.ndarray:
        found = features(batch)
        found[:, [1, 4]] = 7.0
        # a sample whose features are all the same is no constant feature
        found[0, :] = 7.0
        return found

    complete = report_of(images, exported, limit=2.0).subsets[0]
    assert complete.constant == 2
    assert report_of(images, features).subsets[0].constant == 0
    stuck = report_of(images, lambda batch: np.ones((len(batch.samples), DIM)), limit=2.0)
    assert stuck.subsets[0].constant == DIM and stuck.degenerate and not stuck.passed


def test_missing_sensors_are_what_the_mask_says(images: ParityImages) -> None:
    """All seven sets; 1 and the sample's own image where the sensor is there, 0 and black where it is not."""
    batches = batches_of_subsets(images)

    assert [batch.subset for batch in batches] == list(SUBSETS)
    for batch in batches:
        feeds = batch.samples.feeds(INPUTS)
        assert len(batch.samples) == (COMPLETE if batch.subset == MODALITIES else INCOMPLETE)
        for column, modality in enumerate(MODALITIES):
            present = modality in batch.subset
            assert set(feeds["modality_mask"][:, column].tolist()) == {float(present)}
            assert (feeds[modality] != 0).all() if present else (feeds[modality] == 0).all()
        assert feeds["modality_mask"].dtype == np.float32
    # what a set lacks was not taken from the others
    assert all((values != 0).all() for values in images.samples.images.values())


def test_the_last_cameras_are_unknown() -> None:
    """A quarter of the samples is from no camera of the table, and no number is beyond it."""
    found = parity_images(Preprocessing(16, 8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), 2, None, "rgbnt201")

    assert found.samples.cameras[-COMPLETE // 4 :].tolist() == [-1] * (COMPLETE // 4)
    assert set(found.samples.cameras.tolist()) == {-1, 0, 1} and found.samples.cameras.max() < 2


def test_drawn_images_of_attribute_sets() -> None:
    """A set of attributes without its folder takes the drawn images that lie as the model's do."""
    found = parity_images(Preprocessing(16, 8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), 0, None, "pa100k", ("rgb",))

    assert list(found.samples.images) == ["rgb"] and len(found.samples) == COMPLETE
    assert found.source.startswith("drawn rgbnt201")
