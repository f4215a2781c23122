"""Folder of the pictures of ranked retrievals, and its listing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ....common.files.atomic import json_text, staged_folder
from ....common.files.targets import require_free
from ....common.formats.json_files import read_json
from ....common.progress import Track, silent
from ....errors import InputError
from ...data.preprocess import Preprocessing
from .strip_picture import draw_strip
from .strips import Strip

#: List of the pictures; it marks a folder that was written here and may be replaced.
LISTING = "strips.json"


def check_strips_folder(folder: Path, overwrite: bool) -> None:
    """Raise InputError unless strips may be written to `folder`; called before the work."""
    require_free(folder, overwrite, _is_ours)


def write_strips(
    folder: Path,
    strips: Sequence[Strip],
    title: str,
    image_size: tuple[int, int],
    overwrite: bool = False,
    track: Track = silent,
    preprocessing: Preprocessing | None = None,
) -> tuple[Path, ...]:
    """Write one PNG for each strip, and LISTING, into the new folder `folder`.

    `title` is printed above each picture; `image_size` (height, width) gives the proportions of the images;
    `preprocessing` is that of `draw_strip`.

    Returns:
        the pictures' paths.

    Raises:
        InputError: `folder` exists and may not be replaced, or an image cannot be read.
        SetupError: no room or no permission.
    """
    names = [f"{number:03d}_{strip.query.name}.png" for number, strip in enumerate(strips, 1)]
    with staged_folder(folder, overwrite=overwrite, replaceable=_is_ours) as stage:
        for name, strip in track(list(zip(names, strips, strict=True)), "Drawing strips", len(strips)):
            draw_strip(strip, title, image_size, preprocessing).save(stage / name)
        listing = [{"file": name, **strip.to_json()} for name, strip in zip(names, strips, strict=True)]
        (stage / LISTING).write_text(json_text({"title": title, "strips": listing}), encoding="utf-8")
    return tuple(folder / name for name in names)


def _is_ours(folder: Path) -> bool:
    """Return True if a folder holds a listing and only the files it names."""
    try:
        listing = read_json(folder / LISTING, kind=InputError)
        named = {LISTING, *(entry["file"] for entry in listing["strips"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return all(path.name in named and path.is_file() for path in folder.iterdir())
