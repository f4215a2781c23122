"""The training data set and its loader."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mambapro.errors import InputError
from mambapro.runtime.data.image_settings import ImageSettings, set_image_settings
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.data.sample import ImageSource, Sample
from mambapro.train.engine.training_images import build_loader
from mambapro.train.engine.transforms import Augmentation, TrainTransform
from mambapro.train.reid.dataset import TriModalDataset
from mambapro.train.reid.sampler import Draw, IdentitySampler
from PIL import Image

SIZE = (16, 8)
# identity and camera of each sample
OBSERVATIONS = ((30, 1), (7, 0), (30, 0), (12, 2), (7, 1), (12, 0))
PLAIN = TrainTransform(Augmentation(flip=0.0, padding=0, erase=0.0))
VARIED = TrainTransform(Augmentation(padding=2))


def strips(folder: Path) -> list[Sample]:
    """Samples whose three images are crops of one picture file, larger than SIZE."""
    random = np.random.default_rng(0)
    samples = []
    for number, (identity, camera) in enumerate(OBSERVATIONS):
        path = folder / f"{number}.png"
        Image.fromarray(random.integers(0, 256, (24, 36, 3), dtype=np.uint8)).save(path)
        boxes = {m: (left, 0, left + 12, 24) for m, left in zip(MODALITIES, (0, 12, 24), strict=True)}
        sources = {m: ImageSource(path, box) for m, box in boxes.items()}
        samples.append(Sample(path.stem, sources, identity, camera))
    return samples


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Six samples of three identities."""
    return strips(tmp_path)


class TestItems:
    def test_labels(self, samples: list[Sample]) -> None:
        """Labels count the identities in ascending order; the camera is the sample's."""
        dataset = TriModalDataset(samples, SIZE, PLAIN)

        assert dataset.identities == (7, 12, 30)
        assert [dataset[index][1:] for index in range(6)] == [(2, 1), (0, 0), (2, 0), (1, 2), (0, 1), (1, 0)]

    def test_images(self, samples: list[Sample]) -> None:
        """Images are the three boxes, resized bicubic, normalised, modality first."""
        images, _, _ = TriModalDataset(samples, SIZE, PLAIN)[3]

        with Image.open(samples[3].sources["nir"].path) as file:
            nir = file.crop((12, 0, 24, 24)).resize((8, 16), Image.Resampling.BICUBIC)
        assert images.shape == (3, 3, 16, 8) and images.dtype == torch.float32
        np.testing.assert_allclose(images[1].numpy(), np.asarray(nir).transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)

    def test_cache_changes_nothing(self, samples: list[Sample]) -> None:
        """Items are the same whether the images fit into the cache or are read each time."""
        cached, read = (TriModalDataset(samples, SIZE, VARIED, cache_bytes=limit) for limit in (1 << 20, 0))

        for index in range(6):
            assert torch.equal(cached[index][0], read[index][0])

    def test_augmentation_is_keyed(self, samples: list[Sample]) -> None:
        """Seed, epoch, index and repeat decide the augmentation, the order of access does not."""
        dataset, again = (TriModalDataset(samples, SIZE, VARIED, seed=1) for _ in range(2))
        other = TriModalDataset(samples, SIZE, VARIED, seed=2)
        first = dataset[2][0]
        again[0]

        assert torch.equal(again[2][0], first)
        assert torch.equal(dataset[Draw(2, 0)][0], first)
        assert not torch.equal(dataset[Draw(2, 1)][0], first)
        assert not torch.equal(other[2][0], first)
        dataset.set_epoch(1)
        assert not torch.equal(dataset[2][0], first)


def assert_batches(samples: list[Sample], workers: int) -> None:
    """Two epochs of batches are what the data set gives for the sampler's draws."""
    dataset = TriModalDataset(samples, SIZE, VARIED, cache_bytes=0)
    sampler = IdentitySampler(dataset.labels, 2, 2)
    loader = build_loader(dataset, sampler, workers=workers)
    for epoch in (1, 2):
        sampler.set_epoch(epoch)
        dataset.set_epoch(epoch)
        ((images, labels, cameras),) = loader

        (draws,) = sampler
        expected = [dataset[draw] for draw in draws]
        assert torch.equal(images, torch.stack([item[0] for item in expected]))
        assert labels.tolist() == [item[1] for item in expected]
        assert cameras.tolist() == [item[2] for item in expected]


class TestLoader:
    def test_batches(self, samples: list[Sample]) -> None:
        """Batches are the sampler's, also in the second epoch."""
        assert_batches(samples, 0)

    @pytest.mark.parametrize("method", ("fork", "forkserver"))
    def test_batches_of_workers(self, method: str, tmp_path: Path) -> None:
        """The same from worker processes, which read images with the settings of the training's process.

        They are started by a process that holds a training and nothing else.
        """
        command = [sys.executable, __file__, str(tmp_path), method]

        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

        assert (done.returncode, done.stdout) == (0, "two epochs agree\n"), done.stderr

    def test_global_generator_untouched(self, samples: list[Sample]) -> None:
        """Loading draws nothing from PyTorch's global generator."""
        dataset = TriModalDataset(samples, SIZE, VARIED)
        loader = build_loader(dataset, IdentitySampler(dataset.labels, 2, 2))
        before = torch.get_rng_state()

        list(loader)

        assert torch.equal(torch.get_rng_state(), before)


class TestErrors:
    def test_empty(self) -> None:
        """A training set without samples raises InputError."""
        with pytest.raises(InputError, match="no sample"):
            TriModalDataset([], SIZE, PLAIN)

    def test_unreadable_image(self, samples: list[Sample]) -> None:
        """An unreadable image raises InputError with its name before the training starts."""
        samples[4].sources["rgb"].path.write_bytes(b"not an image")

        with pytest.raises(InputError, match=r"4\.png"):
            TriModalDataset(samples, SIZE, PLAIN)


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2])
    drawn = strips(Path(sys.argv[1]))
    cut = drawn[0].sources["rgb"].path
    cut.write_bytes(cut.read_bytes()[:-200])
    set_image_settings(ImageSettings(accept_truncated=True))
    assert_batches(drawn, workers=2)
    sys.stdout.write("two epochs agree\n")
