"""Kills every command that writes at random moments, and holds what is left to its promises.

    python benchmarks/kills.py [--kills 100] [--seed 0] [--only extract,report] [--ckpt CKPT --data ROOT --bundle M]

All inputs are made first: a drawn data set, a tiny model, its bundle and its scales. Then the commands come in turns.
SIGKILL ends the command's own process, not its children, at a moment drawn from 0 to a tenth more than an undisturbed
run takes. After each kill:

* what the command writes is not there, or whole: the product itself reads it;
* a second later no process runs that the command started;
* in every second kill of a command the target was there before, and --overwrite is given: a target that is replaced
  in one step must be whole at any moment.

What killed runs leave beside their targets stays for the next run to clear. After its last kill each command runs once
undisturbed: then its result is whole, its folder and its own cache hold the files that they held after the run before
the first kill, and the folder for temporary files holds none. Prints a table, in which "scratch" counts the kills after
which temporary files lay there for the next run to clear. Commands that take long are killed less often. Exit code 1
where anything was left. The cache of PyTorch's compiler is PyTorch's own and lies elsewhere (TORCHINDUCTOR_CACHE_DIR).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import click
from killed_commands import COMMANDS, Command, Inputs, make_inputs, marked_processes
from mambapro.common.files.locks import remove

#: The command line that is killed, before its arguments.
PROGRAM = (sys.executable, "-m", "mambapro")


@dataclass
class Tally:
    """Counts of the results of one command's kills."""

    seconds: float = 0.0
    killed: int = 0
    done: int = 0
    whole: int = 0
    absent: int = 0
    scratch: int = 0
    problems: list[str] = field(default_factory=list)


class Killer:
    """Runs commands in a world of their own: a folder for results, one for temporary files, and a cache."""

    def __init__(self, inputs: Inputs, seed: int, program: tuple[str, ...] = PROGRAM) -> None:
        self.inputs, self.moments, self.program = inputs, random.Random(seed), program
        self.results, self.temporary = inputs.root / "results", inputs.root / "tmp"
        self.cache = inputs.root / "cache"
        self.temporary.mkdir()
        self.number = 0
        self.expected: set[str] = set()

    def run(self, command: Command, arguments: list[str], seconds: float | None) -> tuple[int | None, str, int]:
        """Exit code, None where it was killed after `seconds`; last words; processes alive a second later."""
        self.number += 1
        mark = f"kills-{os.getpid()}-{self.number}"
        environment = {**os.environ, "TMPDIR": str(self.temporary), "MAMBAPRO_MARK": mark}
        if command.own_cache:
            environment["MAMBAPRO_CACHE"] = str(self.cache / command.name)
        with tempfile.TemporaryFile("w+") as words:
            process = subprocess.Popen(
                [*self.program, *arguments],
                stdout=subprocess.DEVNULL,
                # a pipe would be waited for as long as a child holds it
                stderr=words,
                env=environment,
                cwd=self.inputs.root,
                start_new_session=True,
            )
            code: int | None = None
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            words.seek(0)
            said = words.read()
        if marked_processes(mark):
            time.sleep(1.0)
        left = marked_processes(mark)
        for number in left:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        return code, said, len(left)

    def clear(self) -> None:
        """Empty the folders for results and for temporary files."""
        for folder in (self.results, self.temporary):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()

    def fresh(self, command: Command, kept: Path | None) -> None:
        """The targets before a run: absent, or as an undisturbed run left them. What lies beside them stays."""
        for name in command.names:
            remove(self.results / name)
        if kept is None:
            command.prepare(self.inputs, self.results)
        else:
            shutil.copytree(kept, self.results, dirs_exist_ok=True)
        if command.own_cache:
            shutil.rmtree(self.cache / command.name, ignore_errors=True)

    def files(self, command: Command) -> set[str]:
        """Names of all that lies in the folder for results, in the command's own cache and among temporary files."""
        folders = [self.results, self.temporary, *([self.cache / command.name] if command.own_cache else [])]
        return {str(path.relative_to(self.inputs.root)) for folder in folders for path in folder.rglob("*")}

    def beside(self) -> set[str]:
        """Names of all that stands beside the targets, and among temporary files."""
        return {path.name for path in (*self.results.iterdir(), *self.temporary.iterdir())}

    def undisturbed(self, command: Command, tally: Tally, after: str) -> None:
        """One run that nobody kills, on what is there; then nothing but its result may be there."""
        started = time.monotonic()
        code, said, left = self.run(command, command.arguments(self.inputs, self.results, overwrite=True), None)
        tally.seconds = time.monotonic() - started
        if left:
            tally.problems.append(f"{after}: {left} processes were alive a second later")
        if code != 0:
            tally.problems.append(f"{after}: the next run failed with {code}: {said.strip()[-300:]}")
            return
        self.judge(command, tally, after, must=True)
        surplus = self.beside() - command.names
        if self.expected:
            surplus |= self.files(command) - self.expected
        self.expected = self.expected or self.files(command)
        if surplus:
            tally.problems.append(f"{after}: left over: {', '.join(sorted(surplus))}")

    def judge(self, command: Command, tally: Tally, after: str, *, must: bool) -> None:
        """Classify a result as complete, rightly missing, or damaged."""
        try:
            found = command.verify(self.inputs, self.results)
        except Exception as error:
            tally.problems.append(f"{after}: not whole: {type(error).__name__}: {error}")
            return
        if must and not found:
            tally.problems.append(f"{after}: nothing is there")
        tally.whole += found
        tally.absent += not found

    def kill(self, command: Command, tally: Tally, kept: Path | None) -> None:
        """One kill at a random moment, after which the target is judged."""
        self.fresh(command, kept)
        moment = self.moments.uniform(0, 1.1 * tally.seconds)
        after = f"killed at {moment:.1f} s"
        arguments = command.arguments(self.inputs, self.results, overwrite=kept is not None)
        code, said, left = self.run(command, arguments, moment)
        if left:
            tally.problems.append(f"{after}: {left} processes were alive a second later")
        if code is None:
            tally.killed += 1
        else:
            tally.done += 1
            if code != 0:
                tally.problems.append(f"it failed by itself with {code}: {said.strip()[-300:]}")
        tally.scratch += bool(self.beside() - command.names)
        self.judge(command, tally, after, must=kept is not None and command.one_step)


def trial(killer: Killer, command: Command, kills: int) -> Tally:
    """All kills of one command, between two undisturbed runs."""
    tally, kept = Tally(), killer.inputs.root / "kept"
    killer.clear()
    killer.expected = set()
    killer.fresh(command, None)
    killer.undisturbed(command, tally, "undisturbed")
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(killer.results, kept)
    seconds = tally.seconds
    tally.whole = tally.absent = 0
    for number in range(kills):
        killer.kill(command, tally, kept if number % 2 else None)
    counted = tally.whole, tally.absent
    if kills:
        killer.undisturbed(command, tally, "after the last kill")
    tally.whole, tally.absent = counted
    tally.seconds = seconds
    return tally


def shares(commands: list[Command], kills: int) -> list[int]:
    """Kills of each command, in proportion to their weights, `kills` in all."""
    weights = [command.weight for command in commands]
    ends = [kills * sum(weights[: number + 1]) // sum(weights) for number in range(len(weights))]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


@click.command(help=__doc__)
@click.option("--kills", default=100, show_default=True, help="Over all commands.")
@click.option("--seed", default=0, show_default=True)
@click.option("--only", default="", metavar="A,B,...", help="These commands alone.")
@click.option("--ckpt", type=click.Path(exists=True, path_type=Path), help="Tiny checkpoint, in place of a new one.")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Drawn set, in place of a new one.")
@click.option("--bundle", type=click.Path(exists=True, path_type=Path), help="Its bundle, in place of a new one.")
def main(kills: int, seed: int, only: str, ckpt: Path | None, data: Path | None, bundle: Path | None) -> None:
    """Print the table."""
    chosen = [command for command in COMMANDS if not only or command.name in only.split(",")]
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        # libraries are compiled once; the command that compiles has a cache of its own
        os.environ["MAMBAPRO_CACHE"] = str(Path(folder) / "cache" / "shared")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder) / "cache" / "torch")
        inputs = make_inputs(Path(folder), *(path and path.absolute() for path in (ckpt, data, bundle)))
        killer = Killer(inputs, seed)
        click.echo(
            f"{'command':<22} {'seconds':>7} {'killed':>6} {'done':>5} {'whole':>6} {'absent':>6} {'scratch':>7}  left"
        )
        tallies = []
        for command, share in zip(chosen, shares(chosen, kills), strict=True):
            tally = trial(killer, command, share)
            tallies.append(tally)
            click.echo(
                f"{command.name:<22} {tally.seconds:>7.1f} {tally.killed:>6} {tally.done:>5} {tally.whole:>6} "
                f"{tally.absent:>6} {tally.scratch:>7}  {'; '.join(tally.problems) or 'nothing'}"
            )
    problems = sum(len(tally.problems) for tally in tallies)
    killed, done = sum(tally.killed for tally in tallies), sum(tally.done for tally in tallies)
    click.echo(f"{killed} kills, {done} runs that were done before; {problems or 'no'} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
