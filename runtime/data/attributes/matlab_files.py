"""Reading of MATLAB files by SciPy: limits, and errors that name the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....common.files.open_files import open_regular
from ....common.foreign_text import shown_text
from ....common.formats.size_limits import ADVICE, size_limit
from ....errors import InputError, SetupError
from ..readers.listing import shown

#: Bytes of a file; the largest published one has 13 MB.
LARGEST = 2**28
_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_matlab(path: Path, fields: Sequence[str], what: str) -> dict[str, Any]:
    """Return the variables of a MATLAB file by name; `what` is the set for messages.

    Raises:
        InputError: missing, no regular file, too large, MATLAB's HDF5 format, damaged, or without one of `fields`.
        SetupError: SciPy is not installed.
    """
    try:
        from scipy.io import loadmat
    except ModuleNotFoundError as error:
        raise SetupError(
            f"The annotation of {what} is a MATLAB file, which the package scipy reads, and that is not installed: "
            'pip install "mambapro[train]". Or convert the set on a machine that has it (mambapro convert) and copy '
            "its attributes.json here."
        ) from error
    name = shown_text(path)
    with open_regular(path, f"annotation of {what}") as file:
        size, limit = os.fstat(file.fileno()).st_size, size_limit(LARGEST)
        if size > limit:
            raise InputError(f"The annotation {name} has {size:,} bytes; at most {limit:,} are read. {ADVICE}")
        if _HDF5 in file.read(1024):
            raise InputError(
                f"{name} is a MATLAB 7.3 file (HDF5), which is not read. Save it in MATLAB with "
                "save(file, '-v7'), or take the published file."
            )
        file.seek(0)
        try:
            content = loadmat(file, chars_as_strings=True)
        except MemoryError:
            raise InputError(f"{name} cannot be read: it claims more values than there is memory for.") from None
        except Exception as error:
            why = shown_text(error).rstrip(".") or type(error).__name__
            raise InputError(
                f"{name} cannot be read as a MATLAB file ({why}). It is damaged, cut short or another kind of file; "
                "copy it again."
            ) from error
    variables = {key: value for key, value in content.items() if not key.startswith("__")}
    if lacking := [field for field in fields if field not in variables]:
        raise InputError(
            f"{name} is not the annotation of {what}: it lacks {shown(lacking)} and holds {shown(sorted(variables))}. "
            "Give the folder of that set, or the --dataset that this one is."
        )
    return variables


def texts(values: Any, where: str) -> tuple[str, ...]:
    """Return the texts of a MATLAB cell array, whose cells are arrays of one text each.

    Raises:
        InputError: it is something else.
    """
    cells = np.asarray(values).ravel().tolist() if isinstance(values, np.ndarray) else None
    if cells is None:
        raise InputError(f"{where} is no list of texts.")
    found = []
    for number, cell in enumerate(cells):
        text = cell.ravel()[0] if isinstance(cell, np.ndarray) and cell.size == 1 else cell
        if not isinstance(text, str):
            raise InputError(f"{where} is no list of texts: entry {number} is a {type(text).__name__}.")
        found.append(text.strip())
    return tuple(found)


def whole_numbers(values: Any, where: str) -> npt.NDArray[np.int64]:
    """Return an array of whole numbers of any MATLAB type.

    Raises:
        InputError: it holds something else.
    """
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        kind = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise InputError(f"{where} is no matrix of numbers, but {shown_text(kind, 60)}.")
    if values.dtype.kind == "f" and not np.array_equal(values, np.floor(values)):
        raise InputError(f"{where} holds numbers that are not whole.")
    return values.astype(np.int64)
