"""Image files: the formats that are opened, the limits that headers are held against, and all that is refused."""

from __future__ import annotations

import io
import logging
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.data import image_files
from mambapro.runtime.data.image_files import FORMATS, image_size, open_image
from mambapro.runtime.data.image_settings import MAX_PIXELS, ImageSettings, image_settings, using_image_settings
from mambapro.runtime.data.preprocess import Preprocessing, image_array
from PIL import Image, ImageFile

HALF = (0.5, 0.5, 0.5)
PRE = Preprocessing(16, 8, HALF, HALF)
ROOT = Path(__file__).parents[3]


def noise(*shape, dtype=np.uint8, high=256):
    """Seeded noise of that shape."""
    return np.random.default_rng(5).integers(0, high, shape, dtype)


def encoded(image, kind, **options):
    """The bytes of an image file."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width, height, depth, colour, rows, extra=b""):
    """A PNG of any header; `rows` is what is compressed."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(**tags):
    """A TIFF file that is a header and a directory, of t<number>=(type, count, value)."""
    entries = b"".join(struct.pack("<HHII", int(name[1:]), *value) for name, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(200)


WEBP_CANVAS = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xfe\x3f\0" * 2
WEBP_LOSSLESS = b"RIFF\x1e\0\0\0WEBPVP8L\x0a\0\0\0\x2f" + struct.pack("<I", 16382 | 16382 << 14) + bytes(10)


def resized(image):
    """A PIL image as the model's input, computed plainly."""
    return np.asarray(image.convert("RGB").resize((8, 16), Image.Resampling.BILINEAR))


class TestFormats:
    @pytest.mark.parametrize("kind", sorted(FORMATS))
    def test_listed_formats_are_read_as_pillow_reads_them(self, tmp_path, kind):
        """The array is, bit for bit, that of Pillow's own opening, conversion and resize."""
        path = tmp_path / "x"
        path.write_bytes(encoded(noise(40, 30, 3), kind))

        found = image_array(path, PRE)

        with Image.open(path) as image:
            np.testing.assert_array_equal(found, resized(image))

    @pytest.mark.parametrize("mode", ["L", "1", "P", "RGB"])
    def test_modes_of_png_are_read_as_pillow_reads_them(self, mode):
        """Grey, black and white, palette and colour."""
        image = Image.fromarray(noise(40, 30, 3)).convert(mode)

        np.testing.assert_array_equal(image_array(encoded(image, "PNG"), PRE), resized(image))

    @pytest.mark.parametrize("name", ["raster.jpg", "raster.eps"])
    def test_postscript_is_not_run(self, tmp_path, monkeypatch, name):
        """InputError for a PostScript file, whatever its name, and no program is started."""
        started = []
        monkeypatch.setattr(subprocess, "Popen", lambda *command, **_: started.append(command))
        monkeypatch.setattr(subprocess, "check_call", lambda *command, **_: started.append(command))
        path = tmp_path / name
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")

        with pytest.raises(InputError, match="not an image of a format that is read: JPEG, PNG, TIFF, BMP, WebP"):
            image_array(path, PRE)
        with Image.open(path) as opened, pytest.raises(InputError, match="was opened as EPS and is not decoded"):
            image_array(opened, PRE)
        assert started == []

    @pytest.mark.parametrize("kind", ["GIF", "ICO", "PCX", "TGA", "SGI"])
    def test_other_formats_are_refused(self, kind):
        """InputError for what Pillow could read and nobody asked for."""
        with pytest.raises(InputError, match="not an image of a format that is read"):
            image_array(encoded(Image.new("L", (20, 20), 9), kind), PRE)

    def test_formats_are_chosen_by_content(self, tmp_path):
        """A PNG that is called .jpg is a PNG."""
        array = noise(16, 8, 3)
        path = tmp_path / "x.jpg"
        path.write_bytes(encoded(array, "PNG"))

        np.testing.assert_array_equal(image_array(path, PRE), array)

    def test_nothing_else_opens_images(self):
        """No source of the package calls Image.open without a list of formats."""
        calls = {
            str(path.relative_to(ROOT)): call
            for folder in ("runtime", "train", "export", "calib", "cli", "plugins", "benchmarks")
            for path in (ROOT / folder).rglob("*.py")
            for call in re.findall(r"Image\.open\([^\n]*", path.read_text())
            if "formats=" not in call
        }

        assert calls == {}


class TestNoRegularFile:
    def test_what_blocks_or_acts_is_not_opened(self, tmp_path):
        """InputError that says what it is: a FIFO would block for ever."""
        os.mkfifo(tmp_path / "fifo.jpg")
        (tmp_path / "folder.jpg").mkdir()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(tmp_path / "socket.jpg"))
            for name in ("fifo", "folder", "socket"):
                with pytest.raises(InputError, match=rf"(?i){name}\.jpg is a {name}"):
                    image_array(tmp_path / f"{name}.jpg", PRE)
        with pytest.raises(InputError, match="is a device"):
            image_array("/dev/null", PRE)

    @pytest.mark.parametrize("name", ["a\0b.jpg", "x" * 5000, "gone\x1b[31m.jpg"])
    def test_impossible_and_odd_names_are_refused(self, name):
        """InputError, the name escaped and cut."""
        with pytest.raises(InputError) as found:
            image_array(name, PRE)

        assert str(found.value).isprintable()
        assert len(str(found.value)) < 400


class TestLimits:
    @pytest.mark.parametrize(
        "content",
        [
            png(13000, 13000, 16, 0, bytes(100)),
            png(1, 1 << 20, 8, 0, bytes(100)),
            WEBP_CANVAS,
            WEBP_LOSSLESS,
            b"P6\n99999999 99999999\n255\n",
            tiff(
                t256=(4, 1, 60000), t257=(4, 1, 60000), t258=(3, 1, 8), t259=(3, 1, 1), t262=(3, 1, 1), t273=(4, 1, 8)
            ),
            tiff(
                t256=(4, 1, 10),
                t257=(4, 1, 10),
                t258=(3, 1, 8),
                t259=(3, 1, 8),
                t262=(3, 1, 1),
                t322=(4, 1, 60000),
                t323=(4, 1, 60000),
                t324=(4, 1, 200),
                t325=(4, 1, 9),
            ),
        ],
        ids=["png", "tall", "webp", "webp-lossless", "ppm", "tiff", "tiff-tile"],
    )
    def test_size_is_refused_by_the_header(self, content):
        """InputError that tells the size, before any memory is taken for it."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        with pytest.raises(InputError, match=r"has \d+ x \d+ pixels"):
            image_array(content, PRE)

        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000

    @pytest.mark.parametrize(("kind", "place", "form"), [("BMP", 18, "<ii"), ("JPEG", None, ">HH")])
    def test_promised_pixels_of_bmp_and_jpeg_are_refused(self, kind, place, form):
        """InputError for the largest size that the header can say."""
        content = bytearray(encoded(noise(16, 16, 3), kind))
        place = content.index(b"\xff\xc0") + 5 if place is None else place
        content[place : place + struct.calcsize(form)] = struct.pack(form, 65500, 65500)

        with pytest.raises(InputError, match=r"has 65500 x 65500 pixels, 4,290,250,000 in all; at most 67,108,864"):
            image_array(bytes(content), PRE)

    def test_rows_from_the_top_are_read(self):
        """A negative height of BMP means the other order of rows, not a size."""
        array = noise(16, 8, 3)
        content = bytearray(encoded(array, "BMP"))
        content[22:26] = struct.pack("<i", -16)

        np.testing.assert_array_equal(image_array(bytes(content), PRE), array[::-1])

    def test_limit_is_exact_and_can_be_set(self):
        """Allowed up to the limit, for one call, one Preprocessing, or the process; the message says how."""
        content = encoded(noise(20, 10, 3), "PNG")

        assert open_image(content, ImageSettings(max_pixels=200)).size == (10, 20)
        with pytest.raises(InputError, match=r"--max-image-pixels 200 \(in Python max_image_pixels=200\)"):
            open_image(content, ImageSettings(max_pixels=199))
        with using_image_settings(ImageSettings(max_pixels=199)):
            with pytest.raises(InputError, match="at most 199"):
                image_array(content, PRE)
            with pytest.raises(InputError, match="at most 199"):
                image_array(Image.new("RGB", (20, 10)), PRE)
        assert image_settings().max_pixels == MAX_PIXELS == 8192 * 8192

    def test_pillows_own_limit_gives_way(self, monkeypatch):
        """An image that is allowed here is decoded, without a warning, and Pillow's limit is what it was."""
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
        for kind in ("PNG", "TIFF", "JPEG", "WEBP"):
            assert open_image(encoded(noise(20, 10, 3), kind)).size == (10, 20)
        assert Image.MAX_IMAGE_PIXELS == 50

    @pytest.mark.parametrize("chunk", [b"iCCP", b"zTXt"])
    def test_compressed_notes_do_not_fill_memory(self, chunk):
        """InputError for a PNG whose notes or colour profile are bombs."""
        body = b"x\0\0" + zlib.compress(bytes(20_000_000))
        note = struct.pack(">I", len(body)) + chunk + body + struct.pack(">I", zlib.crc32(chunk + body))

        with pytest.raises(InputError, match="cannot be decoded: Decompressed data too large"):
            image_array(png(4, 4, 8, 2, bytes(52), note), PRE)

    def test_sixteen_bits_are_scaled_in_little_memory(self):
        """A 16-megapixel image of 16 bits takes no wider copy of itself: 32 MB, and less than as much again twice."""
        code = (
            "import numpy as np, resource\n"
            "from mambapro.runtime.data.sixteen_bit import eight_bit\n"
            "values = np.arange(1 << 24, dtype=np.uint32).astype(np.uint16).reshape(4096, 4096)\n"
            "eight_bit(values[:64], 'x', None, (0, 65535))\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "eight_bit(values, 'x', None, (0, 65535))\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        )

        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

        assert int(said) < 64_000

    def test_impossible_limit_is_refused(self):
        """InputError for less than one pixel."""
        for limit in (0, -1, 2.5, True):
            with pytest.raises(InputError, match="max_image_pixels must be"):
                ImageSettings(max_pixels=limit)


class TestErrors:
    @pytest.mark.parametrize(
        "error", [AssertionError(), AttributeError("x"), MemoryError(), RecursionError("deep"), OverflowError("big")]
    )
    def test_whatever_a_decoder_raises_names_the_file(self, tmp_path, monkeypatch, error):
        """InputError in place of any exception of a decoder."""
        path = tmp_path / "odd.png"
        path.write_bytes(encoded(noise(4, 4, 3), "PNG"))
        monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: (_ for _ in ()).throw(error))

        with pytest.raises(InputError, match=r"odd\.png cannot be decoded"):
            image_array(path, PRE)

    def test_interrupts_pass(self, monkeypatch):
        """Ctrl-C is no damaged image."""
        monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))

        with pytest.raises(KeyboardInterrupt):
            image_array(encoded(noise(4, 4, 3), "PNG"), PRE)

    @pytest.mark.filterwarnings("error")
    def test_warnings_as_errors_change_nothing(self):
        """A palette with opaque transparency bytes is read where warnings are errors."""
        image = Image.fromarray(noise(16, 8, 3)).convert("P")

        found = image_array(encoded(image, "PNG", transparency=bytes([255] * 256)), PRE)

        np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))

    @pytest.mark.filterwarnings("error")
    def test_a_warning_that_is_an_error_is_told(self):
        """InputError with the warning's text for a file that Pillow warns of."""
        broken = tiff(t256=(4, 1, 4), t257=(4, 1, 4), t258=(3, 2**30, 8), t259=(3, 1, 1), t262=(3, 1, 1))

        with pytest.raises(InputError, match=r"cannot be decoded: .*(arger than file|Truncated File Read)"):
            image_array(broken, PRE)


class TestTruncated:
    ACCEPTING = ImageSettings(accept_truncated=True)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
    @pytest.mark.parametrize("part", [0.5, 0.8, 0.99])
    def test_cut_files_are_what_pillow_makes_of_them(self, monkeypatch, kind, part):
        """On request they are read as with Pillow's LOAD_TRUNCATED_IMAGES, which stays off."""
        content = encoded(noise(60, 40, 3), kind)
        content = content[: int(part * len(content))]

        found = open_image(content, self.ACCEPTING).tobytes()
        with pytest.raises(InputError, match="cannot be decoded"):
            open_image(content)

        assert not ImageFile.LOAD_TRUNCATED_IMAGES
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        assert found == Image.open(io.BytesIO(content)).convert("RGB").tobytes()

    def test_it_is_said(self, caplog):
        """A warning names the file."""
        content = encoded(noise(60, 40, 3), "JPEG")

        open_image(content[: len(content) // 2], self.ACCEPTING)

        assert "is damaged or cut short" in caplog.text

    def test_other_threads_stay_strict(self):
        """While one thread accepts cut files, another refuses them."""
        content = encoded(noise(200, 200, 3), "PNG")[:20_000]
        stop, accepted = threading.Event(), []

        def accept():
            while not stop.is_set():
                accepted.append(open_image(content, self.ACCEPTING).size)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            for _ in range(50):
                with pytest.raises(InputError):
                    open_image(content)
        finally:
            stop.set()
            thread.join()
        assert set(accepted) == {(200, 200)}

    def test_a_file_without_a_picture_is_refused(self):
        """InputError where nothing can be decoded."""
        with pytest.raises(InputError):
            open_image(encoded(noise(60, 40, 3), "JPEG")[:30], self.ACCEPTING)


class TestEncoded:
    @pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, io.BytesIO])
    def test_bytes_and_open_files_are_images(self, wrap):
        """An encoded image in memory is read like its file."""
        array = noise(16, 8, 3)

        np.testing.assert_array_equal(image_array(wrap(encoded(array, "PNG")), PRE), array)

    def test_open_files_are_read_from_the_beginning_and_left_open(self, tmp_path):
        """Wherever a file stands, its whole content is the image, again and again."""
        array = noise(16, 8, 3)
        path = tmp_path / "x.png"
        path.write_bytes(encoded(array, "PNG"))

        with open(path, "rb") as file:
            file.seek(0, io.SEEK_END)
            for _ in range(2):
                np.testing.assert_array_equal(image_array(file, PRE), array)
            assert not file.closed

    def test_what_cannot_go_back_is_read_once(self):
        """A pipe is an image too."""
        array, (reading, writing) = noise(16, 8, 3), os.pipe()
        with open(writing, "wb") as file:
            file.write(encoded(array, "PNG"))

        with open(reading, "rb") as file:
            np.testing.assert_array_equal(image_array(file, PRE), array)

    def test_text_files_and_foreign_bytes_are_refused(self):
        """InputError that says what was given."""
        with pytest.raises(InputError, match=r"text file\. Open it with mode 'rb'"):
            image_array(io.StringIO("abc"), PRE)
        with pytest.raises(InputError, match=r"the encoded image \(5 bytes\) is not an image of a format"):
            image_array(b"bytes", PRE)
        with pytest.raises(InputError, match="is an empty file"):
            image_array(b"", PRE)

    def test_size_is_read_without_decoding(self):
        """A file cut after its header has a size."""
        assert image_size(encoded(noise(60, 40, 3), "PNG")[:60]) == (40, 60)


class TestOrientation:
    def test_it_is_told_once(self, monkeypatch, caplog):
        """The first image with a rotation in its EXIF data is told, the next are not, and none is turned."""
        monkeypatch.setattr(image_files, "_told_orientation", False)
        exif = Image.Exif()
        exif[0x0112] = 6
        array = noise(16, 8, 3)
        plain, turned = encoded(array, "PNG"), encoded(array, "PNG", exif=exif)
        caplog.set_level(logging.WARNING)

        image_array(plain, PRE)
        assert "orientation" not in caplog.text
        found = [image_array(turned, PRE) for _ in range(3)]

        assert caplog.text.count("notes an orientation in its EXIF data (6)") == 1
        assert all(np.array_equal(one, array) for one in found)
