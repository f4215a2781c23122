"""Stage of a bundle: a linked copy beside it in which an artifact is built and gated."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ...common.files.atomic import json_text, sha256_of
from ...common.files.locks import held_folder
from ...common.foreign_text import escaped
from ...errors import SetupError
from .artifact import Sidecar
from .bundle import Bundle
from .catalog import belongs
from .checksums import SUMS, read_sums, replaced, sums_text
from .publication import locked


@contextlib.contextmanager
def scratch_folder(bundle: Bundle) -> Iterator[Path]:
    """Yield an empty folder next to a bundle, on its file system; it is removed afterwards.

    Raises:
        SetupError: no permission in the bundle or beside it.
    """
    parent = bundle.folder.absolute().parent
    if not os.access(parent, os.W_OK) or not os.access(bundle.folder, os.W_OK):
        raise SetupError(f"Cannot build in {escaped(bundle.folder)}: no permission to write there and in {parent}.")
    with held_folder(parent, f".{bundle.folder.name[:100]}.", ".build") as folder:
        yield folder


@contextlib.contextmanager
def scratch_copy(bundle: Bundle) -> Iterator[Path]:
    """Yield a copy of a bundle next to it that takes no space: its files are hard links.

    Files of a bundle are only replaced, never written into, so neither can change the other. The current list is
    copied, which another build may have changed since `bundle` was opened.

    Raises:
        BundleReplacedError: the bundle was replaced.
        SetupError: the disk is full or permission is missing.
    """
    with scratch_folder(bundle) as folder:
        with locked(bundle.folder) as files:
            if not bundle.files.is_still_there():
                raise replaced(bundle.folder)
            for name in (*read_sums(files), SUMS):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(name, folder / name, src_dir_fd=files.handle)
                except OSError:
                    # some file systems have no links
                    with files.open(name) as source, open(folder / name, "wb") as target:
                        shutil.copyfileobj(source, target)
        yield folder


def own_copy(bundle: Bundle, name: str, stage: Path) -> Path:
    """Copy a file of the bundle into its stage, in place of the link: the very bytes whose hash was compared."""
    (stage / name).unlink(missing_ok=True)
    with bundle.loadable(name) as copy:
        return Path(shutil.copyfile(copy.path, stage / name))


def files_of(stage: Path, name: str) -> list[Path]:
    """Files of an artifact but for its manifest, `<name>.json`."""
    paths = (path for path in stage.iterdir() if belongs(path.name, name))
    return sorted(path for path in paths if path.name != f"{name}.json")


def make_room(stage: Path, name: str) -> dict[str, str]:
    """Remove the links to an artifact and the list of files: a new artifact is written under its names.

    Without its list the stage is no bundle, and may be written into. Returns the other files by name, with their
    SHA-256, for `list_artifact`.
    """
    sums = {file: sha256 for file, sha256 in read_sums(stage).items() if not belongs(file, name)}
    for path in [*files_of(stage, name), stage / f"{name}.json", stage / SUMS]:
        path.unlink(missing_ok=True)
    return sums


def list_artifact(stage: Path, artifact: Sidecar, others: dict[str, str]) -> None:
    """Write the manifest of an artifact and list its files beside `others`, which makes a bundle of the stage again."""
    manifest = stage / f"{artifact.stem}.json"
    manifest.write_text(json_text(artifact.to_json()), encoding="utf-8")
    new = {path.name: sha256_of(path) for path in (*files_of(stage, artifact.stem), manifest)}
    (stage / SUMS).write_text(sums_text({**others, **new}), encoding="utf-8")
