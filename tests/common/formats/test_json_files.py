"""JSON files of others: size first, and neither long numbers nor nesting take time or a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from mambapro.common.formats.json_files import parse_json, read_json
from mambapro.errors import ArtifactError, InputError


def test_a_value(tmp_path: Path) -> None:
    """What json reads."""
    (tmp_path / "a.json").write_text('{"a": [1, -2.5, null, 9223372036854775807]}')

    assert read_json(tmp_path / "a.json") == {"a": [1, -2.5, None, 2**63 - 1]}


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    ("text", "why"),
    (
        ("9" * 1_000_000, "1,000,000 digits"),
        ("[" * 100_000, "nested too deep|not JSON"),
        ('{"a": ' * 100_000, "nested too deep|not JSON"),
        ("\xff\xfe", "not JSON"),
        ("{", "not JSON"),
    ),
)
def test_what_is_refused(text: str, why: str, tmp_path: Path) -> None:
    """Long numbers, deep nesting and what is no JSON are one named error, at once."""
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))

    with pytest.raises(InputError, match=rf"table .*a\.json.*({why}).*Make it again\."):
        read_json(tmp_path / "a.json", "table", InputError, advice="Make it again.")
    with pytest.raises(ValueError):
        parse_json(text)


def test_size_is_refused_unread(tmp_path: Path) -> None:
    """A sparse file of a terabyte costs nothing."""
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(ArtifactError, match="at most"):
        read_json(tmp_path / "a.json")
