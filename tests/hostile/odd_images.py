"""Images that are damaged, hostile or of formats that are not meant."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def write_all(folder: Path) -> list[Path]:
    """Every odd image, by its name."""
    paths = []
    for name, content in {**_programs(), **_bombs(), **_damaged(), **_formats()}.items():
        path = folder / name
        path.write_bytes(content)
        paths.append(path)
    return paths


def _programs() -> dict[str, bytes]:
    """Formats for which Pillow starts a program or another library."""
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    return {
        "postscript.jpg": postscript,
        "postscript.png": b"\xc5\xd0\xd3\xc6" + struct.pack("<6L", 32, 80, 0, 0, 0, 0),
    }


def _bombs() -> dict[str, bytes]:
    """Few bytes that claim many pixels."""
    return {
        "deep_20000.png": _png(20_000, 20_000, 16, 0, bytes(40_001) * 200),
        "claims_2e31.png": _png(2**31 - 1, 2**31 - 1, 8, 2, b""),
        "claims_webp.webp": _webp(16_383, 16_383),
        "claims_bmp.bmp": _bmp(100_000, 100_000),
        "negative_bmp.bmp": _bmp(-5, -2_000_000_000),
        "claims_pgm.pgm": b"P5 100000 100000 65535\n",
        "digits.pgm": b"P5 " + b"9" * 100_000 + b" 1 255\n",
        "claims_jpeg.jpg": _jpeg(65_500, 65_500),
        "claims_tiff.tif": _tiff(90_000, 90_000),
        "text_chunk.png": _png(4, 4, 8, 2, bytes(13) * 4, _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 27)))),
        "profile.png": _png(4, 4, 8, 2, bytes(13) * 4, _chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 27)))),
    }


def _damaged() -> dict[str, bytes]:
    """Good images cut or changed."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 12, 3), np.uint8))
    contents = {}
    for suffix, name in (("jpg", "JPEG"), ("png", "PNG"), ("tif", "TIFF"), ("bmp", "BMP"), ("webp", "WEBP")):
        out = io.BytesIO()
        picture.save(out, name)
        good = out.getvalue()
        contents[f"cut.{suffix}"] = good[: 2 * len(good) // 3]
        contents[f"head.{suffix}"] = good[:20]
        contents[f"zeros.{suffix}"] = good[: len(good) // 2] + bytes(len(good) // 2)
    return contents


def _formats() -> dict[str, bytes]:
    """Formats that are not meant, under names that are."""
    picture = Image.new("RGB", (8, 8), "red")
    contents = {}
    for name in ("GIF", "ICO", "PCX", "TGA", "PDF", "IM", "SGI"):
        out = io.BytesIO()
        picture.save(out, name)
        contents[f"{name.lower()}.jpg"] = out.getvalue()
    contents["avif.jpg"] = b"\0\0\0 ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(200)
    contents["text.jpg"] = b"this is no image\n" * 10
    float_tiff = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(float_tiff, "TIFF")
    contents["float.tif"] = float_tiff.getvalue()
    wide = io.BytesIO()
    Image.fromarray(np.full((4, 4), 200, np.int32)).save(wide, "TIFF")
    contents["int32.tif"] = wide.getvalue()
    return contents


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + extra
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


def _webp(width: int, height: int) -> bytes:
    """A lossless header and nothing behind it."""
    bits = (width - 1) | (height - 1) << 14
    body = b"VP8L" + struct.pack("<IBI", 5, 0x2F, bits) + b"\0"
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _bmp(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head


def _jpeg(width: int, height: int) -> bytes:
    """A small JPEG whose frame header claims another size."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "JPEG")
    content = bytearray(out.getvalue())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def _tiff(width: int, height: int) -> bytes:
    """A directory that claims one strip of deflated zeros."""
    data = zlib.compress(bytes(1 << 20))
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 8 + 2 + 12 * 9 + 4),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, len(data)),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 0) + data
