"""The errors a user can meet. Each class is one exit code of the command line.

| code | class | meaning |
|---|---|---|
| 1 | TrainingError | a training cannot go on |
| 2 | InputError | the command or a call was given something it cannot use |
| 3 | SetupError | the machine lacks something: a package, a provider, disk space |
| 4 | ExportError | the model could not be exported |
| 5 | ParityError | the exported model does not return PyTorch's numbers |
| 6 | AccuracyError | an artifact loses more retrieval accuracy than allowed |
| 7 | ArtifactError | a checkpoint or bundle is corrupt, or made for something else |
| 70 | any other | a fault of mambapro itself: an error that nobody foresaw |

A message says what was given, what is allowed and what to do.
"""

from __future__ import annotations

from .common.foreign_text import shown_message

#: Exit code of an error that nobody foresaw, a fault of mambapro itself (EX_SOFTWARE of sysexits.h).
FAULT = 70


class MambaProError(Exception):
    """Base of every error raised on purpose; `exit_code` is what the command line returns.

    Its message can be printed: control characters that came in with foreign text are escaped, long words are cut.
    """

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        super().__init__(shown_message(message))


class TrainingError(MambaProError):
    """A training cannot go on, for example because the loss is NaN."""


class InputError(MambaProError, ValueError):
    """The caller gave something that cannot be used."""

    exit_code = 2


class SetupError(MambaProError):
    """The machine lacks something the call needs."""

    exit_code = 3


class ExportError(MambaProError):
    """The model could not be turned into the requested format."""

    exit_code = 4


class ParityError(MambaProError):
    """An exported model departs from PyTorch by more than the limit."""

    exit_code = 5


class AccuracyError(MambaProError):
    """An artifact loses more retrieval accuracy than the limit."""

    exit_code = 6


class ArtifactError(MambaProError):
    """A checkpoint or bundle is corrupt, incomplete or made for something else."""

    exit_code = 7
