"""Reading of MATLAB files by SciPy: limits, and errors that name the file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....common.files.open_files import read_limited
from ....common.foreign_text import shown_text
from ....common.formats.size_limits import ADVICE, size_limit
from ....errors import InputError, SetupError
from ..readers.listing import shown
from .matlab_elements import unpacked

#: Bytes of a file, and of what it unpacks to; the largest matrix is RAPv2's with 100 MB of float64.
LARGEST, UNPACKED = 2**27, 2**28
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
    raw = read_limited(path, size_limit(LARGEST), f"annotation of {what}")
    if _HDF5 in raw[:1024]:
        raise InputError(
            f"{name} is a MATLAB 7.3 file (HDF5), which is not read. Save it in MATLAB with save(file, '-v7'), or take "
            "the published file."
        )
    try:
        content = loadmat(io.BytesIO(unpacked(raw, size_limit(UNPACKED))), chars_as_strings=True)
    except MemoryError:
        raise InputError(f"{name} cannot be read: it claims more values than there is memory for.") from None
    except Exception as error:
        why = shown_text(error).rstrip(".") or type(error).__name__
        advice = f" {ADVICE}" if "unpacks to" in why else ""
        raise InputError(
            f"{name} cannot be read as a MATLAB file: {why}. It is damaged, cut short or another kind of file; copy it "
            f"again.{advice}"
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
    if values.dtype.kind in "fu" and (np.abs(values) >= 2.0**63).any():
        raise InputError(f"{where} holds numbers of more than 63 bits, which count nothing here. It is damaged.")
    return values.astype(np.int64)


def cell_of(values: Any, number: int, where: str) -> Any:
    """Return the content of a cell, counted from 0, of any shape of cell array.

    Raises:
        InputError: no cell array, or a shorter one.
    """
    if not isinstance(values, np.ndarray) or (values.dtype.kind != "O" and values.dtype.names is None):
        raise InputError(f"{where} is no cell array.")
    if number >= values.size:
        raise InputError(f"{where} has {values.size} cells; number {number} (from 0) is none of them. It is cut short.")
    return values.ravel()[number]


def field_of(values: Any, key: int | str, where: str) -> Any:
    """Return a field, by name or position, of a MATLAB struct of one element.

    Raises:
        InputError: no such struct or field.
    """
    while isinstance(values, np.ndarray) and values.size == 1 and (values.dtype.names or values.dtype.kind == "O"):
        values = values.ravel()[0]
    names = values.dtype.names if isinstance(values, np.void) else None
    if names is None:
        raise InputError(f"{where} is no struct with fields. It is of another set, or damaged.")
    if (isinstance(key, int) and key >= len(names)) or (isinstance(key, str) and key not in names):
        wanted = f"field {key + 1}" if isinstance(key, int) else f"the field {key}"
        raise InputError(f"{where} has no {wanted}, only {shown(names)}. It is of another set, or cut short.")
    return values[key]


def rows_of(values: Any, where: str) -> npt.NDArray[np.int64]:
    """Return MATLAB's numbers from 1 as rows from 0.

    Raises:
        InputError: no list of whole numbers, or one below 1.
    """
    numbers = whole_numbers(values, where)
    if numbers.size and numbers.size != max(numbers.shape, default=1):
        raise InputError(f"{where} is a matrix of {' x '.join(map(str, numbers.shape))}; a list is expected.")
    if numbers.min(initial=1) < 1:
        raise InputError(f"{where} has the number {int(numbers.min())}; images are counted from 1.")
    return numbers.ravel() - 1


def columns_of(values: Any, columns: Sequence[int], count: int, where: str) -> npt.NDArray[np.int64]:
    """Return chosen columns of a matrix of whole numbers with `count` columns, int64 (rows, columns).

    Raises:
        InputError: no matrix of numbers, or another number of columns.
    """
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.shape[1] != count:
        shape = " x ".join(map(str, getattr(values, "shape", ()))) or "no matrix"
        raise InputError(f"{where} is {shape}; a matrix of {count} columns is expected. It is of another set.")
    return whole_numbers(values[:, list(columns)], where)
