"""Pictures of right and wrong decisions of each label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.bundle.labels import Labels
from mambapro.runtime.data.preprocess import Preprocessing
from mambapro.runtime.data.sample import ImageSource, Sample
from mambapro.runtime.evaluation.attributes.label_strips import label_strips, write_label_strips
from PIL import Image

LABELS = Labels(("hat", "bag / case"), thresholds=(0.5, 0.5))
TRUTH = np.array([[1, 0], [1, 0], [1, 0], [0, 0], [0, 0], [0, 2]])
#: hat: found surely, found, missed surely; assigned wrongly, not assigned surely, not assigned.
LOGITS = np.array([[3.0, -1.0], [1.0, -2.0], [-4.0, -3.0], [2.0, 1.0], [-5.0, -4.0], [-0.5, 9.0]])
PREPROCESSING = Preprocessing(8, 4, (0.5,) * 3, (0.5,) * 3)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Six images of one color each."""
    for number in range(6):
        Image.new("RGB", (4, 8), (40 * number, 0, 200)).save(tmp_path / f"{number}.png")
    return [Sample(f"{number}.png", {"rgb": ImageSource(tmp_path / f"{number}.png")}) for number in range(6)]


def test_choice_by_hand(samples: list[Sample]) -> None:
    """The surest first; of right ones those that have the label before the others; a 2 is not shown."""
    hat, bag = label_strips(samples, TRUTH, LOGITS, LABELS, 3)

    assert [one.sample.name for one in hat.right] == ["0.png", "1.png", "4.png"]
    assert [(one.sample.name, one.truth, one.assigned) for one in hat.wrong] == [
        ("2.png", True, False),
        ("3.png", False, True),
    ]
    assert hat.right[0].probability == pytest.approx(1 / (1 + np.exp(-3)))
    assert (hat.positives, hat.found, hat.negatives, hat.false) == (3, 2, 3, 1)
    assert hat.caption == "2 of 3 that have it found, 1 of 3 others assigned it"
    assert [one.sample.name for one in bag.right] == ["4.png", "2.png", "1.png"]
    assert [one.sample.name for one in bag.wrong] == ["3.png"]


def test_folder(samples: list[Sample], tmp_path: Path) -> None:
    """One picture for each label, named by it, all of one size, and a listing; replaced with overwrite only."""
    strips, where = label_strips(samples, TRUTH, LOGITS, LABELS, 2), tmp_path / "strips"

    paths = write_label_strips(where, strips, "set", PREPROCESSING)

    assert [path.name for path in paths] == ["001_hat.png", "002_bag_case.png"]
    first, second = (Image.open(path) for path in paths)
    assert first.size == second.size
    listing = json.loads((where / "strips.json").read_text())["strips"]
    assert listing[0]["label"] == "hat" and [one["name"] for one in listing[0]["wrong"]] == ["2.png", "3.png"]
    with pytest.raises(InputError, match="overwrite"):
        write_label_strips(where, strips, "set", PREPROCESSING)
    write_label_strips(where, strips[:1], "set", PREPROCESSING, overwrite=True)
    assert len(list(where.glob("*.png"))) == 1


def test_images_and_frames(samples: list[Sample], tmp_path: Path) -> None:
    """The image of the surest right decision stands in a green frame at the left, that of a wrong one in a red one."""
    (path, _) = write_label_strips(
        tmp_path / "strips", label_strips(samples, TRUTH, LOGITS, LABELS, 1), "s", PREPROCESSING
    )

    pixels = np.asarray(Image.open(path)).astype(int)

    # image 0 is (0, 0, 200), image 2 (80, 0, 200); both are 128 pixels high and 64 wide
    right, wrong = ((pixels == color).all(axis=2) for color in ((0, 0, 200), (80, 0, 200)))
    assert right.sum() == wrong.sum() == 128 * 64
    assert np.nonzero(right)[1].max() < np.nonzero(wrong)[1].min()
    green, red = ((pixels == color).all(axis=2).any(axis=0).nonzero()[0] for color in ((0, 135, 60), (205, 20, 40)))
    assert green.max() < red.min()
