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
| 128 + n | ended by signal n: 130 is Ctrl-C, 143 SIGTERM |
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from .. import __version__
from ..errors import InputError, MambaProError, SetupError
from .ablate_command import ablate
from .build_command import build
from .calibrate_command import calibrate
from .console import set_up_logging, stderr
from .data_commands import synth
from .eval_command import evaluate
from .explain_command import explain
from .export_commands import check, compare, export
from .info_command import info
from .options import HELP
from .plugin_commands import plugins
from .report_command import report
from .runtime_commands import bench, environment, extract
from .sensitivity_command import sensitivity
from .train_commands import train


@click.group(context_settings={**HELP, "max_content_width": 120})
@click.version_option(__version__, prog_name="mambapro")
@click.option("-v", "--verbose", is_flag=True, help="Say more, on standard error.")
def cli(verbose: bool) -> None:
    """MambaPro: tri-modal re-identification from training to the edge.

    Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 training stopped, 2 usage,
    3 environment, 4 export failed, 5 parity, 6 accuracy, 7 artifact corrupt or incompatible, 128 + n ended by signal n.
    """
    set_up_logging(verbose)


for _command in (
    synth,
    train,
    ablate,
    info,
    export,
    build,
    calibrate,
    sensitivity,
    check,
    compare,
    extract,
    evaluate,
    explain,
    report,
    bench,
    environment,
    plugins,
):
    cli.add_command(_command)


def main() -> NoReturn:
    """Entry point of `mambapro`."""
    sys.exit(run(sys.argv[1:]))


def export_main() -> NoReturn:
    """Entry point of `mambapro-export`, which is `mambapro export`."""
    sys.exit(run(sys.argv[1:], export, "mambapro-export"))


def run(arguments: Sequence[str], command: click.Command = cli, name: str = "mambapro") -> int:
    """Run a command line and return its exit code; errors are printed, never raised."""
    _catch_signals()
    set_up_logging(verbose=False)
    try:
        return int(command.main(list(arguments), name, standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return InputError.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()
    except MambaProError as error:
        if _signals:
            # a library that was being imported swallowed the interrupt and failed over its own pieces
            return _interrupted() if _signals[0] == signal.SIGINT else 128 + _signals[0]
        _say(str(error))
        return error.exit_code
    except MemoryError:
        _say("out of memory. Close other programs, or take a machine with more.")
        return SetupError.exit_code
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            _say(str(error))
            return SetupError.exit_code
        # whoever read our output has gone, which is their right
        sys.stderr.close()
        return 128 + signal.SIGPIPE
    finally:
        _arm(0)


#: Interrupts that arrived.
_signals: list[int] = []
#: Seconds until a swallowed interrupt comes again.
_SOON = 0.2


def _catch_signals() -> None:
    """End on signals like on exceptions, so that temporary files are removed."""
    _signals.clear()
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # whoever ignores a signal (nohup) goes on ignoring it
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)
    if hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
        signal.signal(signal.SIGALRM, _again)


def _arm(seconds: float) -> None:
    """Look every so many seconds whether the interrupt was swallowed; 0 stops that."""
    if hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) is _again:
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)


def _again(number: int, frame: FrameType | None) -> None:
    """Libraries lose exceptions, in finalisers, callbacks and bare excepts: raise it again unless it is on its way."""
    handled = sys.exc_info()[1]
    while handled is not None and not isinstance(handled, KeyboardInterrupt | SystemExit):
        handled = handled.__context__
    if _signals and handled is None:
        _raise(_signals[0])


def _raise(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    _signals.append(number)
    _arm(_SOON)
    _raise(number)


def _interrupted() -> int:
    _say("interrupted; nothing half-written was left behind.")
    return 128 + signal.SIGINT


def _say(message: str) -> None:
    stderr.print(f"error: {message}", markup=False)
