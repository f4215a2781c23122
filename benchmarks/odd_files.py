"""Odd and hostile files, those of tests/hostile, through every command that reads one of their kind.

    python benchmarks/odd_files.py [--every 1] [--workers 2] [--only NAME] [--keep FOLDER]

What is promised, and the table, are those of `fuzz.py`. The first command of a kind reads all its files, the others
every --every-th.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from fuzzing.corpus import write_corpus
from fuzzing.entries import Entry
from fuzzing.materials import Materials
from fuzzing.runner import Case, Limits, Runner, entries_called, materials, run_all


def _cases(made: Materials, entries: list[Entry], every: int) -> list[Case]:
    found, seen = [], set()
    kinds = {entry.kind for entry in entries}
    for kind, paths in write_corpus(made.folder / "odd", made, kinds).items():
        for entry in (entry for entry in entries if entry.kind == kind):
            step = every if kind in seen else 1
            # not always the same ones
            found += [Case(entry, n, path) for n, path in enumerate(paths) if (n + len(found)) % step == 0]
            seen.add(kind)
    return found


@click.command(help=__doc__)
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--memory", default=1024, show_default=True, help="MiB.")
@click.option("--only", help="Entries whose name holds this.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for files with a fault.")
def main(every: int, workers: int, seconds: float, memory: int, only: str | None, keep: Path | None) -> None:
    """Print a line for each fault and a table at the end."""
    entries = entries_called(only)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    with materials(entries) as made:
        runner = Runner(made, Limits(seconds, memory << 20), keep, lambda *_: sys.exit("nothing is mutated here"))
        runner.measure(entries)
        code = run_all(runner, _cases(made, entries, every), workers)
    sys.exit(code)


if __name__ == "__main__":
    main()
