"""Mutated files through every command that reads one: no traceback, no hang, no memory, no program, known exit codes.

    python benchmarks/fuzz.py [--files 5000] [--seed 0] [--workers 2] [--only NAME] [--keep FOLDER]
    python benchmarks/fuzz.py --odd 1 [--workers 2] [--only NAME] [--keep FOLDER]

The good files are of a tiny model and a small drawn benchmark, made by the product's own commands. Each case mutates
one of them (bytes, tokens of text, members of archives; hashes of a bundle are made right again) and runs one command
on it, in a forked child. Promised are: an exit code that the documentation knows, no traceback, at most --seconds
beyond the time that the command takes with the good file (a training may go on, and is ended), at most --memory MiB
beyond what the good file takes, no program but Python itself where the command times in processes of its own, and no
control character printed. The table counts the cases and faults of each command; --keep keeps the files with a fault.
Ends with 1 where there is a fault. With --odd the files are those of tests/hostile in place of mutated ones: the first
command of a kind reads all its files, the others every --odd-th.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from fuzzing.corpus import write_corpus
from fuzzing.entries import Entry
from fuzzing.materials import Materials
from fuzzing.mutate import mutated
from fuzzing.runner import Case, Limits, Runner, entries_called, materials, run_all

_TEXT = (".json", ".toml", "")


def _cases(files: int, entries: Sequence[Entry]) -> list[Case]:
    """`files` cases shared out by the entries' weights, in a mixed order."""
    total = sum(entry.weight for entry in entries)
    found = [Case(entry, n) for entry in entries for n in range(-(-files * entry.weight // total))]
    random.Random(0).shuffle(found)
    return found


def _odd_cases(made: Materials, entries: Sequence[Entry], every: int) -> list[Case]:
    found, seen = [], set()
    for kind, paths in write_corpus(made.folder / "odd", made, {entry.kind for entry in entries}).items():
        for entry in (entry for entry in entries if entry.kind == kind):
            step = every if kind in seen else 1
            # not always the same ones
            found += [Case(entry, n, path) for n, path in enumerate(paths) if (n + len(found)) % step == 0]
            seen.add(kind)
    return found


@click.command(help=__doc__)
@click.option("--odd", type=click.IntRange(min=1), help="Odd files in place of mutated ones.")
@click.option("--files", type=click.IntRange(min=1), default=5000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--memory", default=1024, show_default=True, help="MiB.")
@click.option("--only", help="Entries whose name holds this.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for files with a fault.")
def main(
    odd: int | None, files: int, seed: int, workers: int, seconds: float, memory: int, only: str | None,
    keep: Path | None,
) -> None:  # fmt: skip
    """Print a line for each fault and a table at the end."""

    def content(name: str, seeds: Sequence[Path], number: int) -> tuple[Path, bytes]:
        chance = random.Random(f"{seed}/{name}/{number}")
        good = chance.choice(seeds)
        others = [path.read_bytes() for path in seeds if path.suffix == good.suffix and path != good]
        return good, mutated(good.read_bytes(), others, chance, good.suffix in _TEXT)

    entries = entries_called(only)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    with materials(entries) as made:
        runner = Runner(made, Limits(seconds, memory << 20), keep, content)
        runner.measure(entries)
        cases = _odd_cases(made, entries, odd) if odd else _cases(files, entries)
        code = run_all(runner, cases, workers)
    sys.exit(code)


if __name__ == "__main__":
    main()
