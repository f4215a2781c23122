"""What drawn attribute sets show and how they are labeled: shares, errors, parts, identities."""

from __future__ import annotations

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.synthetic.attributes.attribute_sets import KINDS, plan_set
from mambapro.synthetic.attributes.conditions import label_lists, true_labels
from mambapro.synthetic.attributes.traits import CONFLICTS, trait_tables

#: Sizes of the published annotations, and parts of 1,000 images in the published proportions.
SIZES = {
    "pa100k": (26, (800, 100, 100)),
    "peta": (105, (500, 100, 400)),
    "rapv1": (92, (800, 0, 200)),
    "rapv2": (95, (600, 200, 200)),
    "wider": (14, (493, 0, 507)),
    "peta-zs": (105, (592, 201, 207)),
    "rap-zs": (95, (641, 174, 185)),
    "msp60k": (57, (504, 100, 396)),
}


@pytest.mark.parametrize("name", KINDS)
class TestSets:
    def test_sizes(self, name: str) -> None:
        """Attributes and parts have the published numbers and proportions."""
        planned = plan_set(name, images=1000)

        attributes, parts = SIZES[name]
        assert planned.labels.shape == (1000, attributes) == (1000, len(planned.attributes))
        assert tuple(len(planned.parts[part]) for part in ("train", "val", "test")) == parts
        assert sorted(np.concatenate(list(planned.parts.values())).tolist()) == list(range(1000))

    def test_every_evaluated_attribute_occurs(self, name: str) -> None:
        """In 1,000 images every attribute that a condition describes is true somewhere and false somewhere."""
        planned = plan_set(name, images=1000)

        described = [bool(condition) for condition in label_lists()[KINDS[name].listed].values()]
        positives = planned.truth.sum(axis=0)
        assert ((positives > 0) == described).all()
        assert (positives < 1000).all()

    def test_conditions_name_traits(self, name: str) -> None:
        """Slots and values of the conditions are those of the traits."""
        traits = trait_tables()[KINDS[name].traits]
        every: dict[str, set[str]] = {slot: set() for slot in traits}
        for table in trait_tables().values():
            for slot, values in table.items():
                every[slot] |= set(values)
        # the hair of the old, which has no share of its own
        every["hair_color"].add("white")

        named = [clause for condition in label_lists()[KINDS[name].listed].values() for clause in condition]

        assert all(values <= every[slot] for clause in named for slot, values in clause.items())

    def test_nothing_is_in_conflict(self, name: str) -> None:
        """Nobody has traits that cannot be drawn together."""
        for person in plan_set(name, images=600).persons:
            for slot, values, other, others in CONFLICTS:
                assert not (person[slot] in values and person[other] in others), (slot, person[slot], person[other])


def test_shares() -> None:
    """Shares are exact, and rare attributes are as rare in training as in test."""
    planned = plan_set("pa100k", images=2000)

    for part in planned.parts.values():
        shares = dict(zip(planned.attributes, planned.truth[part].mean(axis=0), strict=True))
        assert shares["Hat"] == pytest.approx(0.04, abs=0.001)
        assert shares["Female"] == pytest.approx(0.45, abs=0.001)
        assert shares["Front"] + shares["Side"] + shares["Back"] == pytest.approx(1)
        assert shares["AgeOver60"] == pytest.approx(0.03, abs=0.001)


def test_attributes_are_independent() -> None:
    """What nothing but chance joins is uncorrelated: knowing one attribute tells nothing of another."""
    planned = plan_set("pa100k", images=4000)
    of = {name: planned.truth[:, column].astype(float) for column, name in enumerate(planned.attributes)}

    for first, second in (("Female", "Backpack"), ("Hat", "Glasses"), ("LongSleeve", "Trousers"), ("Front", "HandBag")):
        assert abs(np.corrcoef(of[first], of[second])[0, 1]) < 0.06


def test_truth() -> None:
    """Conditions hold where one of their alternatives does, and each of its slots."""
    person = plan_set("rapv2", images=40).persons[0] | {
        "right_hand": "suitcase",
        "left_hand": "umbrella",
        "hair": "bald",
        "hair_color": "black",
        "sex": "female",
    }

    names = list(label_lists()["rapv2"])
    labels = dict(zip(names, true_labels("rapv2", [person])[0].tolist(), strict=True))

    assert (labels["Female"], labels["hs-BaldHead"], labels["hs-BlackHair"]) == (1, 1, 0)
    assert (labels["attachment-Other"], labels["action-CarryingByHand"], labels["attachment-HandBag"]) == (1, 1, 0)


class TestErrors:
    def test_training_only(self) -> None:
        """By default labels are wrong in the training part only, and as many positives stay as there were."""
        planned = plan_set("pa100k", images=2000, label_noise=0.1)

        wrong = planned.truth != planned.labels
        assert not wrong[planned.parts["val"]].any() and not wrong[planned.parts["test"]].any()
        train = planned.parts["train"]
        np.testing.assert_array_equal(planned.truth[train].sum(axis=0), planned.labels[train].sum(axis=0))
        # of the rarer label a tenth is wrong, and as many of the other one
        rarer = np.minimum(planned.truth[train].sum(axis=0), 1600 - planned.truth[train].sum(axis=0))
        np.testing.assert_array_equal(wrong[train].sum(axis=0), 2 * np.round(0.1 * rarer))

    def test_elsewhere(self) -> None:
        """Validation and test have errors where asked for; without any, labels are the truth."""
        noisy = plan_set("wider", images=400, label_noise=0.0, test_label_noise=0.2)
        clean = plan_set("wider", images=400, label_noise=0.0)

        wrong = noisy.truth != noisy.labels
        assert wrong[noisy.parts["test"]].any() and not wrong[noisy.parts["train"]].any()
        np.testing.assert_array_equal(clean.truth, clean.labels)

    def test_not_judged(self) -> None:
        """In the RAP sets about two percent of an attribute's rarer label, and as many of the other, are 2."""
        planned = plan_set("rapv1", images=2000, label_noise=0.0)

        column = planned.attributes.index("Female")
        assert (planned.labels[:, column] == 2).sum() == 2 * round(0.02 * 2000 * 0.45)
        judged = planned.labels != 2
        np.testing.assert_array_equal(planned.labels[judged], planned.truth[judged])


@pytest.mark.parametrize("name", ["peta-zs", "rap-zs"])
def test_identities_are_in_one_part(name: str) -> None:
    """Persons of a zero-shot set have several images in one part, which share what a person keeps."""
    planned = plan_set(name, images=400)

    parts = [set(planned.identities[rows].tolist()) for rows in planned.parts.values()]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    first = [planned.persons[row] for row in np.flatnonzero(planned.identities == planned.identities[0])]
    assert 2 <= len(first) <= 4
    for slot in ("sex", "age", "upper", "upper_color", "backpack", "shoes"):
        assert len({person[slot] for person in first}) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "market"}, "no attribute set 'market'"),
        ({"seed": -1}, "seed is -1"),
        ({"images": 39}, "39 images"),
        ({"images": 100_001}, "100001 images"),
        ({"label_noise": 0.6}, "label noise of 0.6"),
        ({"test_label_noise": -0.1}, "label noise of -0.1"),
    ],
    ids=["name", "seed", "few", "many", "noise", "test-noise"],
)
def test_refusals(arguments: dict[str, object], message: str) -> None:
    """Names and numbers that make no set are refused."""
    with pytest.raises(InputError, match=message):
        plan_set(**({"name": "pa100k"} | arguments))  # type: ignore[arg-type]
