"""Calibration images as batches of a model's inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mambapro.calib.batches import Feeds
from mambapro.calib.images import CalibrationImages
from mambapro.runtime.bundle.metadata import BundleMetadata


def test_the_last_batch_is_short(few_images: CalibrationImages, tiny_metadata: BundleMetadata) -> None:
    """Twelve samples in batches of 5 are 5, 5 and 2, in order, with their cameras."""
    batches = list(Feeds(few_images.images, tiny_metadata, 5))

    assert [len(batch["rgb"]) for batch in batches] == [5, 5, 2]
    cameras = np.concatenate([batch["camera"] for batch in batches])
    assert cameras.tolist() == [image.camera for image in few_images.images]


def test_a_fixed_batch_is_filled_with_the_first(few_images: CalibrationImages, tiny_metadata: BundleMetadata) -> None:
    """A model of batch 5 gets the three first samples after the last two, whatever batch was asked for."""
    inputs, outputs = (
        tuple(replace(tensor, shape=(5, *tensor.shape[1:])) for tensor in tensors)
        for tensors in (tiny_metadata.inputs, tiny_metadata.outputs)
    )
    feeds = Feeds(few_images.images, replace(tiny_metadata, inputs=inputs, outputs=outputs), 32)

    assert len(feeds) == 3
    assert [len(batch["rgb"]) for batch in feeds] == [5, 5, 5]
    np.testing.assert_array_equal(feeds[2]["rgb"][2:], feeds[0]["rgb"][:3])
    assert feeds[2]["camera"][2:].tolist() == [image.camera for image in few_images.images[:3]]


def test_beyond_the_end(few_images: CalibrationImages, tiny_metadata: BundleMetadata) -> None:
    """There is no batch after the last, nor before the first."""
    feeds = Feeds(few_images.images, tiny_metadata, 5)

    for number in (3, -1):
        with pytest.raises(IndexError):
            feeds[number]
