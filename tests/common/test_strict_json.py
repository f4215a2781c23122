"""Numbers in JSON files that Python reads and nobody can compute with."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from mambapro.common.files.atomic import json_text
from mambapro.common.strict_json import decode


@dataclass(frozen=True)
class _Reading:
    share: float = 0.0
    maybe: float | None = None
    count: int = 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"share": NaN}', "share must be a finite number, not nan"),
        ('{"maybe": -Infinity}', "maybe must be a finite number or null, not -inf"),
        ('{"share": 1e999}', "share must be a finite number, not inf"),
        (f'{{"share": 1{"0" * 400}}}', "share must be a number of at most 9223372036854775807, not 1000"),
        (f'{{"maybe": -1{"0" * 400}}}', "maybe must be a number of at most 9223372036854775807 or null, not -1000"),
        (f'{{"count": 1{"0" * 30}}}', "count must be a number of at most 9223372036854775807, not 1000"),
        ('{"count": 1.5}', "count must be a whole number, not 1.5"),
        ('{"share": true}', "share must be a number, not True"),
    ],
)
def test_numbers_that_cannot_be_used(text: str, said: str) -> None:
    """Each is a problem that names the field, not a value and not an exception."""
    problems: list[str] = []

    assert decode(_Reading, json.loads(text), "", problems) is None
    assert len(problems) == 1 and problems[0].startswith(said)


def test_more_digits_than_python_writes() -> None:
    """A number that cannot even be shown is a problem like the others."""
    problems: list[str] = []

    assert decode(_Reading, {"count": 10**5000}, "", problems) is None
    assert len(problems) == 1 and "count must be a number of at most" in problems[0]


def test_numbers_that_can() -> None:
    """Whole numbers are numbers, and the largest of 64 bits are whole numbers."""
    found = decode(_Reading, {"share": 2, "maybe": 3.5, "count": 2**63 - 1}, "", [])

    assert found == _Reading(2.0, 3.5, 2**63 - 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_files_hold_no_number_that_json_has_not(value: float) -> None:
    """What is written is JSON to every reader: NaN and infinity are refused, wherever they are."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"rows": [1.0, {"value": value}]})
