"""Folder of a training: locked by one run; only files of a run are replaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...common.files.atomic import clear_leftovers, make_folder, remove_folders
from ...common.files.locks import only_process
from ...common.files.targets import require_free
from ...common.foreign_text import shown_text
from ...errors import InputError
from .state import NAME as STATE
from .training_report import LOG, is_foreign_log

#: What a run leaves in its folder.
FILES = ("best.pth", "last.pth", LOG, STATE)


@contextmanager
def run_folder(folder: Path, *, overwrite: bool = False, resume: bool = False) -> Iterator[None]:
    """Create or open a folder and lock it; a created folder that is still empty is removed if the block fails.

    With `overwrite` the files of an earlier run are removed, with `resume` they stay. Other files always stay.

    Raises:
        InputError: another run holds the lock; the folder holds files and neither option was given; it is no folder, or
            lies in a bundle; a name of a run's files is a link, a folder or no regular file, or with `resume` not a
            file of a run.
        SetupError: no permission, or the disk is full.
    """
    if folder.exists() and not folder.is_dir():
        raise _exists(folder)
    created = make_folder(folder)
    try:
        with only_process(folder):
            if resume:
                _require_own(folder)
            else:
                _empty(folder, overwrite)
            clear_leftovers(folder, FILES)
            yield
    except BaseException:
        remove_folders(created)
        raise


def _empty(folder: Path, overwrite: bool) -> None:
    if any(folder.iterdir()) and not overwrite:
        raise _exists(folder)
    for name in FILES:
        require_free(folder / name, overwrite=True)
        if (folder / name).is_symlink():
            raise InputError(
                f"{shown_text(folder / name)} is a link, and a training writes its own file there. Remove the link, or "
                "choose another --out."
            )
    # if this run fails, files of an earlier one must not be mistaken for its result
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def _require_own(folder: Path) -> None:
    """Refuse to resume without a state next to files of these names: they may be the user's own."""
    for name in FILES:
        require_free(folder / name, overwrite=True)
    if not (folder / STATE).exists() and is_foreign_log(folder / LOG):
        raise InputError(
            f"{shown_text(folder / LOG)} is not of a training, and there is no {STATE} to resume. Choose another "
            "--out, or move that file."
        )


def _exists(folder: Path) -> InputError:
    return InputError(
        f"{shown_text(folder)} exists already. Choose another --out, replace it with --overwrite, or go on with an "
        "interrupted training with --resume."
    )
