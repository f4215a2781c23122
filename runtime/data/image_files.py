"""Opening and decoding of image files: regular files of a fixed list of formats, limits checked by the header."""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import IO, TYPE_CHECKING, Any, Union, cast

from ...common.files.open_files import open_regular
from ...common.foreign_text import shown_text
from ...errors import InputError
from .image_settings import MAX_SIDE, ImageSettings, image_settings

if TYPE_CHECKING:
    from PIL import Image, ImageFile

log = logging.getLogger("mambapro")

#: An image that is still encoded: a file's path, its bytes, or an open file.
EncodedImage = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes]]

#: Accepted formats, in Pillow's names, by the first bytes of their files. Pillow supports many
#: more, some of which start other programs.
FORMATS: dict[str, tuple[bytes, ...]] = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "TIFF": (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+"),
    "BMP": (b"BM",),
    "WEBP": (b"RIFF",),
    "PPM": (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"),
}
#: Suffixes of image files in folders, in lower case.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})

_NAMES = "JPEG, PNG, TIFF, BMP, WebP, PGM or PPM"
_HEADER = 32
_ORIENTATION, _TILE_WIDTH, _TILE_LENGTH = 0x0112, 322, 323
#: Bytes of a WebP file beyond those of its pixels; Pillow reads the whole file.
_SLACK = 1 << 24

_pillow_limit = threading.Lock()
_told_orientation = False


def open_image(source: EncodedImage, settings: ImageSettings | None = None) -> Image.Image:
    """Decode the first image of a file completely and close the file.

    Args:
        source: a path, the bytes of a file, or an open binary file, which is read from its beginning and left open.
        settings: limits; None = those of the process.

    Raises:
        InputError: no regular file, not one of FORMATS, more pixels than allowed, damaged, or cut short.
    """
    settings = settings or image_settings()
    name = image_name(source)
    with _opened(source, settings) as file, decoding(name):
        image = _read_header(file, name, settings)
        with pillow_limit_lifted(image.size):
            _decode(image, name, settings)
        tell_orientation(image, name)
        return image


def image_size(source: EncodedImage, settings: ImageSettings | None = None) -> tuple[int, int]:
    """Return (width, height) in pixels from the header; errors as `open_image`, of the header alone."""
    settings = settings or image_settings()
    name = image_name(source)
    with _opened(source, settings) as file, decoding(name):
        width, height = _read_header(file, name, settings).size
        return width, height


def has_wide_pixels(source: EncodedImage, settings: ImageSettings | None = None) -> bool:
    """Return True if an image has more than 8 bits per pixel and channel, from the header; errors as `image_size`."""
    settings = settings or image_settings()
    name = image_name(source)
    with _opened(source, settings) as file, decoding(name):
        return _read_header(file, name, settings).mode.startswith("I")


def image_name(source: object) -> str:
    """Return the name of an image for messages."""
    if isinstance(source, str | os.PathLike):
        return shown_text(os.fspath(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return f"the encoded image ({len(source)} bytes)"
    name = getattr(source, "filename", None) or getattr(source, "name", None)
    return shown_text(name) if isinstance(name, str) else f"the image in a {type(source).__name__}"


def require_size(size: tuple[int, int], name: str, settings: ImageSettings) -> None:
    """Raise InputError for more pixels than allowed."""
    width, height = size
    if width * height > settings.max_pixels:
        raise InputError(
            f"{name} has {width} x {height} pixels, {width * height:,} in all; at most {settings.max_pixels:,} are "
            "decoded, since a small file can ask for all memory. Where the image is meant, allow it with "
            f"--max-image-pixels {width * height} (in Python max_image_pixels={width * height})."
        )
    if max(size) > MAX_SIDE:
        raise InputError(f"{name} has {width} x {height} pixels; a side has at most {MAX_SIDE:,}.")


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Convert exceptions of Pillow on a bad file into an InputError that names it.

    Its decoders raise many types of exceptions on damaged files, and warnings where these are errors.
    """
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{name} cannot be decoded: it needs more memory than there is.") from error
    except Exception as error:
        why = shown_text(error) or type(error).__name__
        raise InputError(
            f"{name} cannot be decoded: {why.rstrip('.')}. It is damaged, cut short or not readable."
        ) from error


@contextmanager
def _opened(source: EncodedImage, settings: ImageSettings) -> Iterator[IO[bytes]]:
    if isinstance(source, str | os.PathLike):
        with open_regular(source, "image") as file:
            yield file
    elif isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source)
    else:
        with decoding(image_name(source)):
            rewound = _rewound(source, settings)
        yield rewound


def _rewound(file: IO[bytes], settings: ImageSettings) -> IO[bytes]:
    try:
        file.seek(0)
    except (AttributeError, io.UnsupportedOperation):
        limit = 4 * settings.max_pixels + _SLACK
        content = file.read(limit)
        if len(content) == limit:
            raise InputError(f"{image_name(file)} does not end within {limit:,} bytes.") from None
        return io.BytesIO(content)
    return file


def _read_header(file: IO[bytes], name: str, settings: ImageSettings) -> ImageFile.ImageFile:
    """Return Pillow's image of a file after checking its size, before decoding."""
    start = file.read(_HEADER)
    if not isinstance(start, bytes):
        raise InputError(f"{name} is a text file. Open it with mode 'rb'.")
    if not start:
        raise InputError(f"{name} is an empty file (0 bytes). Replace it, or leave the sensor out.")
    kind = _format_of(start)
    if kind is None:
        raise InputError(
            f"{name} is not an image of a format that is read: {_NAMES}. Convert it, replace it, or leave the sensor "
            "out."
        )
    size = _webp_canvas(file, start, name, settings) if kind == "WEBP" else (0, 0)
    file.seek(0)
    # by the format's own class: Image.open would try others, and has a process-wide limit
    with pillow_limit_lifted(size):
        image = _class_of(kind)(file)
    require_size(image.size, name, settings)
    tags = getattr(image, "tag_v2", None)
    if kind == "TIFF" and tags is not None and _TILE_WIDTH in tags and _TILE_LENGTH in tags:
        require_size((tags[_TILE_WIDTH], tags[_TILE_LENGTH]), f"a tile of {name}", settings)
    return image


def _format_of(start: bytes) -> str | None:
    for kind, beginnings in FORMATS.items():
        if start.startswith(beginnings) and (kind != "WEBP" or start[8:12] == b"WEBP"):
            return kind
    return None


@cache
def _class_of(kind: str) -> type[ImageFile.ImageFile]:
    from PIL import (
        BmpImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    classes: dict[str, type[ImageFile.ImageFile]] = {
        "JPEG": JpegImagePlugin.JpegImageFile,
        "PNG": PngImagePlugin.PngImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
        "PPM": PpmImagePlugin.PpmImageFile,
    }
    return classes[kind]


def _webp_canvas(file: IO[bytes], start: bytes, name: str, settings: ImageSettings) -> tuple[int, int]:
    """Return a WebP file's size, checked before Pillow opens it, which allocates the whole canvas."""
    size = _webp_size(start)
    if size is None:
        raise InputError(f"{name} cannot be decoded: its WebP header is damaged or cut short.")
    require_size(size, name, settings)
    length, limit = file.seek(0, io.SEEK_END), 4 * settings.max_pixels + _SLACK
    if length > limit:
        raise InputError(f"{name} has {length:,} bytes; of a WebP file at most {limit:,} are read.")
    return size


def _webp_size(start: bytes) -> tuple[int, int] | None:
    """Return (width, height) of the canvas, from the first chunk of the file."""
    chunk = start[12:16]
    if chunk == b"VP8X" and len(start) >= 30:
        return 1 + int.from_bytes(start[24:27], "little"), 1 + int.from_bytes(start[27:30], "little")
    if chunk == b"VP8 " and start[23:26] == b"\x9d\x01\x2a" and len(start) >= 30:
        sides = start[26:28], start[28:30]
        width, height = (int.from_bytes(side, "little") & 0x3FFF for side in sides)
        return width, height
    if chunk == b"VP8L" and len(start) >= 25 and start[20] == 0x2F:
        bits = int.from_bytes(start[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _decode(image: ImageFile.ImageFile, name: str, settings: ImageSettings) -> None:
    ending = _Ending(image) if settings.accept_truncated and image.format == "JPEG" else None
    try:
        image.load()
        if ending is not None and ending.reached:
            _tell_damage(name, "the end is missing")
    except (OSError, SyntaxError, EOFError, ValueError, LookupError) as error:
        # the part decoded before the error is what Pillow's process-wide LOAD_TRUNCATED_IMAGES would return
        if not settings.accept_truncated or not _has_pixels(image):
            raise
        with suppress(Exception):
            image.load_end()
        image.tile = []
        image.load()
        _tell_damage(name, shown_text(error))


class _Ending:
    """Stream that appends the end marker to a truncated JPEG, as Pillow's LOAD_TRUNCATED_IMAGES does."""

    def __init__(self, image: ImageFile.ImageFile) -> None:
        self.reached = False
        self._read = image.load_read  # type: ignore[attr-defined]
        image.load_read = self._marked  # type: ignore[attr-defined]

    def _marked(self, size: int) -> bytes:
        content: bytes = self._read(size)
        if content or self.reached:
            return content
        self.reached = True
        return b"\xff\xd9"


def _tell_damage(name: str, why: str) -> None:
    log.warning("%s is damaged or cut short (%s); what is missing of it is black or grey", name, why)


def _has_pixels(image: ImageFile.ImageFile) -> bool:
    try:
        return cast("Any", image).im is not None
    except Exception:
        # newer Pillow asserts
        return False


@contextmanager
def pillow_limit_lifted(size: tuple[int, int]) -> Iterator[None]:
    """Disable Pillow's process-wide limit for an allowed image that exceeds it."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is None or size[0] * size[1] <= limit:
        yield
        return
    with _pillow_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def tell_orientation(image: Image.Image, name: str) -> None:
    """Warn once per process that a rotation in EXIF is not applied."""
    global _told_orientation
    if _told_orientation or "exif" not in image.info:
        return
    with suppress(Exception):
        turned = image.getexif().get(_ORIENTATION, 1)
        if turned in range(2, 9):
            _told_orientation = True
            log.warning(
                "%s notes an orientation in its EXIF data (%d). It is not applied, as in training: turn such images "
                "before, if they lie on their side. Logged once.",
                name,
                turned,
            )
