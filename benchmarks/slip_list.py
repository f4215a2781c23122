"""Lists of slips (for slips.py, which tells their form)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tomllib


class ListError(Exception):
    """The list of slips is wrong: a text that is not there, code that does not compile, tests that fail anyway."""


@dataclass(frozen=True)
class Slip:
    """One change of one file, and the tests that are to notice it."""

    file: str
    kind: str
    old: str
    new: str
    tests: tuple[str, ...]
    place: str = field(compare=False)

    @property
    def folder(self) -> str:
        return str(Path(self.file).parent)


def read_list(path: Path) -> list[Slip]:
    """The slips of one list; ListError names what is wrong with it."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    slips = []
    for number, entry in enumerate(content["slip"], 1):
        place = f"{path.name}, slip {number}"
        surplus = set(entry) - {"file", "kind", "old", "new", "tests"}
        if surplus:
            raise ListError(f"{place}: unknown {', '.join(sorted(surplus))}")
        tests = entry.get("tests") or content.get("tests", {}).get(entry["file"])
        if not tests:
            raise ListError(f"{place}: no tests are named for {entry['file']}")
        slips.append(Slip(entry["file"], entry["kind"], entry["old"], entry["new"], tuple(tests), place))
    return slips


def errors_of(slips: list[Slip], root: Path) -> dict[str, str]:
    """Return the errors that need no run, by place: an old text that does not occur once, missing tests."""
    found = {}
    for slip in slips:
        times = (root / slip.file).read_text(encoding="utf-8").count(slip.old) if (root / slip.file).exists() else 0
        missing = [test for test in slip.tests if not (root / test.split("::")[0]).exists()]
        if times != 1:
            found[slip.place] = f"{slip.place}: the old text occurs {times} times in {slip.file}: {slip.old!r}"
        elif slip.old == slip.new:
            found[slip.place] = f"{slip.place}: the new text is the old one"
        elif missing:
            found[slip.place] = f"{slip.place}: there is no {missing[0]}"
    return found
