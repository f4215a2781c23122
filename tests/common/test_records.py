"""Numbers in JSON files that Python reads and nobody can compute with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from mambapro.common.files.atomic import json_text
from mambapro.common.records import NOT_STORED, RecordError, decode


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
    with pytest.raises(RecordError) as error:
        decode(_Reading, json.loads(text))
    assert len(error.value.problems) == 1 and error.value.problems[0].startswith(said)


def test_more_digits_than_python_writes() -> None:
    """A number that cannot even be shown is a problem like the others."""
    with pytest.raises(RecordError, match=r"^count must be a number of at most") as error:
        decode(_Reading, {"count": 10**5000})
    assert len(error.value.problems) == 1


def test_numbers_that_can() -> None:
    """Whole numbers are numbers, and the largest of 64 bits are whole numbers."""
    found = decode(_Reading, {"share": 2, "maybe": 3.5, "count": 2**63 - 1})

    assert found == _Reading(2.0, 3.5, 2**63 - 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_files_hold_no_number_that_json_has_not(value: float) -> None:
    """What is written is JSON to every reader: NaN and infinity are refused, wherever they are."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"rows": [1.0, {"value": value}]})


@dataclass(frozen=True)
class _Station:
    name: str
    pair: tuple[float, float] = (0.0, 0.0)
    sizes: tuple[int | str, ...] = ()
    readings: dict[str, _Reading] = field(default_factory=dict)
    first: _Reading | None = None
    secret: str | None = field(default=None, metadata=NOT_STORED)

    def __post_init__(self) -> None:
        if self.name == "nobody":
            raise ValueError("nobody is no station")


@pytest.mark.parametrize(
    ("value", "problems"),
    [
        ([1], ["the file must be an object, not [1]"]),
        ({}, ["name is missing"]),
        ({"name": "x", "b": 1}, ["b is unknown"]),
        ({"name": 3}, ["name must be a string, not 3"]),
        ({"name": "nobody"}, ["nobody is no station"]),
        ({"name": "x", "secret": "y"}, ["secret is unknown"]),
        ({"name": "x", "pair": []}, ["pair must have 2 entries, not 0"]),
        ({"name": "x", "pair": [1, 2, 3]}, ["pair must have 2 entries, not 3"]),
        ({"name": "x", "pair": "xy"}, ["pair must be a list, not 'xy'"]),
        ({"name": "x", "sizes": [1, 2.5]}, ["sizes[1] must be a whole number or a string, not 2.5"]),
        ({"name": "x", "readings": []}, ["readings must be an object, not []"]),
        ({"name": "x", "readings": {"a": {"count": "1"}}}, ["readings.a.count must be a whole number, not '1'"]),
        (
            {"name": "x", "first": {"share": None, "maybe": []}},
            ["first.share must be a number, not None", "first.maybe must be a number or null, not []"],
        ),
    ],
)
def test_problems_name_path_and_value(value: object, problems: list[str]) -> None:
    """All problems of a value are collected, each with the path of its field and what stands there."""
    with pytest.raises(RecordError) as error:
        decode(_Station, value)

    assert error.value.problems == problems


def test_records_are_as_written() -> None:
    """Lists become tuples, absent fields their defaults, and text keeps lone surrogates, which file names may hold."""
    station = decode(_Station, {"name": "b\udce9", "pair": [1, 2], "sizes": ["batch", 3], "first": {"count": 1}})

    assert station == _Station("b\udce9", (1.0, 2.0), ("batch", 3), first=_Reading(count=1))


def test_long_lists_of_problems() -> None:
    """A list of a million wrong entries costs neither time nor memory of a million messages."""
    with pytest.raises(RecordError, match=r"^sizes\[0\] must be a whole number or a string, not None$"):
        decode(_Station, {"name": "x", "sizes": [None] * 10**6})
