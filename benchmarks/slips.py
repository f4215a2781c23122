"""Puts small slips into the code, one at a time, and sees if the tests of the module notice them.

    python benchmarks/slips.py [WORD ...] [--workers 2] [--json FILE] [--list]

With words only slips whose list, file or kind holds one of them are tried. The lists are benchmarks/slips/*.toml, one
for each folder of the package. A list begins with the tests of its modules, as pytest takes them, run from the root:

    [tests]
    "graph/smooth.py" = ["tests/graph/test_smooth.py"]

and then has one table for each slip:

    [[slip]]
    file = "graph/smooth.py"
    kind = "swapped operands"            # a few words for people
    old = 'weights ** (1 - alpha)'       # occurs in the file exactly once
    new = 'weights ** alpha'
    tests = ["tests/graph/test_quantize.py"]  # only where they are others than the module's

Every worker has a copy of this working tree in a temporary folder and an environment that imports the package from
there; the tree itself is not touched. The tests of a module are run once without a slip: they must pass. Then they are
run for each slip until the first failure. A failure notices the slip, so do tests that end in no time (four times as
long as without it, and a minute). A text that is not there once, a slip that does not compile, and tests that fail or
are all skipped without a slip are errors of the list. Exit code: 0, 1 where fewer than 95 % are noticed, 2 for a list
with errors.
"""

from __future__ import annotations

import json
import queue
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import tomllib

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from slip_list import ListError, Slip, errors_of, read_list  # noqa: E402
from slip_tree import Tree  # noqa: E402

ROOT = HERE.parent
#: Share of the slips that must be noticed.
ENOUGH = 0.95


@dataclass(frozen=True)
class Result:
    """The end of one trial: `noticed`, `survived` or an error of the list."""

    slip: Slip
    noticed: bool
    words: str
    seconds: float


class Trials:
    """All trials, spread over workers: slips with the same tests are tried by one of them."""

    def __init__(self, slips: list[Slip], folder: Path) -> None:
        groups: dict[tuple[str, ...], list[Slip]] = defaultdict(list)
        for slip in slips:
            groups[slip.tests].append(slip)
        self.waiting: queue.SimpleQueue = queue.SimpleQueue()
        for tests, members in sorted(groups.items(), key=lambda item: -len(item[1])):
            self.waiting.put((tests, members))
        self.folder, self.total = folder, len(slips)
        self.trees: list[Tree] = []
        self.results: list[Result] = []
        self.errors: list[str] = []
        self.lock = threading.Lock()
        self.began = time.monotonic()

    def work(self, number: int) -> None:
        """One worker: takes groups until none is left."""
        tree = Tree(ROOT, self.folder / f"worker-{number}")
        self.trees.append(tree)
        try:
            self._work(tree)
        finally:
            tree.close()

    def _work(self, tree: Tree) -> None:
        while not tree.stopped:
            try:
                tests, slips = self.waiting.get_nowait()
            except queue.Empty:
                return
            try:
                unslipped = tree.seconds_of(tests)
            except ListError as error:
                self.tell_error(f"{slips[0].place}: {error}", len(slips))
                continue
            for slip in slips:
                if not tree.stopped:
                    self.try_one(tree, slip, 4 * unslipped + 60)

    def stop(self) -> None:
        """End all workers and what they run."""
        for tree in self.trees:
            tree.stop()

    def try_one(self, tree: Tree, slip: Slip, limit: float) -> None:
        began = time.monotonic()
        try:
            words = tree.slipped(slip.file, slip.old, slip.new, slip.tests, limit)
        except ListError as error:
            self.tell_error(f"{slip.place}: {error}", 1)
            return
        result = Result(slip, words is not None, words or "survived", time.monotonic() - began)
        with self.lock:
            self.results.append(result)
            self.say(f"{'noticed ' if result.noticed else 'SURVIVED'} {slip.file}: {slip.kind}", result.seconds)

    def tell_error(self, words: str, slips: int) -> None:
        with self.lock:
            self.errors.append(words)
            self.total -= slips
            self.say(f"ERROR {words}")

    def say(self, words: str, seconds: float = 0) -> None:
        done, spent = len(self.results), time.monotonic() - self.began
        left = spent / done * (self.total - done) if done else 0
        click.echo(f"{done:4}/{self.total} {seconds:5.1f} s, {left / 60:3.0f} min left  {words}", err=True)


def table_of(results: list[Result]) -> str:
    """Noticed slips by folder, then the survivors."""
    folders: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        folders[result.slip.folder].append(result)
    lines = ["| folder | slips | noticed |", "|---|---:|---:|"]
    for folder, members in sorted(folders.items()):
        lines.append(f"| {folder} | {len(members)} | {sum(member.noticed for member in members)} |")
    noticed = sum(result.noticed for result in results)
    lines.append(f"| all | {len(results)} | {noticed} ({100 * noticed / max(len(results), 1):.1f} %) |")
    survivors = [result.slip for result in results if not result.noticed]
    for slip in survivors:
        lines.append(f"\nsurvived: {slip.file}, {slip.kind} ({slip.place}; {', '.join(slip.tests)})")
        lines += [f"    - {slip.old!r}", f"    + {slip.new!r}"]
    return "\n".join(lines)


@click.command()
@click.argument("words", nargs=-1)
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1))
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every result to this file.")
@click.option("--list", "only_list", is_flag=True, help="Show the slips and check the lists; run nothing.")
def main(words: tuple[str, ...], workers: int, json_file: Path | None, only_list: bool) -> None:
    """Try the slips of benchmarks/slips/ and print which survive."""
    try:
        slips = [slip for path in sorted((HERE / "slips").glob("*.toml")) for slip in read_list(path)]
    except (ListError, KeyError, tomllib.TOMLDecodeError) as error:
        raise SystemExit(f"error in a list: {error}") from error
    slips = [slip for slip in slips if not words or any(w in f"{slip.place} {slip.file} {slip.kind}" for w in words)]
    wrong = errors_of(slips, ROOT)
    for slip in slips if only_list else []:
        click.echo(f"{slip.file}: {slip.kind}\n    - {slip.old!r}\n    + {slip.new!r}")
    click.echo("\n".join([*wrong.values(), f"{len(slips)} slips, {len(wrong)} errors"]), err=True)
    if only_list:
        sys.exit(2 if wrong else 0)
    slips = [slip for slip in slips if slip.place not in wrong]
    # one that was started in the background hears no interrupt, and its children must not outlive it
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="mambapro-slips-") as folder:
        trials = Trials(slips, Path(folder))
        threads = [threading.Thread(target=trials.work, args=[number]) for number in range(workers)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            trials.stop()
            for thread in threads:
                thread.join()
            raise
    results = sorted(trials.results, key=lambda result: (result.slip.file, result.slip.place))
    click.echo(table_of(results))
    if json_file:
        json_file.write_text(json.dumps([asdict(result) for result in results], indent=1), encoding="utf-8")
    click.echo("\n".join(trials.errors), err=True)
    enough = results and sum(result.noticed for result in results) >= ENOUGH * len(results)
    sys.exit(2 if wrong or trials.errors or len(results) < len(slips) else 0 if enough else 1)


if __name__ == "__main__":
    main()
