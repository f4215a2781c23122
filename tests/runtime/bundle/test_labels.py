"""Labels of logits: which a sample has, and which definitions are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.bundle.labels import Labels

LOGITS = np.array([[0.0, 0.1, -0.3], [5.0, 4.0, np.nan]])


@pytest.mark.parametrize(
    ("labels", "assigned"),
    [
        (Labels(("a", "b", "c")), [[0, 1, 0], [1, 1, 0]]),
        # sigmoid(-0.3) = 0.43, sigmoid(0.1) = 0.52
        (Labels(("a", "b", "c"), thresholds=(0.5, 0.6, 0.4)), [[0, 0, 1], [1, 1, 0]]),
        (Labels(("a", "b", "c"), "none", (-1.0, 4.0, -1.0)), [[1, 0, 1], [1, 0, 0]]),
    ],
)
def test_each_label_alone(labels: Labels, assigned: list[list[int]]) -> None:
    """A label is assigned above its threshold, not at it; NaN is above none."""
    np.testing.assert_array_equal(labels.assign(LOGITS), np.array(assigned, bool))


def test_softmax_takes_the_largest() -> None:
    """Exactly one label of each sample."""
    assigned = Labels(("a", "b", "c"), "softmax").assign(LOGITS[:1])

    np.testing.assert_array_equal(assigned, [[False, True, False]])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"names": ()}, "names must be 1 to"),
        ({"names": ("a", "a")}, "none of them twice"),
        ({"names": ("a", "")}, "1 to 200 letters"),
        ({"names": ("a",), "activation": "relu"}, "activation must be one of sigmoid, softmax, none"),
        ({"names": ("a", "b"), "thresholds": (0.5,)}, "one for each of 2 labels, not 1"),
        ({"names": ("a",), "thresholds": (0.5,), "activation": "softmax"}, "none with softmax"),
        ({"names": ("a",), "thresholds": (np.nan,), "activation": "none"}, r"finite numbers, not \[nan\]"),
        ({"names": ("a",), "thresholds": (np.inf,), "activation": "none"}, r"finite numbers, not \[inf\]"),
        ({"names": ("a",), "thresholds": (1.0,)}, "between 0 and 1 after a sigmoid"),
        ({"names": ("a", "b"), "words": ("x",)}, "words must be one for each of 2 labels, not 1"),
        ({"names": ("a",), "words": ("",)}, "words must have 1 to 1000 letters"),
        ({"names": ("a", "b"), "exclusive": (("a", "a"),)}, "two or more different labels"),
        ({"names": ("a", "b"), "exclusive": (("a", "c"),)}, "groups of the labels in names"),
    ],
)
def test_wrong_labels(fields: dict[str, Any], message: str) -> None:
    """InputError says which field is wrong."""
    with pytest.raises(InputError, match=message):
        Labels(**fields)


def test_plain_values() -> None:
    """Labels come back from their JSON; fields that came later are not in it where they are empty."""
    full = Labels(("a", "b"), thresholds=(0.4, 0.6), words=("an a", "a b"), exclusive=(("a", "b"),))
    plain = Labels(("a",))

    assert Labels.from_json(full.to_json()) == full
    assert plain.to_json() == {"names": ["a"], "activation": "sigmoid", "thresholds": []}
    assert Labels.from_json(plain.to_json()) == plain


def test_hash_of_the_list() -> None:
    """The hash changes with names, words and order, and not with thresholds."""
    labels = Labels.of_attributes(("a", "b"), ("x", "y"))
    others = [Labels(("b", "a"), words=("x", "y")), Labels(("a", "b"), words=("x", "z")), Labels(("a", "b"))]

    assert labels.thresholds == (0.45, 0.45)
    assert labels.sha256 == Labels(("a", "b"), words=("x", "y")).sha256
    assert labels.sha256 not in [other.sha256 for other in others]
