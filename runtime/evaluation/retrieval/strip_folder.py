"""Folder of pictures of right and wrong, of ranked retrievals or of labels, and its listing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

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


class Drawing(NamedTuple):
    """One picture: the stem of its file, the function that draws it, and its entry in the listing."""

    name: str
    draw: Callable[[], Image.Image]
    entry: dict[str, Any]


def write_strips(
    folder: Path,
    strips: Sequence[Strip],
    title: str,
    image_size: tuple[int, int],
    overwrite: bool = False,
    track: Track = silent,
    preprocessing: Preprocessing | None = None,
) -> tuple[Path, ...]:
    """Write one PNG for each ranked retrieval, see `write_drawings`.

    `title` is printed above each picture; `image_size` (height, width) gives the proportions of the images;
    `preprocessing` is that of `draw_strip`.
    """
    drawings = [
        Drawing(strip.query.name, partial(draw_strip, strip, title, image_size, preprocessing), strip.to_json())
        for strip in strips
    ]
    return write_drawings(folder, drawings, title, overwrite, track)


def write_drawings(
    folder: Path, drawings: Sequence[Drawing], title: str, overwrite: bool = False, track: Track = silent
) -> tuple[Path, ...]:
    """Write one numbered PNG for each drawing, and LISTING, into the new folder `folder`.

    Returns:
        the pictures' paths.

    Raises:
        InputError: `folder` exists and may not be replaced, or an image cannot be read.
        SetupError: no room or no permission.
    """
    names = [f"{number:03d}_{drawing.name}.png" for number, drawing in enumerate(drawings, 1)]
    with staged_folder(folder, overwrite=overwrite, replaceable=_is_ours) as stage:
        for name, drawing in track(list(zip(names, drawings, strict=True)), "Drawing strips", len(drawings)):
            drawing.draw().save(stage / name)
        listing = [{"file": name, **drawing.entry} for name, drawing in zip(names, drawings, strict=True)]
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
