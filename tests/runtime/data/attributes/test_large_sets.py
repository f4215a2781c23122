"""Time of sets with as many images as PA100K has."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from annotation_files import cells, write_matlab
from mambapro.runtime.data.attributes.attribute_readers import read_attributes
from mambapro.runtime.data.attributes.image_listing import missing_images
from published_sets import PA100K


@pytest.mark.alone
def test_one_hundred_thousand_images(tmp_path: Path) -> None:
    """Annotation of PA100K's size, and the names of its images on disk, take a few seconds of one core."""
    names = [f"{number:06d}.jpg" for number in range(1, 100_001)]
    labels = np.random.default_rng(0).integers(0, 2, (100_000, 26), np.uint8)
    variables: dict[str, np.ndarray] = {"attributes": cells(PA100K.split())}
    for part, rows in (("train", slice(0, 80_000)), ("val", slice(80_000, 90_000)), ("test", slice(90_000, None))):
        variables |= {f"{part}_images_name": cells(names[rows]), f"{part}_label": labels[rows]}
    write_matlab(tmp_path / "annotation.mat", **variables)
    (tmp_path / "data").mkdir()

    start = time.process_time()
    images = read_attributes("pa100k", tmp_path)
    missing = missing_images(images.root, images.images)
    seconds = time.process_time() - start

    assert len(missing) == 100_000 and np.array_equal(images.labels, labels)
    assert seconds < 5
