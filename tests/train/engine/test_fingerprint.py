"""The fingerprint of training data, and the seed of an item: what they depend on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.data.sample import Benchmark, ImageSource, Sample
from mambapro.train.engine.transforms import Augmentation, TrainTransform
from mambapro.train.reid.dataset import TriModalDataset, fingerprint
from PIL import Image

SAMPLE = Sample("a", dict.fromkeys(MODALITIES, ImageSource(Path("a"))), 1, 2, 3)
BENCHMARK = Benchmark("x", (SAMPLE,), (SAMPLE,), (SAMPLE,), "camera", (16, 8))


def test_everything_that_decides_counts() -> None:
    """Name, identity, camera and scene of a training sample, and the samples that choose the epoch, are in it."""
    changed = [replace(SAMPLE, **change) for change in ({"name": "b"}, {"identity": 9}, {"camera": 9}, {"scene": 9})]
    found = [
        fingerprint(BENCHMARK, None),
        fingerprint(replace(BENCHMARK, name="y"), None),
        fingerprint(BENCHMARK, BENCHMARK),
    ]
    found += [fingerprint(replace(BENCHMARK, train=(sample,)), None) for sample in changed]
    found += [fingerprint(BENCHMARK, replace(BENCHMARK, query=(sample,))) for sample in changed]
    found += [fingerprint(BENCHMARK, replace(BENCHMARK, gallery=(sample,))) for sample in changed]

    assert len(set(found)) == len(found)
    assert fingerprint(BENCHMARK, None) == fingerprint(replace(BENCHMARK, query=()), None)


def test_equal_images_are_varied_differently(tmp_path: Path) -> None:
    """Two samples of one file come out differently: the index is part of the seed."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    sample = replace(SAMPLE, sources=dict.fromkeys(MODALITIES, ImageSource(tmp_path / "a.png")))
    dataset = TriModalDataset([sample] * 4, (16, 8), TrainTransform(Augmentation(padding=2)))

    items = [dataset[i][0] for i in range(4)]

    assert not any(torch.equal(items[i], items[j]) for i in range(4) for j in range(i))
