"""The samples that are measured on: chosen by identity, the same on every machine."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mambapro.calib.images import CalibrationImages
from mambapro.calib.sensitivity.measurement import Material, benchmark_material, by_identity, folder_material
from mambapro.errors import InputError
from mambapro.runtime.bundle.metadata import BundleMetadata
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.data.sample import Benchmark, ImageSource, Sample


@pytest.fixture(scope="module")
def benchmark(image_folder: Path) -> Benchmark:
    """Twenty training samples: identities 0 to 3 with five each, under cameras 0 to 1."""
    names = sorted(path.name for path in (image_folder / "rgb").iterdir())
    train = tuple(
        Sample(name, {m: ImageSource(image_folder / m / name) for m in MODALITIES}, i // 5, i % 2)
        for i, name in enumerate(names)
    )
    return Benchmark("drawn", train, (), (), "camera", (64, 32))


def test_identities_have_several_images(benchmark: Benchmark) -> None:
    """Four of each identity, under both cameras, as many identities as there is room for."""
    chosen = by_identity(benchmark, 12, seed=0)

    counts = Counter(sample.identity for sample in chosen)
    assert sorted(counts.values()) == [4, 4, 4]
    assert all({s.camera for s in chosen if s.identity == identity} == {0, 1} for identity in counts)


def test_the_choice_is_the_seed_s(benchmark: Benchmark) -> None:
    """Another seed draws others; the same one draws the same from a list in another order."""
    shuffled = replace(benchmark, train=benchmark.train[::-1])

    assert by_identity(benchmark, 10, 1) == by_identity(shuffled, 10, 1)
    assert by_identity(benchmark, 10, 1) != by_identity(benchmark, 10, 2)


def test_all_there_are(benchmark: Benchmark) -> None:
    """Where fewer are there than asked for, those are taken."""
    assert len(by_identity(benchmark, 1000, 0)) == 16


def test_inputs_of_a_benchmark(benchmark: Benchmark, tiny_metadata: BundleMetadata) -> None:
    """The graph's inputs follow the samples, and labels and content are in the hash."""
    material = benchmark_material(benchmark, tiny_metadata, 9, seed=0)

    chosen = by_identity(benchmark, 9, 0)
    assert material.identities == tuple(sample.identity for sample in chosen)
    assert material.groups == tuple(sample.camera for sample in chosen)
    assert np.array_equal(material.feeds["camera"], material.groups)
    assert material.feeds["nir"].shape == (9, 64, 32, 3)
    assert [len(batch["rgb"]) for batch in material.batches()] == [8, 1]
    other = replace(benchmark, train=tuple(replace(sample, identity=7) for sample in benchmark.train))
    assert benchmark_material(other, tiny_metadata, 9, seed=0).sha256 != material.sha256
    assert benchmark_material(benchmark, tiny_metadata, 9, seed=0).sha256 == material.sha256


def test_the_first_samples(benchmark: Benchmark, tiny_metadata: BundleMetadata) -> None:
    """A part has its own hash; asking for all or more gives the same object."""
    material = benchmark_material(benchmark, tiny_metadata, 9, seed=0)

    part = material.first(4)

    assert (part.samples, part.identities) == (4, material.identities[:4])
    assert np.array_equal(part.feeds["tir"], material.feeds["tir"][:4])
    assert part.sha256 != material.sha256
    assert material.first(9) is material.first(None) is material


def test_a_folder_has_no_identities(few_images: CalibrationImages, tiny_metadata: BundleMetadata) -> None:
    """The first of the calibration images, without a rule."""
    material = folder_material(few_images, tiny_metadata, 5)

    assert material.samples == 5
    assert (set(material.identities), material.junk) == ({-1}, None)
    assert material.sha256 != folder_material(few_images, tiny_metadata, 6).sha256


def test_a_fixed_batch(few_images: CalibrationImages, tiny_metadata: BundleMetadata) -> None:
    """A model of fixed batch is refused."""
    fixed = tuple(replace(tensor, shape=(2, *tensor.shape[1:])) for tensor in tiny_metadata.inputs)
    outputs = tuple(replace(tensor, shape=(2, *tensor.shape[1:])) for tensor in tiny_metadata.outputs)

    with pytest.raises(InputError, match="fixed batch of 2"):
        folder_material(few_images, replace(tiny_metadata, inputs=fixed, outputs=outputs), 5)


def test_lengths_must_agree() -> None:
    """Labels of another number of samples are refused."""
    with pytest.raises(InputError, match="all must be equal"):
        Material({"rgb": np.zeros((2, 1))}, (1, 2, 3), (0, 0, 0), "camera", "hash")
