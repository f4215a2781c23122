"""Message and exit code of errors of any class."""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path

from ...common.foreign_text import shown_text
from ...errors import FAULT, InputError, MambaProError, SetupError

_PACKAGE = Path(__file__).parents[2]
#: Folders that `setup.py` leaves out of the wheel for devices.
_NOT_ON_DEVICES = ("calib", "export", "graph", "synthetic", "train")
#: System errors caused by the given path; all others are caused by the machine.
_PATH_ERRORS = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR}
#: Texts of errors about missing memory that are not a MemoryError.
_MEMORY_WORDS = ("can't allocate memory", "cannot allocate memory", "std::bad_alloc", "bad allocation", "out of memory")


def explained(error: BaseException) -> tuple[str, int]:
    """Return message and exit code of an error that ends a command.

    Our own errors have both. Errors of libraries and the system are classified into memory, packages and files;
    anything else is reported as a fault of mambapro (exit code 70), with its location.
    """
    if isinstance(error, MambaProError):
        return str(error), error.exit_code
    if isinstance(error, MemoryError) or any(word in str(error).lower() for word in _MEMORY_WORDS):
        return _out_of_memory(error), SetupError.exit_code
    if isinstance(error, ModuleNotFoundError) and (folder := _left_out(error.name)):
        text = f"This is the installation for devices, without mambapro/{folder}, which this command needs. Install"
        return f"{text} the whole package, or run the command on another machine.", SetupError.exit_code
    if isinstance(error, ImportError) and (error.name or "").split(".")[0] != "mambapro":
        limit = " Is memory limited (ulimit -v)?" if "failed to map segment" in str(error) else ""
        text = f"A package cannot be loaded: {shown_text(error)}.{limit} mambapro env shows what is installed."
        return text, SetupError.exit_code
    if isinstance(error, OSError):
        return _system_error(error), InputError.exit_code if error.errno in _PATH_ERRORS else SetupError.exit_code
    return (
        f"mambapro has a fault: {type(error).__name__}: {shown_text(error) or 'no message'} ({_place(error)}). "
        "Nobody foresaw this error; please report it with the command line. "
        "mambapro --verbose COMMAND shows the traceback."
    ), FAULT


def _left_out(module: str | None) -> str | None:
    """Return the folder of a module that the wheel for devices leaves out, None of any other module."""
    package, _, rest = (module or "").partition(".")
    folder = rest.split(".")[0]
    absent = folder in _NOT_ON_DEVICES and not (_PACKAGE / folder).is_dir()
    return folder if package == "mambapro" and absent else None


def _out_of_memory(error: BaseException) -> str:
    detail = f" ({shown_text(error)})" if str(error) else ""
    return f"out of memory{detail}. Close other programs, or take a machine with more."


def _system_error(error: OSError) -> str:
    if error.strerror is None:
        return shown_text(error)
    names = [
        shown_text(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)
    ]
    return ": ".join([error.strerror, " -> ".join(names)] if names else [error.strerror]) + "."


def _place(error: BaseException, most: int = 3) -> str:
    """Return the innermost lines of this package that the error passed, innermost first."""
    places = [
        f"{Path(frame.filename).relative_to(_PACKAGE)}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(_PACKAGE)
    ]
    return "at " + ", ".join(reversed(places[-most:])) if places else "nowhere in mambapro"
