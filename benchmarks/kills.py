"""Kills every command that writes at random moments, and holds what is left to its promises.

    python benchmarks/kills.py [--kills 100] [--seed 0] [--only extract,report] [--ckpt CKPT --data ROOT --bundle M]

All inputs are made first: a drawn data set, a tiny model, its bundle and its scales. Then the commands come in turns.
SIGKILL ends the command's own process, not its children, at a moment drawn from 0 to a tenth more than an undisturbed
run takes. After each kill:

* what the command writes is not there, or whole: the product itself reads it;
* a second later no process runs that the command started;
* in every second kill of a command the target was there before, and --overwrite is given: a target that is replaced
  in one step must be whole at any moment.

After its last kill each command runs once undisturbed: then its result is whole, and in its folder and in the folder
for temporary files there is nothing else. Prints a table; exit code 1 where anything was left.
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
from dataclasses import dataclass, field
from pathlib import Path

import click
from killed_commands import COMMANDS, Command, Inputs, make_inputs, marked_processes


@dataclass
class Tally:
    """What came of the kills of one command."""

    seconds: float = 0.0
    killed: int = 0
    done: int = 0
    whole: int = 0
    absent: int = 0
    problems: list[str] = field(default_factory=list)


class Killer:
    """Runs commands in a world of their own: a folder for results, one for temporary files, and a cache."""

    def __init__(self, inputs: Inputs, seed: int) -> None:
        self.inputs, self.moments = inputs, random.Random(seed)
        self.results, self.temporary = inputs.root / "results", inputs.root / "tmp"
        self.cache = inputs.root / "cache"
        self.number = 0

    def run(self, command: Command, arguments: list[str], seconds: float | None) -> tuple[int | None, str]:
        """Exit code and last words; None where it was killed after `seconds`."""
        self.number += 1
        mark = f"kills-{os.getpid()}-{self.number}"
        environment = {**os.environ, "TMPDIR": str(self.temporary), "MAMBAPRO_CACHE": str(self.cache / command.name)}
        environment["MAMBAPRO_MARK"] = mark
        process = subprocess.Popen(
            [sys.executable, "-m", "mambapro", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=self.inputs.root,
            start_new_session=True,
        )
        try:
            said = process.communicate(timeout=seconds)[1]
            return process.returncode, said
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        time.sleep(1.0)
        left = marked_processes(mark)
        for number in left:
            os.kill(number, signal.SIGKILL)
        process.communicate()
        return None, f"{len(left)} processes were alive a second later" if left else ""

    def fresh(self, command: Command, kept: Path | None) -> None:
        """The results folder before a run: empty, or with what an undisturbed run left."""
        shutil.rmtree(self.results, ignore_errors=True)
        if kept is None:
            self.results.mkdir()
            command.prepare(self.inputs, self.results)
        else:
            shutil.copytree(kept, self.results)
        if command.own_cache:
            shutil.rmtree(self.cache / command.name, ignore_errors=True)

    def undisturbed(self, command: Command, tally: Tally, after: str) -> None:
        """One run that nobody kills, on what is there; then nothing but its result may be there."""
        started = time.monotonic()
        code, said = self.run(command, command.arguments(self.inputs, self.results, overwrite=True), None)
        tally.seconds = time.monotonic() - started
        if code != 0:
            tally.problems.append(f"{after}: the next run failed with {code}: {said.strip()[-300:]}")
            return
        self.judge(command, tally, after, must=True)
        surplus = {path.name for path in self.results.iterdir()} - command.names
        surplus |= {path.name for path in self.temporary.iterdir()}
        if surplus:
            tally.problems.append(f"{after}: left over: {', '.join(sorted(surplus))}")

    def judge(self, command: Command, tally: Tally, after: str, *, must: bool) -> None:
        """Whether the result is whole, or not there where it need not be."""
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
        code, said = self.run(command, arguments, moment)
        if code is None:
            tally.killed += 1
            if said:
                tally.problems.append(f"{after}: {said}")
        else:
            tally.done += 1
            if code != 0:
                tally.problems.append(f"it failed by itself with {code}: {said.strip()[-300:]}")
        self.judge(command, tally, after, must=kept is not None and command.one_step)


def trial(killer: Killer, command: Command, kills: int) -> Tally:
    """All kills of one command, between two undisturbed runs."""
    tally, kept = Tally(), killer.inputs.root / "kept"
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
        inputs = make_inputs(Path(folder), *(path and path.absolute() for path in (ckpt, data, bundle)))
        killer = Killer(inputs, seed)
        killer.temporary.mkdir()
        click.echo(f"{'command':<22} {'seconds':>7} {'killed':>6} {'done':>5} {'whole':>6} {'absent':>6}  left")
        tallies = []
        for number, command in enumerate(chosen):
            share = kills // len(chosen) + (number < kills % len(chosen))
            tally = trial(killer, command, share)
            tallies.append(tally)
            click.echo(
                f"{command.name:<22} {tally.seconds:>7.1f} {tally.killed:>6} {tally.done:>5} {tally.whole:>6} "
                f"{tally.absent:>6}  {'; '.join(tally.problems) or 'nothing'}"
            )
    problems = sum(len(tally.problems) for tally in tallies)
    killed, done = sum(tally.killed for tally in tallies), sum(tally.done for tally in tallies)
    click.echo(f"{killed} kills, {done} runs that were done before; {problems or 'no'} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
