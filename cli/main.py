"""The commands `mambapro` and `mambapro-export`: exit codes and errors.

| code | meaning |
|---|---|
| 0 | done |
| 2 | the command was given something it cannot use |
| 3 | the machine lacks something: a package, a provider, disk space, memory |
| 4 | the export failed |
| 5 | the exported model does not return PyTorch's numbers |
| 6 | an artifact loses more retrieval accuracy than allowed |
| 7 | a checkpoint or bundle is corrupt, or made for something else |
| 130, 143 | interrupted, terminated |
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from .. import __version__
from ..errors import InputError, MambaProError, SetupError
from .console import set_up_logging, stderr
from .data_commands import synth
from .export_commands import check, compare, export
from .runtime_commands import bench, environment, evaluate, extract
from .train_commands import train


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="mambapro")
@click.option("-v", "--verbose", is_flag=True, help="Say more, on standard error.")
def cli(verbose: bool) -> None:
    """MambaPro: tri-modal re-identification from training to the edge.

    Results go to standard output, everything else to standard error. Exit codes: 0 done, 2 usage, 3 environment,
    4 export failed, 5 parity, 6 accuracy, 7 artifact corrupt or incompatible.
    """
    set_up_logging(verbose)


for _command in (synth, train, export, check, compare, extract, evaluate, bench, environment):
    cli.add_command(_command)


def main() -> NoReturn:
    """Entry point of `mambapro`."""
    sys.exit(run(sys.argv[1:]))


def export_main() -> NoReturn:
    """Entry point of `mambapro-export`, which is `mambapro export`."""
    sys.exit(run(sys.argv[1:], export, "mambapro-export"))


def run(arguments: Sequence[str], command: click.Command = cli, name: str = "mambapro") -> int:
    """Run a command line and return its exit code; errors are printed, never raised."""
    signal.signal(signal.SIGTERM, _terminate)
    set_up_logging(verbose=False)
    try:
        return int(command.main(list(arguments), name, standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return InputError.exit_code
    except MambaProError as error:
        _say(str(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted; nothing half-written was left behind.")
        return 128 + signal.SIGINT
    except MemoryError:
        _say("out of memory. Close other programs, or take a machine with more.")
        return SetupError.exit_code
    except BrokenPipeError:
        # whoever read our output has gone, which is their right
        sys.stderr.close()
        return 128 + signal.SIGPIPE


def _say(message: str) -> None:
    stderr.print(f"error: {message}", markup=False)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends like an exception, so that temporary files are removed."""
    sys.exit(128 + number)
