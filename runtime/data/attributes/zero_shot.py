"""PETA-ZS and RAP-ZS: PETA and RAPv2 with no identity in two partitions (https://arxiv.org/abs/2107.03576).

    PETA/PETA.mat, PETA/images/                    as PETA
    RAPv2/RAP_annotation/..., RAPv2/RAP_dataset/   as RAPv2; "age 46 to 60" is not evaluated: 53 attributes
    {PETA,RAPv2}/dataset_zs_run0.pkl     a pickle of a dict (EasyDict); its entry `partition` is a dict with train, val
                                         and test: arrays or lists of rows from 0 of the whole PETA or RAPv2

Partition n is that of run n. A partition need not hold all images. Plain values and NumPy arrays alone are read of a
pickle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....common.foreign_text import shown_text
from ....common.formats.numpy_pickles import read_numpy_pickle
from ....errors import InputError
from ..readers.listing import descend, shown
from . import peta, rap2
from .attribute_set import PARTITIONS, AttributeSet

FILE, PARTITION_COUNT = "dataset_zs_run{}.pkl", 5
#: Columns of RAPv2 that RAP-ZS evaluates.
RAP_COLUMNS = tuple(column for column, word in enumerate(rap2.WORDS) if word.published != "Age46-60")


def read_peta_zs(root: Path, partition: int = 0) -> AttributeSet:
    """Read PETA-ZS: the annotation of PETA, and the partition of a pickle.

    Raises:
        InputError: no such files, damaged, of another set, inconsistent, or a pickle of other things.
        SetupError: SciPy is not installed.
    """
    matrix = peta.read_matrix(root)
    path = descend(matrix.folder, FILE.format(partition))
    return peta.peta_set("peta-zs", matrix, _partitions(path), f"{matrix.path}, {path.name}")


def read_rap_zs(root: Path, partition: int = 0) -> AttributeSet:
    """Read RAP-ZS: the annotation of RAPv2, and the partition of a pickle; errors as `read_peta_zs`."""
    matrix = rap2.read_matrix(root)
    path = descend(matrix.folder, FILE.format(partition))
    return rap2.rap2_set("rap-zs", matrix, _partitions(path), RAP_COLUMNS, f"{matrix.path}, {path.name}")


def _partitions(path: Path) -> dict[str, npt.NDArray[np.int64]]:
    content = read_numpy_pickle(path, "partition", InputError)
    partition = content.get("partition") if isinstance(content, dict) else None
    where = shown_text(path)
    if not isinstance(partition, dict) or not set(PARTITIONS) <= set(partition):
        has = partition if isinstance(partition, dict) else content
        keys = f"holds {shown([str(key) for key in has])}" if isinstance(has, dict) else f"is a {type(has).__name__}"
        raise InputError(f"{where} {keys}; a dict with partition.train, partition.val and partition.test is expected.")
    return {part: _rows(partition[part], f"partition.{part} in {where}") for part in PARTITIONS}


def _rows(values: Any, where: str) -> npt.NDArray[np.int64]:
    whole = isinstance(values, list | tuple) and all(type(value) is int and abs(value) < 2**62 for value in values)
    rows = np.array(values, np.int64) if whole else values
    if not isinstance(rows, np.ndarray) or rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise InputError(f"{where} is no list of whole numbers.")
    return rows.astype(np.int64)
