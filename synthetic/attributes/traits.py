"""Drawing of traits: every value in its share of the persons, slots independent but for what excludes each other."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...common.formats.toml_files import parse_toml

Person = dict[str, str]

#: Slots that differ between images of one person.
OF_AN_IMAGE = ("view", "motion", "arms", "company")

_BUSY_ARMS = frozenset(("holding", "box", "calling", "pushing", "over_arm", "waving", "smoking", "behind", "crossed"))
_BUSY_HANDS = frozenset(("handbag", "paper_bag", "suitcase", "umbrella", "plastic_bag"))
_PATTERNS = frozenset(("stripes", "thick_stripes", "logo", "plaid", "splice"))
_ACTIVE = frozenset(("running", "bicycle", "scooter"))
#: Pairs of values that cannot be drawn together; the first slot's value moves to another person.
CONFLICTS = (
    ("arms", _BUSY_ARMS, "right_hand", _BUSY_HANDS),
    ("arms", _BUSY_ARMS, "left_hand", _BUSY_HANDS),
    ("motion", _ACTIVE, "arms", _BUSY_ARMS),
    ("motion", _ACTIVE, "right_hand", _BUSY_HANDS),
    ("motion", _ACTIVE, "left_hand", _BUSY_HANDS),
    ("motion", _ACTIVE | {"skateboard"}, "age", frozenset(("elder",))),
    ("motion", _ACTIVE, "lower", frozenset(("long_skirt",))),
    ("upper_pattern", _PATTERNS, "upper", frozenset(("suit", "gown", "chef", "poncho", "padded", "vest", "coat"))),
    ("upper_pattern", frozenset(("logo",)), "upper", frozenset(("jacket",))),
    (
        "neck",
        frozenset(("v",)),
        "upper",
        frozenset(("suit", "gown", "chef", "poncho", "padded", "coat", "jacket", "vest")),
    ),
    ("lower_pattern", frozenset(("stripe", "pattern")), "lower", frozenset(("formal",))),
    ("lower", frozenset(("dress", "short_skirt", "shorts")), "upper", frozenset(("gown",))),
    ("lower", frozenset(("dress",)), "upper", frozenset(("suit", "coat", "chef", "poncho"))),
    ("hair", frozenset(("bald",)), "age", frozenset(("child",))),
)
#: Values of which another slot's is part.
COLORS = (
    ("age", "elder", "hair_color", "white"),
    ("upper", "chef", "upper_color", "white"),
    ("upper", "gown", "upper_color", "black"),
)
_ATTEMPTS = 200


@lru_cache(maxsize=1)
def trait_tables() -> dict[str, dict[str, dict[str, float]]]:
    """Return the weights of every slot's values by set, the default's filled in."""
    tables = parse_toml(Path(__file__).with_name("traits.toml").read_text(encoding="utf-8"))
    default = tables.pop("default")
    return {name: default | table for name, table in tables.items()}


def draw_persons(rng: np.random.Generator, table: str, count: int) -> list[Person]:
    """Draw the traits of `count` persons; every value occurs if there are enough of them."""
    weights = trait_tables()[table]
    columns = {slot: _shuffled(rng, values, count) for slot, values in weights.items()}
    persons = [{slot: column[row] for slot, column in columns.items()} for row in range(count)]
    _settle(rng, persons)
    for person in persons:
        for slot, value, other, color in COLORS:
            if person[slot] == value:
                person[other] = color
    return persons


def redraw_images(rng: np.random.Generator, table: str, persons: list[Person]) -> list[Person]:
    """Return persons with new values of the slots that differ between images."""
    weights = trait_tables()[table]
    columns = {slot: _shuffled(rng, weights[slot], len(persons)) for slot in OF_AN_IMAGE}
    images = [person | {slot: columns[slot][row] for slot in OF_AN_IMAGE} for row, person in enumerate(persons)]
    _settle(rng, images, OF_AN_IMAGE)
    return images


def quotas(weights: npt.ArrayLike, count: int) -> npt.NDArray[np.int64]:
    """Divide `count` in proportion to weights; each gets at least one where there are enough."""
    shares = np.asarray(weights, np.float64)
    exact = shares / shares.sum() * count
    parts = np.floor(exact).astype(np.int64)
    order = np.argsort(parts - exact, kind="stable")
    parts[order[: count - int(parts.sum())]] += 1
    while count >= len(parts) and (parts == 0).any():
        parts[int(np.argmax(parts))] -= 1
        parts[int(np.argmin(parts))] += 1
    return parts


def _shuffled(rng: np.random.Generator, weights: dict[str, float], count: int) -> list[str]:
    values = np.repeat(list(weights), quotas(list(weights.values()), count))
    return [str(value) for value in rng.permutation(values)]


def _conflict(person: Person, movable: tuple[str, ...] | None = None) -> str | None:
    """Return the slot that cannot be drawn as it is, or None."""
    for slot, values, other, others in CONFLICTS:
        if person[slot] in values and person[other] in others and (movable is None or slot in movable):
            return slot
    return None


def _settle(rng: np.random.Generator, persons: list[Person], movable: tuple[str, ...] | None = None) -> None:
    """Resolve conflicts by exchanging values between persons, which keeps the shares."""
    for row, person in enumerate(persons):
        for _ in range(_ATTEMPTS):
            slot = _conflict(person, movable)
            if slot is None:
                break
            other = persons[int(rng.integers(len(persons)))]
            person[slot], other[slot] = other[slot], person[slot]
            if _conflict(other, movable) is not None and other is not persons[row]:
                person[slot], other[slot] = other[slot], person[slot]
        else:
            _give_way(person, movable)


def _give_way(person: Person, movable: tuple[str, ...] | None) -> None:
    """Take the plain value where no other person can take the value in conflict, as in very small sets."""
    plain = {"arms": "free", "motion": "walking", "upper_pattern": "plain", "neck": "round", "lower_pattern": "plain"}
    while (slot := _conflict(person, movable)) is not None:
        person[slot] = plain.get(slot, "trousers" if slot == "lower" else "short")
