"""Mutated files through every command that reads one: no traceback, no hang, no memory, no program, known exit codes.

    python benchmarks/fuzz.py [--files 5000] [--seed 0] [--workers 2] [--only NAME] [--keep FOLDER]

The good files are of a tiny model and a small drawn benchmark, made by the product's own commands. Each case mutates
one of them (bytes, tokens of text, members of archives; hashes of a bundle are made right again) and runs one command
on it, in a forked child. Promised are: an exit code that the documentation knows, no traceback, at most --seconds
beyond the time that the command takes with the good file (a training may go on, and is ended), at most --memory MiB
beyond what the good file takes, no program but Python itself where the command times in processes of its own, and no
control character printed. The table counts the cases and faults of each command; --keep keeps the files with a fault.
Ends with 1 where there is a fault.
"""

from __future__ import annotations

import collections
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# one thread a case: two cases at a time
os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
from fuzzing.entries import CODES, ENTRIES, Entry
from fuzzing.materials import Materials, make
from fuzzing.mutate import mutated
from fuzzing.sandbox import Outcome, warm_up, watched

#: Python for timing in a process of its own, and what tells about the machine.
_KNOWN = (sys.executable, "'nvidia-smi'", "'uname'")
_TEXT = (".json", ".toml", ".yaml", "")


@dataclass(frozen=True)
class Case:
    """One mutated file through one command."""

    entry: Entry
    number: int


@dataclass(frozen=True)
class Limits:
    """What a case may take, beyond the good file's."""

    seconds: float
    memory: int


class Fuzzer:
    """Cases over materials; `usual` is the outcome of each entry with each good file."""

    def __init__(self, made: Materials, seed: int, limits: Limits, keep: Path | None) -> None:
        self.made, self.seed, self.limits, self.keep = made, seed, limits, keep
        self.usual: dict[tuple[str, str], Outcome] = {}

    def measure(self) -> None:
        """Run every entry with every good file; one that an entry has no use for is left out of it, and told."""
        for entry in ENTRIES:
            for seed in self.made.seeds(entry.kind):
                outcome = self._run(entry, seed, seed.read_bytes(), 120)
                if outcome.code in (0, 6) or (entry.trains and outcome.code is None):
                    self.usual[entry.name, seed.name] = outcome
                elif outcome.faults(CODES, 120, 4 << 30):
                    raise SystemExit(f"{entry.name} fails with the good {seed.name}:\n{outcome.said}")
                else:
                    click.echo(f"not used: {seed.name} is refused by {entry.name} ({outcome.code})", err=True)

    def __call__(self, case: Case) -> tuple[str, Outcome, list[str], str]:
        """Name of the entry, outcome, faults, and the place of the file where there are any."""
        chance = random.Random(f"{self.seed}/{case.entry.name}/{case.number}")
        seeds = [path for path in self.made.seeds(case.entry.kind) if (case.entry.name, path.name) in self.usual]
        seed = chance.choice(seeds)
        others = [path.read_bytes() for path in seeds if path.suffix == seed.suffix and path != seed]
        content = mutated(seed.read_bytes(), others, chance, seed.suffix in _TEXT)
        usual = self.usual[case.entry.name, seed.name]
        seconds = usual.seconds + self.limits.seconds
        outcome = self._run(case.entry, seed, content, seconds)
        faults = outcome.faults(CODES, seconds, usual.memory + self.limits.memory)
        if case.entry.trains:
            faults = [fault for fault in faults if not fault.startswith("hang")]
        if not _foreign(outcome, case.entry.starts):
            faults = [fault for fault in faults if not fault.startswith("program")]
        kept = ""
        if faults and self.keep is not None:
            kept = f"{case.entry.name.replace(', ', '-')}-{case.number}-{seed.name}"
            (self.keep / kept).write_bytes(content)
            (self.keep / f"{kept}.txt").write_text(f"{faults}\n{outcome.said}", encoding="utf-8")
        return case.entry.name, outcome, faults, kept

    def _run(self, entry: Entry, seed: Path, content: bytes, seconds: float) -> Outcome:
        with tempfile.TemporaryDirectory(dir=self.made.folder) as place:
            folder = Path(place)
            file = folder / f"file{seed.suffix}"
            file.write_bytes(content)
            arguments = entry.arguments(self.made, seed, file, folder)
            return watched(arguments, place, seconds)


def _foreign(outcome: Outcome, starts: bool) -> bool:
    """Something else was started than what a command with programs of its own may start."""
    known = (*_KNOWN, "a child") if starts else ()
    return any(not any(name in program for name in known) for program in outcome.programs)


_fuzzer: Fuzzer


def _one(case: Case) -> tuple[str, Outcome, list[str], str]:
    return _fuzzer(case)


def cases(files: int, only: str | None) -> list[Case]:
    """`files` cases shared out by the entries' weights, in a mixed order."""
    entries = [entry for entry in ENTRIES if only is None or only in entry.name]
    if not entries:
        raise click.UsageError(f"no entry is called {only!r}; there are {', '.join(entry.name for entry in ENTRIES)}.")
    total = sum(entry.weight for entry in entries)
    found = [Case(entry, n) for entry in entries for n in range(-(-files * entry.weight // total))]
    random.Random(0).shuffle(found)
    return found


@click.command(help=__doc__)
@click.option("--files", type=click.IntRange(min=1), default=5000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--memory", default=1024, show_default=True, help="MiB.")
@click.option("--only", help="Entries whose name holds this.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for files with a fault.")
def main(files: int, seed: int, workers: int, seconds: float, memory: int, only: str | None, keep: Path | None) -> None:
    """Print a line for each fault and a table at the end."""
    global _fuzzer
    warm_up()
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="fuzz."))
    os.environ["MAMBAPRO_CACHE"] = str(folder / "cache")
    try:
        made = _in_child(folder)
        _fuzzer = Fuzzer(made, seed, Limits(seconds, memory << 20), keep)
        _fuzzer.measure()
        planned = cases(files, only)
        counts: dict[str, collections.Counter[str]] = {case.entry.name: collections.Counter() for case in planned}
        longest: dict[str, float] = {}
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            for name, outcome, faults, kept in pool.imap_unordered(_one, planned):
                counts[name]["files"] += 1
                longest[name] = max(longest.get(name, 0.0), outcome.seconds)
                counts[name][f"exit {outcome.code}"] += 1
                counts[name].update(fault.split(" (")[0] for fault in faults)
                if faults:
                    click.echo(f"{name}: {'; '.join(faults)} {kept}", err=True)
        sys.exit(_table(counts, longest))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_child(folder: Path) -> Materials:
    """Make the materials in a forked child: this process opens nothing."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            make(folder)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit("the materials could not be made")
    return Materials(folder)


def _table(counts: dict[str, collections.Counter[str]], longest: dict[str, float]) -> int:
    """Print the counts; 1 where there was a fault."""
    kinds = ["exit code", "traceback", "hang", "memory", "program started", "control characters printed"]
    heads = "".join(f"{kind.split()[0]:>11}" for kind in kinds)
    click.echo(f"{'command, file':22}{'files':>7}{'refused':>9}{'longest s':>11}{heads}")
    total: collections.Counter[str] = collections.Counter()
    for name in sorted(counts):
        total.update(counts[name])
        _row(name, counts[name], longest[name], kinds)
    _row("all", total, max(longest.values()), kinds)
    return int(any(fault.startswith(kind) for fault in total for kind in kinds))


def _row(name: str, row: collections.Counter[str], longest: float, kinds: list[str]) -> None:
    found = [sum(n for fault, n in row.items() if fault.startswith(kind)) for kind in kinds]
    refused = row["files"] - row["exit 0"]
    click.echo(f"{name:22}{row['files']:7}{refused:9}{longest:11.1f}" + "".join(f"{n:11}" for n in found))


if __name__ == "__main__":
    main()
