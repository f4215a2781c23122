"""Cases in processes of their own, held to what the product promises about any file, and the table of what they did."""

from __future__ import annotations

import collections
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from mambapro.common.children import tie_to_parent

from .entries import CODES, ENTRIES, Entry
from .materials import Materials, make
from .sandbox import Outcome, warm_up, watched

#: Programs of commands that may start some: Python for timing in a process of its own, and what tells of the machine.
_KNOWN = (sys.executable, "'nvidia-smi'", "'uname'", "a child")
_FAULTS = ("exit code", "traceback", "hang", "memory", "program started", "control characters printed")
#: Seconds and bytes for a good file, of which more is a fault of the materials.
_GOOD_SECONDS, _GOOD_MEMORY = 120, 4 << 30
#: Bytes of a file that is kept.
_KEPT = 1 << 26


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes that a case may take beyond what the good file takes."""

    seconds: float
    memory: int


@dataclass(frozen=True)
class Case:
    """A file through an entry: mutation `number` of a good file, or the odd file at `path`."""

    entry: Entry
    number: int = 0
    path: Path | None = None


@dataclass(frozen=True)
class Result:
    """A case's outcome and faults; `kept` is the name of the file where it was kept."""

    name: str
    outcome: Outcome
    faults: list[str]
    kept: str


class Runner:
    """Runs cases. `content` makes the file of a mutation from (entry's name, good files, number)."""

    def __init__(
        self,
        made: Materials,
        limits: Limits,
        keep: Path | None,
        content: Callable[[str, Sequence[Path], int], tuple[Path, bytes]],
    ) -> None:
        self.made, self.limits, self.keep, self._content = made, limits, keep, content
        self._usual: dict[tuple[str, str], Outcome] = {}

    def measure(self, entries: Sequence[Entry]) -> None:
        """Run entries with every good file; one that an entry has no use for is left out of it, and told."""
        for entry in entries:
            for seed in self.made.seeds(entry.kind):
                with self._folder() as folder:
                    file = folder / f"file{seed.suffix}"
                    shutil.copyfile(seed, file)
                    outcome = watched(entry.arguments(self.made, seed, file, folder), str(folder), _GOOD_SECONDS)
                if outcome.code in (0, 6) or (entry.trains and outcome.code is None):
                    self._usual[entry.name, seed.name] = outcome
                elif outcome.faults(CODES, _GOOD_SECONDS, _GOOD_MEMORY):
                    raise SystemExit(f"{entry.name} fails with the good {seed.name}:\n{outcome.said}")
                else:
                    click.echo(f"not used: {seed.name} is refused by {entry.name} ({outcome.code})", err=True)

    def __call__(self, case: Case) -> Result:
        """Run one case."""
        with self._folder() as folder:
            seed, file, usual = self._odd(case, folder) if case.path else self._mutation(case, folder)
            kept = self._keep(case, file, seed) if self.keep else ""
            arguments = case.entry.arguments(self.made, seed, file, folder)
            # a race whose rounds contradict each other has three times as many
            longest = max(item.seconds for item in usual) * (3 if case.entry.starts else 1)
            seconds = longest + self.limits.seconds
            outcome = watched(arguments, str(folder), seconds)
        memory = max(item.memory for item in usual) + self.limits.memory
        faults = _excused(case.entry, outcome, outcome.faults(CODES, seconds, memory))
        if self.keep and not faults:
            _remove(self.keep / kept)
        elif self.keep:
            (self.keep / f"{kept}.txt").write_text(f"{faults}\n{outcome.said}", encoding="utf-8")
        return Result(case.entry.name, outcome, faults, kept)

    def _mutation(self, case: Case, folder: Path) -> tuple[Path, Path, list[Outcome]]:
        seeds = [path for path in self.made.seeds(case.entry.kind) if (case.entry.name, path.name) in self._usual]
        seed, content = self._content(case.entry.name, seeds, case.number)
        file = folder / f"file{seed.suffix}"
        file.write_bytes(content)
        return seed, file, [self._usual[case.entry.name, seed.name]]

    def _odd(self, case: Case, folder: Path) -> tuple[Path, Path, list[Outcome]]:
        assert case.path is not None
        file = folder / f"file{case.path.suffix}"
        # it knows pipes, sockets, links and holes
        subprocess.run(["cp", "-a", "--sparse=always", str(case.path), str(file)], check=True)
        return case.path, file, [value for (name, _), value in self._usual.items() if name == case.entry.name]

    def _keep(self, case: Case, file: Path, seed: Path) -> str:
        name = f"{case.entry.name.replace(', ', '-')}-{case.number}-{seed.name.encode('ascii', 'replace').decode()}"
        if file.is_file() and not file.is_symlink() and file.stat().st_size < _KEPT:
            shutil.copyfile(file, self.keep / name)  # type: ignore[operator]
        return name

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.made.folder, ignore_cleanup_errors=True) as place:
            yield Path(place)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _excused(entry: Entry, outcome: Outcome, faults: list[str]) -> list[str]:
    """Without what the entry does with good files too."""
    known = _KNOWN if entry.starts else ()
    foreign = any(not any(name in program for name in known) for program in outcome.programs)
    return [
        fault
        for fault in faults
        if not (entry.trains and fault.startswith("hang")) and (foreign or not fault.startswith("program"))
    ]


@contextmanager
def materials(entries: Sequence[Entry]) -> Iterator[Materials]:
    """The good files that entries need, in a folder that is gone afterwards; nothing was opened in this process."""
    # one thread a case: several cases at a time
    os.environ["OMP_NUM_THREADS"] = "1"
    folder = Path(tempfile.mkdtemp(prefix="fuzz."))
    os.environ["MAMBAPRO_CACHE"] = str(folder / "cache")
    warm_up()
    try:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                make(folder, {entry.kind for entry in entries})
                code = 0
            except BaseException as error:
                traceback.print_exception(error)
            finally:
                sys.stderr.flush()
                os._exit(code)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            raise SystemExit("the materials could not be made")
        yield Materials(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def entries_called(only: str | None) -> list[Entry]:
    """The entries whose name holds a word.

    Raises:
        UsageError: none does.
    """
    found = [entry for entry in ENTRIES if only is None or only in entry.name]
    if not found:
        raise click.UsageError(f"no entry is called {only!r}; there are {', '.join(entry.name for entry in ENTRIES)}.")
    return found


_runner: Runner


def _one(case: Case) -> Result:
    return _runner(case)


def run_all(runner: Runner, cases: Sequence[Case], workers: int) -> int:
    """Run cases, print each fault and a table; 1 where there was a fault."""
    global _runner
    _runner = runner
    counts: dict[str, collections.Counter[str]] = {case.entry.name: collections.Counter() for case in cases}
    longest: dict[str, float] = {}
    try:
        for result in _results(cases, workers):
            count = counts[result.name]
            count["files"] += 1
            count["refused"] += result.outcome.code != 0
            count.update(next(kind for kind in _FAULTS if fault.startswith(kind)) for fault in result.faults)
            longest[result.name] = max(longest.get(result.name, 0.0), result.outcome.seconds)
            if result.faults:
                click.echo(f"{result.name}: {'; '.join(result.faults)} {result.kept}", err=True)
    except KeyboardInterrupt:
        click.echo("interrupted; this is what was run:", err=True)
        _table(counts, longest)
        return 128 + signal.SIGINT
    return _table(counts, longest)


def _results(cases: Sequence[Case], workers: int) -> Iterator[Result]:
    with multiprocessing.get_context("fork").Pool(workers, _worker, (os.getpid(),)) as pool:
        yield from pool.imap_unordered(_one, cases)


def _worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tie_to_parent(parent)


def _table(counts: dict[str, collections.Counter[str]], longest: dict[str, float]) -> int:
    heads = "".join(f"{kind.split()[0]:>11}" for kind in _FAULTS)
    click.echo(f"{'command, file':23}{'files':>7}{'refused':>9}{'longest s':>11}{heads}")
    rows = {**{name: counts[name] for name in sorted(counts)}, "all": sum(counts.values(), collections.Counter())}
    longest["all"] = max(longest.values(), default=0.0)
    for name, row in rows.items():
        found = "".join(f"{row[kind]:11}" for kind in _FAULTS)
        click.echo(f"{name:23}{row['files']:7}{row['refused']:9}{longest.get(name, 0.0):11.1f}{found}")
    return int(any(rows["all"][kind] for kind in _FAULTS))
