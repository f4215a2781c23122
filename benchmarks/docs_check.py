"""Run the commands of README and docs in order, from an empty folder, and compare their output with the pages.

python benchmarks/docs_check.py [--demo FOLDER] [PAGE ...]

Tests and benchmarks (`pytest`, `python benchmarks/`) run in the repository. Blocks that cannot run on a machine without
GPU, network or benchmarks are marked in the page, with the reason, and listed.
--demo uses the output of an earlier demo (FOLDER/data, FOLDER/run) instead of drawing, training and exporting again.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
from doc_commands import Block, Command, blocks, differences

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md")


@click.command()
@click.argument("pages", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--demo", type=click.Path(path_type=Path, exists=True), help="Folder of an earlier demo.")
@click.option("--keep", is_flag=True, help="Keep the folder in which the commands ran, and print it.")
def main(pages: tuple[Path, ...], demo: Path | None, keep: bool) -> None:
    """Run the commands of PAGES; default: README.md, docs/*.md, CONTRIBUTING.md."""
    # an exception, so that the running command and the folder do not stay
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="docs-check-"))
    if demo is not None:
        shutil.copytree(demo / "data", folder / ".demo/data")
        shutil.copytree(demo / "run", folder / ".demo/run")
    bad = 0
    try:
        for page in pages or PAGES:
            for block in blocks(page):
                bad += sum(1 for _ in _checked(block, folder, demo is not None))
    finally:
        if keep:
            click.echo(f"kept {folder}")
        else:
            shutil.rmtree(folder)
    click.echo(f"{bad} commands whose output is not what the page shows" if bad else "all outputs are as shown")
    sys.exit(1 if bad else 0)


def _checked(block: Block, folder: Path, has_demo: bool) -> Iterator[str]:
    """Run a block; yields the commands that differ from the page."""
    if block.skip is not None:
        click.echo(f"skipped  {block.page}:{block.number} ({block.skip})")
        return
    for line in block.setup:
        if (done := _bash(f"set -e; {line}", folder)).returncode:
            raise click.ClickException(f"the setup of {block.page}:{block.number} failed: {done.stderr.strip()[-500:]}")
    for command in block.commands:
        if has_demo and re.search(r"^mambapro(-export| synth| train) .*\.demo/", command.line):
            continue
        begun = time.monotonic()
        problems = _run(command, folder, block, command is block.commands[-1])
        took = time.monotonic() - begun
        click.echo(f"{'FAILED ' if problems else 'ok     '}  {block.page}:{block.number} {took:5.0f} s  {command.line}")
        for problem in problems:
            click.echo(f"  {problem}")
        if problems:
            yield command.line


def _run(command: Command, folder: Path, block: Block, last: bool) -> list[str]:
    """Run a command line in bash; returns its differences from the page.

    Standard error is compared too if the page shows it.
    """
    cwd = ROOT if command.line.startswith(("pytest ", "python benchmarks/")) else folder
    done = _bash(command.line, cwd)
    wanted = block.exit if last else 0
    if done.returncode != wanted:
        return [f"exit code {done.returncode}, not {wanted}: {done.stderr.strip()[-500:]}"]
    if command.output is None:
        return []
    for output in (done.stderr + done.stdout, done.stdout):
        problems = differences(command.output, output.splitlines(), block)
        if not problems:
            return []
    return [*problems, "it printed:", *done.stdout.splitlines()]


def _bash(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in a session of its own, which ends with this function, whatever ends it."""
    with subprocess.Popen(
        ["bash", "-c", line], cwd=cwd, env=_environment(), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            output, errors = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    return subprocess.CompletedProcess(line, process.returncode, output, errors)


def _environment() -> dict[str, str]:
    """Put the commands of this installation first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path}


if __name__ == "__main__":
    main()
