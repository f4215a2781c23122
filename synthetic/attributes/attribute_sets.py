"""Drawn sets before drawing: persons, labels and partitions in the proportions of the published sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ..part_map import TRAIT_STREAM, generator
from .conditions import label_lists, true_labels
from .label_errors import exchange_labels, forget_labels
from .traits import Person, draw_persons, quotas, redraw_images

Rows = npt.NDArray[np.int64]

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class SetKind:
    """Fixed properties of an attribute set.

    `number` keys its generators; `traits` and `listed` name its tables of traits and of labels; `parts` are the
    published numbers of images of training, validation and test; `shuffled` rows of the parts are mixed; `not_judged`
    is the share of labels 2; identities of a `zero_shot` set are in one part only.
    """

    number: int
    title: str
    traits: str
    listed: str
    parts: tuple[int, int, int]
    shuffled: bool = True
    not_judged: float = 0.0
    zero_shot: bool = False


KINDS: dict[str, SetKind] = {
    "pa100k": SetKind(0, "PA100K", "pa100k", "pa100k", (80_000, 10_000, 10_000), shuffled=False),
    "peta": SetKind(1, "PETA", "peta", "peta", (9_500, 1_900, 7_600)),
    "rapv1": SetKind(2, "RAPv1", "rapv2", "rapv1", (33_268, 0, 8_317), not_judged=0.02),
    "rapv2": SetKind(3, "RAPv2", "rapv2", "rapv2", (50_957, 16_986, 16_985), not_judged=0.02),
    "wider": SetKind(4, "WIDER", "wider", "wider", (28_330, 0, 29_161), shuffled=False),
    "peta-zs": SetKind(5, "PETA-ZS", "peta", "peta", (11_241, 3_826, 3_933), zero_shot=True),
    "rap-zs": SetKind(6, "RAP-ZS", "rapv2", "rapv2", (17_062, 4_628, 4_928), not_judged=0.02, zero_shot=True),
    "msp60k": SetKind(7, "MSP60K", "msp60k", "msp60k", (30_298, 6_002, 23_822)),
}
#: Images of one identity of a zero-shot set.
IMAGES_PER_IDENTITY = 4
FEWEST_IMAGES, MOST_IMAGES = 40, 100_000


@dataclass(frozen=True)
class PlannedSet:
    """Persons to draw, and their annotation.

    Attributes:
        persons: traits by row.
        identities: number of the person by row; persons of one number look alike.
        truth: uint8 (images, attributes), what was drawn.
        labels: the same with the errors of annotators; 2 is not judged.
        attributes: names by column.
        parts: rows of training, validation and test.
    """

    name: str
    seed: int
    persons: list[Person]
    identities: Rows
    truth: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    attributes: tuple[str, ...]
    parts: dict[str, Rows]

    @property
    def kind(self) -> SetKind:
        """Properties of the set."""
        return KINDS[self.name]

    def __len__(self) -> int:
        return len(self.persons)


def plan_set(
    name: str, *, seed: int = 0, images: int = 2000, label_noise: float = 0.05, test_label_noise: float = 0.0
) -> PlannedSet:
    """Decide what the images of a set show, and how they are labeled.

    Args:
        name: of the set.
        seed: of everything random.
        images: number of images in all.
        label_noise: share of wrong labels of the training part: of each attribute's rarer label, and as many of the
            other one.
        test_label_noise: the same of validation and test.

    Raises:
        InputError: unknown name or numbers out of range.
    """
    _check(name, seed, images, label_noise, test_label_noise)
    kind = KINDS[name]
    rng = generator(seed, TRAIT_STREAM, kind.number)
    persons: list[Person] = []
    identities: list[int] = []
    counts = _counts(kind, images)
    for count in counts:
        drawn, owners = _part(rng, kind, count, len(set(identities)))
        persons += drawn
        identities += owners
    order = rng.permutation(images) if kind.shuffled else np.arange(images)
    persons = [persons[row] for row in order]
    parts = {
        part: np.flatnonzero((order >= end - count) & (order < end))
        for part, count, end in zip(PARTS, counts, np.cumsum(counts).tolist(), strict=True)
    }
    truth = true_labels(kind.listed, persons)
    labels = truth.copy()
    for part, rows in parts.items():
        if len(rows):
            exchange_labels(rng, labels, rows, label_noise if part == "train" else test_label_noise)
    forget_labels(rng, labels, kind.not_judged)
    rows_owners = np.array(identities, np.int64)[order]
    return PlannedSet(name, seed, persons, rows_owners, truth, labels, tuple(label_lists()[kind.listed]), parts)


def _counts(kind: SetKind, images: int) -> list[int]:
    used = [part for part in kind.parts if part]
    counts = iter(quotas(used, images).tolist())
    return [next(counts) if part else 0 for part in kind.parts]


def _part(rng: np.random.Generator, kind: SetKind, count: int, first: int) -> tuple[list[Person], list[int]]:
    """Draw the images of a part, and the number of the person in each."""
    if not kind.zero_shot:
        return draw_persons(rng, kind.traits, count) if count else [], list(range(first, first + count))
    owners = [row // IMAGES_PER_IDENTITY for row in range(count)]
    people = draw_persons(rng, kind.traits, owners[-1] + 1)
    images = redraw_images(rng, kind.traits, [people[owner] for owner in owners])
    return images, [first + owner for owner in owners]


def _check(name: str, seed: int, images: int, *noise: float) -> None:
    if name not in KINDS:
        raise InputError(f"There is no attribute set {name!r} to draw. Known: {', '.join(KINDS)}.")
    if seed < 0:
        raise InputError(f"The seed is {seed}; give 0 or more.")
    if not FEWEST_IMAGES <= images <= MOST_IMAGES:
        raise InputError(f"{images} images were asked for; give {FEWEST_IMAGES}..{MOST_IMAGES:,}.")
    for share in noise:
        if not 0 <= share <= 0.5:
            raise InputError(f"A label noise of {share} was asked for; give a share from 0 to 0.5.")
