"""Drawn attribute sets, read back by the readers of the published formats."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from mambapro.runtime.data.attributes.attribute_readers import read_attributes
from mambapro.runtime.data.readers.benchmarks import read_benchmark
from mambapro.synthetic.attribute_benchmark import draw_attribute_set
from mambapro.synthetic.attributes.attribute_sets import KINDS, PlannedSet, plan_set
from mambapro.synthetic.attributes.image_names import image_names

SEED, IMAGES = 7, 60
PETA = (
    10,
    18,
    19,
    30,
    15,
    7,
    9,
    11,
    14,
    21,
    26,
    29,
    32,
    33,
    34,
    6,
    8,
    12,
    25,
    27,
    31,
    13,
    23,
    24,
    28,
    4,
    5,
    17,
    20,
    22,
)
#: Columns of the annotation that are evaluated, in the order of the published texts.
JUDGED = {
    "pa100k": list(range(26)),
    "peta": [*PETA, 0, 1, 2, 3, 16],
    "rapv1": list(range(51)),
    # the selected columns begin after twelve others
    "rapv2": [12 + column for column in (*range(10, 45), 1, 2, 3, 4, 0, *range(5, 10), *range(45, 54))],
    "rap-zs": [12 + column for column in (*range(10, 45), 1, 2, 3, 0, *range(5, 10), *range(45, 54))],
    "wider": list(range(14)),
    "msp60k": [*range(7, 16), *range(19, 47), *range(0, 7), *range(16, 19), *range(47, 57)],
}
JUDGED["peta-zs"] = JUDGED["peta"]
NAMES = sorted(KINDS)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, PlannedSet]]:
    """A folder of each set, and what was planned for it."""
    base = tmp_path_factory.mktemp("attributes")
    for name in NAMES:
        draw_attribute_set(base / name, name, seed=SEED, images=IMAGES)
    return {name: (base / name, plan_set(name, seed=SEED, images=IMAGES)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
class TestReadBack:
    def test_labels(self, drawn: dict[str, tuple[Path, PlannedSet]], name: str) -> None:
        """The labels read are those drawn, image by image, with their errors and those not judged."""
        root, planned = drawn[name]
        folder, names = image_names(name, IMAGES)

        images = read_attributes(name, root)

        rows = {str((images.root / image).relative_to(root)): row for row, image in enumerate(images.images)}
        order = [rows[f"{folder}/{image}"] for image in names]
        np.testing.assert_array_equal(images.labels[order], planned.labels[:, JUDGED[name]])
        assert (planned.labels == 2).any() == (name in ("rapv1", "rapv2", "rap-zs"))

    def test_names(
        self, drawn: dict[str, tuple[Path, PlannedSet]], name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Attributes are spelled as published: the reader takes none of them for another."""
        images = read_attributes(name, drawn[name][0])

        assert "spells" not in caplog.text
        assert len(images.attributes) == len(JUDGED[name])

    def test_parts(self, drawn: dict[str, tuple[Path, PlannedSet]], name: str) -> None:
        """Training, validation and test hold the images planned."""
        root, planned = drawn[name]
        _, names = image_names(name, IMAGES)

        images = read_attributes(name, root)

        for part, rows in planned.parts.items():
            read = {Path(images.images[row]).name for row in images.partitions[part].tolist()}
            assert read == {names[row] for row in rows.tolist()}
        assert sum(map(len, planned.parts.values())) == IMAGES

    def test_benchmark(self, drawn: dict[str, tuple[Path, PlannedSet]], name: str) -> None:
        """The set is a benchmark: its images are there, and the test samples have their labels by name."""
        root, planned = drawn[name]

        benchmark = read_benchmark(name, root)

        counts = {"train": len(benchmark.train), "val": len(benchmark.validation), "test": len(benchmark.query)}
        assert counts == {part: len(rows) for part, rows in planned.parts.items()}
        assert all(source.path.is_file() for sample in benchmark.query for source in sample.sources.values())


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """The same seed writes the same bytes, MATLAB files and pickles too; another one draws other images."""
    for folder, seed in (("one", 1), ("two", 1), ("three", 2)):
        draw_attribute_set(tmp_path / folder, "peta-zs", seed=seed, images=40)

    first, second, third = (_contents(tmp_path / folder) for folder in ("one", "two", "three"))

    assert first == second
    assert first.keys() == third.keys() and not set(first.values()) & set(third.values())


def _contents(root: Path) -> dict[str, str]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
