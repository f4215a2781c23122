"""The commands `mambapro` and `mambapro-export`: exit codes and errors.

| code | meaning |
|---|---|
| 0 | done |
| 1 | a training cannot go on |
| 2 | the command was given something it cannot use |
| 3 | the machine lacks something: a package, a provider, disk space, memory |
| 4 | the export failed |
| 5 | the exported model does not return PyTorch's numbers |
| 6 | an artifact loses more retrieval accuracy than allowed |
| 7 | a checkpoint or bundle is corrupt, or made for something else |
| 70 | a fault of mambapro itself: an error nobody foresaw; please report it |
| 128 + n | ended by signal n: 130 is Ctrl-C, 143 SIGTERM, 141 a reader of the output that has gone |
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from .. import __version__
from ..errors import FAULT, InputError, SetupError
from .commands.ablate import ablate
from .commands.attributes import attributes
from .commands.bench import bench
from .commands.build import build
from .commands.calibrate import calibrate
from .commands.check import check
from .commands.compare import compare
from .commands.compare_layers import compare_layers
from .commands.convert import convert
from .commands.env import environment
from .commands.evaluate import evaluate
from .commands.explain import explain
from .commands.export import export
from .commands.extract import extract
from .commands.find import find
from .commands.info import info
from .commands.plugins import plugins
from .commands.report import report
from .commands.sensitivity import sensitivity
from .commands.sign import sign
from .commands.synth import synth
from .commands.train import train
from .commands.verify import verify
from .entry import export_main as export_main  # scripts of earlier installations import them from here
from .entry import main as main
from .options.shared import HELP
from .terminal import signals
from .terminal.console import say, set_up_logging
from .terminal.failures import explained
from .terminal.outlet import OutputLost, give_up, safe_output


@click.group(context_settings={**HELP, "max_content_width": 120})
@click.version_option(__version__, prog_name="mambapro")
@click.option("-v", "--verbose", is_flag=True, help="Say more, on standard error.")
def cli(verbose: bool) -> None:
    """MambaPro: tri-modal re-identification from training to the edge.

    Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 training stopped, 2 usage, 3
    environment, 4 export failed, 5 parity, 6 accuracy, 7 artifact corrupt or incompatible, 70 fault of mambapro, 128 +
    n ended by signal n.
    """
    set_up_logging(verbose)


for _command in (
    *(synth, convert, train, ablate, info, export, build, calibrate, sensitivity, check, sign, verify, compare),
    *(compare_layers, extract, attributes, find, evaluate, explain, report, bench, environment, plugins),
):
    cli.add_command(_command)


def run(arguments: Sequence[str], command: click.Command = cli, name: str = "mambapro") -> int:
    """Run a command line and return its exit code; errors are printed, never raised."""
    with signals.caught(), safe_output():
        set_up_logging(verbose=False)
        try:
            code = signals.call(lambda: _invoke(command, name, list(arguments)))
        except BaseException as error:
            return _exit_code(error)
        # a signal that was swallowed when the work was done: the result is whole, and the caller wants an end
        return 128 + signals.arrived[0] if signals.arrived else code


def _invoke(command: click.Command, name: str, arguments: list[str]) -> int:
    """Parse the arguments and call the command, as `command.main` does, whose handling of errors is not wanted."""
    variable = f"_{name.replace('-', '_')}_COMPLETE".upper()
    if os.environ.get(variable):
        return shell_complete(command, {}, name, variable, os.environ[variable])
    try:
        with command.make_context(name, arguments) as context:
            command.invoke(context)
    finally:
        sys.stdout.flush()
    return 0


def _exit_code(error: BaseException) -> int:
    """Print an error; returns the exit code that stands for it."""
    try:
        return _told(error)
    except OutputLost:
        # standard error has gone too, so nobody can be told
        give_up(sys.stderr)
        return 128 + signal.SIGPIPE


def _told(error: BaseException) -> int:
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if signals.arrived or isinstance(error, KeyboardInterrupt | click.Abort):
        # also where a library that was being imported swallowed the signal and failed over its own pieces
        number = signals.arrived[0] if signals.arrived else signal.SIGINT
        say(signals.INTERRUPTED if number == signal.SIGINT else signals.ENDED.format(signal.Signals(number).name))
        return 128 + number
    if isinstance(error, OutputLost):
        give_up(sys.stdout)
        return _output_lost(error)
    if isinstance(error, click.NoSuchOption):
        # click takes the letters alone for its suggestions; a gate is not waived by a typing error
        names = [name for name in error.possibilities or () if name not in ("--force", "--help")]
        error = click.NoSuchOption(error.option_name, possibilities=names, ctx=error.ctx)
    if isinstance(error, click.ClickException):
        shown = _Kept()
        error.show(shown)
        say(shown.getvalue().rstrip("\n"))
        return InputError.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    text, code = explained(error)
    say(f"error: {text}")
    if code == FAULT and logging.getLogger("mambapro").isEnabledFor(logging.DEBUG):
        say("".join(traceback.format_exception(error)).rstrip())
    return code


class _Kept(io.StringIO):
    """Output of click with the escape sequences that it drops for non-terminals."""

    def isatty(self) -> bool:
        return True


def _output_lost(error: OutputLost) -> int:
    if error.reader_gone:
        return 128 + signal.SIGPIPE
    say(f"error: standard output cannot be written: {error.reason}. What the command writes into files is there.")
    return SetupError.exit_code
