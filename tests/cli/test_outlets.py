"""What reaches a terminal, a pipe or a file, and how commands end that cannot print."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from mambapro import errors
from mambapro.cli.main import cli, run
from mambapro.cli.terminal.console import emit, track

#: Moves the cursor, rings, changes the direction of writing, ends in what rich would read as markup and an emoji.
HOSTILE = "\x1b[2J\x07\x9b31m\u202eabc[/red]:smile:"
SHOWN = "\\x1b[2J\\x07\\x9b31m\\u202eabc[/red]:smile:"
LONG = "x" * 100_000
#: The smallest benchmark that can be drawn.
SMALL = "--dataset msvr310 --train-identities 3 --test-identities 3 --images 4"


def leaves(command: click.Command, names: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The names of every command below `command`."""
    if isinstance(command, click.Group):
        return [found for name, below in command.commands.items() for found in leaves(below, (*names, name))]
    return [names]


def ended(capfd: pytest.CaptureFixture[str], work: Callable[[], Any]) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command that does `work`."""
    status = run([], click.Command("command", callback=work))
    said = capfd.readouterr()
    return status, said.out, said.err


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A line of bash in which `mambapro` is the command."""
    line = f'set -o pipefail; mambapro() {{ {sys.executable} -m mambapro "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, check=False, timeout=300, env={**os.environ, **environment}
    )


class Report:
    """A report that holds one foreign value."""

    def __init__(self, value: object) -> None:
        self.value = value

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value}

    def __str__(self) -> str:
        return f"value  {self.value}\nend"


def raises(error: BaseException) -> Callable[[], None]:
    """A function that raises `error`."""

    def work() -> None:
        raise error

    return work


def logged(text: str) -> None:
    logging.getLogger("mambapro").warning("%s", text)


OUTLETS: dict[str, Callable[[str], Any]] = {
    "log": logged,
    "progress": lambda text: list(track([1], text)),
    "warning": lambda text: warnings.warn(text, stacklevel=1),
    "usage": lambda text: raises(click.UsageError(text))(),
    **{
        kind.__name__: lambda text, kind=kind: raises(kind(text))()
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.MambaProError)
    },
    "system": lambda text: raises(OSError(errno.EACCES, "Permission denied", text))(),
    "memory": lambda text: raises(MemoryError(text))(),
    "package": lambda text: raises(ImportError(text))(),
    "unforeseen": lambda text: raises(RecursionError(text))(),
}


class TestStandardError:
    @pytest.mark.parametrize("outlet", OUTLETS)
    def test_safe_and_short(self, outlet: str, capfd: pytest.CaptureFixture[str]) -> None:
        """Whatever way foreign text takes to standard error, nothing in it acts, and it does not flood."""
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            hostile = ended(capfd, lambda: OUTLETS[outlet](HOSTILE))[2]
            long = ended(capfd, lambda: OUTLETS[outlet](LONG))[2]

        assert SHOWN in hostile
        assert len(long) < 1500 and "more characters" in long

    def test_line_breaks_of_a_message_stay(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A message of several lines is printed as such."""
        status, _, said = ended(capfd, raises(errors.ArtifactError("a\n  b")))

        assert (status, said) == (7, "error: a\n  b\n")

    @pytest.mark.parametrize("arguments", [["check", HOSTILE], ["train", f"--{HOSTILE}"], [HOSTILE], ["check", LONG]])
    def test_arguments(self, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        """Arguments that are echoed are foreign text too."""
        status = run(arguments)
        said = capfd.readouterr().err

        assert status == 2
        assert said.replace("\n", "").isprintable() and len(said) < 1500


class TestStandardOutput:
    def test_text(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Reports keep their lines; control characters are spelt out."""
        assert ended(capfd, lambda: emit(Report(HOSTILE), False)) == (0, f"value  {SHOWN}\nend\n", "")

    @pytest.mark.parametrize("value", [HOSTILE, "b\udce9d \x7f \x85 \u2028 größe 画"])
    def test_json(self, value: str, capfd: pytest.CaptureFixture[str]) -> None:
        """JSON is ASCII without control characters, and reads back as what it was."""
        _, out, _ = ended(capfd, lambda: emit(Report(value), True))

        assert out.isascii() and out.replace("\n", "").isprintable()
        assert json.loads(out) == {"value": value}

    @pytest.mark.parametrize("number", [float("nan"), float("inf")])
    def test_json_has_no_numbers_that_are_none(self, number: float, capfd: pytest.CaptureFixture[str]) -> None:
        """What is not finite is null, which every reader of JSON knows."""
        _, out, _ = ended(capfd, lambda: emit(Report([number, 1.5]), True))

        assert json.loads(out, parse_constant=pytest.fail) == {"value": [None, 1.5]}

    @pytest.mark.parametrize("as_json", [True, False])
    def test_length(self, as_json: bool, capfd: pytest.CaptureFixture[str]) -> None:
        """A value longer than any path is cut and counted."""
        _, out, _ = ended(capfd, lambda: emit(Report(LONG), as_json))

        assert len(out) < 6000 and "more characters" in out

    @pytest.mark.parametrize(
        "locale", [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
    )
    def test_undecodable_paths(self, locale: dict[str, str], tmp_path: Path) -> None:
        """A path that is no UTF-8 comes back from the JSON as the same bytes, in any locale."""
        done = shell(f"cd {tmp_path}; mambapro synth --out $'b\\xe9d' {SMALL} --json", **locale)

        assert done.returncode == 0, done.stderr
        assert os.fsencode(json.loads(done.stdout.decode("ascii"))["path"]).endswith(b"b\xe9d")
        assert b"\xe9" not in done.stderr

    @pytest.mark.parametrize("name", leaves(cli), ids=" ".join)
    def test_every_command_has_json(self, name: tuple[str, ...]) -> None:
        """Programs can read the result of every command."""
        command: click.Command = cli
        for part in name:
            assert isinstance(command, click.Group)
            command = command.commands[part]

        assert "--json" in {option for parameter in command.params for option in parameter.opts}


class TestBrokenStreams:
    @pytest.mark.parametrize("arguments", ["--help", "check --help", "plugins list --json"])
    def test_reader_that_has_gone(self, arguments: str) -> None:
        """Nobody reads: the exit code is that of SIGPIPE, and nothing is printed."""
        done = shell(f"mambapro {arguments} | true; exit ${{PIPESTATUS[0]}}")

        assert (done.returncode, done.stderr) in ((141, b""), (0, b""))

    def test_reader_of_errors_that_has_gone(self) -> None:
        """The same where standard error goes into the pipe."""
        done = shell("mambapro check nowhere 2>&1 | true; exit ${PIPESTATUS[0]}")

        assert (done.returncode, done.stderr) in ((141, b""), (2, b""))

    def test_full_output(self) -> None:
        """Standard output on a full disk is an error that says so."""
        done = shell("mambapro --version > /dev/full")

        assert done.returncode == 3
        assert done.stderr.startswith(b"error: standard output cannot be written: No space left on device.")
        assert b"Exception" not in done.stderr

    def test_closed_output(self) -> None:
        """A closed standard output is refused before anything is done."""
        done = shell("mambapro --version >&-")

        assert done.returncode == 3
        assert done.stderr.startswith(b"error: standard output is closed.")

    @pytest.mark.parametrize("errors_to", ["2>&-", "2> /dev/full"])
    def test_errors_that_cannot_be_told(self, errors_to: str, tmp_path: Path) -> None:
        """Work does not end over a message that cannot be printed; an error keeps its exit code."""
        draw = f"mambapro synth --out {tmp_path / 'data'} {SMALL} {errors_to} | head -1"

        done = shell(f"{draw}; mambapro check nowhere {errors_to}")

        assert done.returncode == 2
        assert done.stdout.startswith(b"msvr310, drawn with seed 0")


class TestUnforeseen:
    @pytest.mark.parametrize("kind", [RecursionError, OverflowError, UnicodeError, AssertionError, KeyError])
    def test_a_fault_of_mambapro(self, kind: type[Exception], capfd: pytest.CaptureFixture[str]) -> None:
        """An error that nobody foresaw is told as a fault, with a code of its own and the way to its traceback."""
        status, _, said = ended(capfd, raises(kind("some reason")))

        assert status == errors.FAULT == 70
        assert kind.__name__ in said and "some reason" in said and "--verbose" in said
        assert "Traceback" not in said

    def test_traceback(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        """--verbose shows the traceback, foreign text in it escaped."""
        monkeypatch.setitem(cli.commands, "fails", click.Command("fails", callback=raises(KeyError(HOSTILE))))

        assert run(["--verbose", "fails"]) == 70
        said = capfd.readouterr().err
        assert "Traceback" in said and said.replace("\n", "").isprintable()

    @pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR])
    def test_paths_that_cannot_be(self, number: int, capfd: pytest.CaptureFixture[str]) -> None:
        """A path that no system could open is the caller's error, any other error of the system the machine's."""
        assert ended(capfd, raises(OSError(number, os.strerror(number), "some/path")))[0] == 2
        assert ended(capfd, raises(OSError(errno.ENOSPC, "No space left on device", "some/path")))[0] == 3

    @pytest.mark.parametrize("text", ["[enforce fail] DefaultCPUAllocator: can't allocate memory", "std::bad_alloc"])
    def test_memory(self, text: str, capfd: pytest.CaptureFixture[str]) -> None:
        """Libraries that cannot get memory raise errors of other classes; the machine lacks memory all the same."""
        status, _, said = ended(capfd, raises(RuntimeError(text)))

        assert status == 3 and said.startswith("error: out of memory")

    def test_memory_for_a_package(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A library that a memory limit keeps out is told with the limit."""
        status, _, said = ended(capfd, raises(ImportError("libtorch_cpu.so: failed to map segment")))

        assert status == 3 and "libtorch_cpu.so" in said and "ulimit -v" in said
