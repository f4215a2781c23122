"""Conditions on attributes: precedence, comparisons, quotes, and errors with their position."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.search.condition import parse_condition

LABELS = ("hat", "backpack", "short sleeve", "not", 'a"b', "Skirt")
#: All combinations of three decisions, and probabilities that go with them.
ASSIGNED = np.array([(*each, False, False, False) for each in itertools.product((False, True), repeat=3)])
PROBABILITIES = np.where(ASSIGNED, 0.8, 0.1).astype(np.float32)


def matches(text: str) -> list[bool]:
    """Truth of a condition for the eight combinations of hat, backpack and short sleeve."""
    return parse_condition(text, LABELS).matches(PROBABILITIES, ASSIGNED).tolist()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hat", lambda h, b, s: h),
        ("backpack and not hat", lambda h, b, s: b and not h),
        ("hat or backpack and 'short sleeve'", lambda h, b, s: h or (b and s)),
        ('(hat or backpack) and "short sleeve"', lambda h, b, s: (h or b) and s),
        ("not hat and backpack", lambda h, b, s: (not h) and b),
        ("not (hat and backpack)", lambda h, b, s: not (h and b)),
        ("not not hat", lambda h, b, s: h),
        ("NOT Hat AND BACKPACK", lambda h, b, s: (not h) and b),
        ("hat > 0.5 or backpack<0.5", lambda h, b, s: h or not b),
        ("hat >= .8 and backpack <= 0.1", lambda h, b, s: h and not b),
        ("(hat)and(backpack)", lambda h, b, s: h and b),
        ('hat or \'not\' or "a""b" or skirt', lambda h, b, s: h),
    ],
)
def test_truth(text: str, wanted) -> None:
    """`and` binds before `or`, `not` before both; keywords and labels in any case; quoted labels."""
    assert matches(text) == [wanted(*row[:3]) for row in ASSIGNED.tolist()]


def test_a_comparison_is_of_the_stored_probability() -> None:
    """A float32 probability equals the number that it was written as: 0.45 is not larger than 0.45."""
    probabilities = np.array([[0.45], [0.450001]], np.float32)

    found = parse_condition("hat > 0.45", ("hat",)).matches(probabilities, np.zeros((2, 1), bool))

    assert found.tolist() == [False, True]


def test_certainty() -> None:
    """The least of `and`, the most of `or`, the opposite of `not` and of an upper limit."""
    probabilities = np.array([[0.9, 0.6, 0.3, 0, 0, 0]])

    def certainty(text: str) -> float:
        return float(parse_condition(text, LABELS).certainty(probabilities)[0])

    assert certainty("hat and backpack") == pytest.approx(0.6)
    assert certainty("hat or backpack") == pytest.approx(0.9)
    assert certainty("not hat") == pytest.approx(0.1)
    assert certainty("'short sleeve' < 0.5 and hat > 0.2") == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("", 1, "a label, not, or a parenthesis should stand here, not the end"),
        ("   ", 1, "not the end"),
        ("hat and", 8, "not the end"),
        ("hat and bakpack", 9, r"there is no label 'bakpack'\. The nearest of 6: backpack\.$"),
        ("hat and 'c d'", 9, "there is no label 'c d'"),
        ("hat and qq", 9, r"The nearest of 6: [^,]+\.$"),
        ("hat backpack", 5, r"and, or, or the end should stand here, not 'backpack'.* spaces are quoted"),
        ("short sleeve", 1, "there is no label 'short'. .*short sleeve.* spaces are quoted"),
        ("(hat", 5, "the parenthesis that closes character 1 should stand here"),
        ("hat)", 4, r"not '\)'"),
        ("and hat", 1, "not 'and'"),
        ("hat > 1.5", 7, "a probability from 0 to 1 has to follow >"),
        ("hat > backpack", 7, "a probability"),
        ("hat > ", 6, "a probability"),
        ("hat = 1", 5, "'=' has no meaning here. Write and, or, not"),
        ("hat & backpack", 5, "'&' has no meaning"),
        ("'hat", 1, "the quotes are not closed"),
        ("hat and ''", 9, "the quotes are not closed, or hold nothing"),
        ("hat > 0.5 > 0.2", 11, "and, or, or the end"),
    ],
)
def test_errors_have_a_position(text: str, at: int, message: str) -> None:
    """InputError with the character, the reason, and a mark below it."""
    with pytest.raises(InputError, match=f"(?m){message}") as error:
        parse_condition(text, LABELS)

    told = str(error.value)
    assert f"at character {at}:" in told
    line, mark = told.splitlines()[1:3]
    assert line == f"  {text}".rstrip("\n") and mark == " " * (at + 1) + "^"


def test_depth_and_length_are_limited() -> None:
    """InputError for deep nesting and for long texts, without a recursion error."""
    assert parse_condition("(" * 90 + "hat" + ")" * 90, LABELS)
    with pytest.raises(InputError, match="nested more than 100 levels"):
        parse_condition("(" * 3000 + "hat" + ")" * 3000, LABELS)
    with pytest.raises(InputError, match="nested more than 100 levels"):
        parse_condition("not " * 2000 + "hat", LABELS)
    with pytest.raises(InputError, match="has 20,003 characters; at most 10,000"):
        parse_condition("hat" + " " * 20_000, LABELS)


def test_long_conditions_are_shown_around_the_error() -> None:
    """The text near the error is shown, and control characters are escaped."""
    with pytest.raises(InputError) as error:
        parse_condition(" or ".join(["hat"] * 200) + " or \x1b[2J", LABELS)

    line, mark = str(error.value).splitlines()[1:]
    assert line.startswith("  ...") and line[mark.index("^") :].startswith("\\x1b") and len(line) < 120


def test_labels_that_differ_in_case() -> None:
    """The exact one is taken; another spelling is not guessed."""
    probabilities = np.array([[0.9, 0.1]])

    found = parse_condition("hat > 0.5", ("Hat", "hat")).matches(probabilities, probabilities > 0.5)

    assert found.tolist() == [False]
    with pytest.raises(InputError, match="no label 'HAT'"):
        parse_condition("HAT", ("Hat", "hat"))
