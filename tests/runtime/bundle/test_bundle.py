"""Opening a bundle: whole ones open, every kind of damage is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from mambapro.common.files.atomic import sha256_of
from mambapro.errors import ArtifactError, InputError
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.checksums import GOLDEN, METADATA, MODEL, PARITY, REQUIRED, SUMS, files_below, write_sums
from mambapro.runtime.bundle.metadata_parts import Artifact
from mambapro.runtime.extractor import Extractor


def change_last_byte(path):
    """Flip one bit of the last byte."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def rewrite_sums(folder, edit):
    """Let `edit` change the text of SHA256SUMS."""
    path = folder / SUMS
    path.write_text(edit(path.read_text()))


class TestOpen:
    def test_good_bundle_opens(self, bundle, small_metadata):
        """Metadata, model path, goldens and limit are there."""
        opened = Bundle.open(bundle)

        assert opened.metadata == small_metadata
        assert opened.file(MODEL) == bundle / MODEL
        assert opened.golden().samples == 7
        assert opened.parity_limit() == 1e-8

    def test_path_that_is_no_folder_is_an_input_error(self, bundle):
        """InputError says what a bundle is."""
        with pytest.raises(InputError, match="does not exist"):
            Bundle.open(bundle / "nowhere")
        with pytest.raises(InputError, match="is a file"):
            Bundle.open(bundle / MODEL)

    @pytest.mark.parametrize("name", REQUIRED)
    def test_missing_file_is_named(self, bundle, name):
        """ArtifactError when any of the five files is gone."""
        (bundle / name).unlink()

        with pytest.raises(ArtifactError, match=f"{name} missing"):
            Bundle.open(bundle)

    def test_changed_metadata_is_refused_on_open(self, bundle):
        """ArtifactError names the file, even where the JSON is still good."""
        path = bundle / METADATA
        path.write_text(path.read_text().replace('"small"', '"other"'))

        with pytest.raises(ArtifactError, match=r"metadata\.json is not the file"):
            Bundle.open(bundle)

    def test_changed_model_is_refused_by_the_extractor(self, bundle):
        """ArtifactError before ONNX Runtime sees a single byte."""
        change_last_byte(bundle / MODEL)

        with pytest.raises(ArtifactError, match=r"model\.onnx is not the file"):
            Extractor(bundle, device="cpu")

    def test_without_verify_nothing_is_hashed(self, bundle):
        """verify=False opens a bundle whose metadata was edited by hand."""
        path = bundle / METADATA
        path.write_text(path.read_text().replace('"small"', '"other"'))

        assert Bundle.open(bundle, verify=False).metadata.name == "other"

    def test_newer_schema_is_refused(self, bundle):
        """ArtifactError says which schema this runtime reads."""
        content = json.loads((bundle / METADATA).read_text())
        (bundle / METADATA).write_text(json.dumps({**content, "schema": "mambapro.bundle/9"}))
        write_sums(bundle)

        with pytest.raises(ArtifactError, match=r"mambapro\.bundle/9.*reads up to mambapro\.bundle/2"):
            Bundle.open(bundle)

    @pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff"], ids=["empty", "cut", "deep", "bytes"])
    def test_metadata_that_is_no_json_is_refused(self, bundle, text):
        """ArtifactError names the file."""
        (bundle / METADATA).write_bytes(text.encode("latin-1"))
        write_sums(bundle)

        with pytest.raises(ArtifactError, match=r"metadata\.json is not JSON"):
            Bundle.open(bundle)

    def test_unlisted_files_are_ignored_but_never_read(self, bundle):
        """A stray file does no harm on open; asking for it is ArtifactError."""
        (bundle / "notes.txt").write_text("x")

        opened = Bundle.open(bundle)

        with pytest.raises(ArtifactError, match=r"does not list notes\.txt"):
            opened.file("notes.txt")


class TestSums:
    @pytest.mark.parametrize(
        "line", ["no hash", "0" * 63 + "  a", "0" * 64 + " a", "0" * 64, "G" * 64 + "  a", "", "0" * 64 + f"  {SUMS}"]
    )
    def test_malformed_line_is_named_by_number(self, bundle, line):
        """ArtifactError says which line of SHA256SUMS is wrong."""
        rewrite_sums(bundle, lambda text: f"{line}\n{text}")

        with pytest.raises(ArtifactError, match="SHA256SUMS, line 1"):
            Bundle.open(bundle)

    def test_file_listed_twice_is_refused(self, bundle):
        """ArtifactError, since the second hash could hide the first."""
        rewrite_sums(bundle, lambda text: text + text)

        with pytest.raises(ArtifactError, match="line 5"):
            Bundle.open(bundle)

    @pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "..\\up"])
    def test_names_that_leave_the_bundle_are_refused(self, bundle, name):
        """ArtifactError for path traversal in SHA256SUMS."""
        rewrite_sums(bundle, lambda text: f"{'0' * 64}  {name}\n{text}")

        with pytest.raises(ArtifactError, match="stay inside the bundle"):
            Bundle.open(bundle)

    def test_required_file_must_be_listed(self, bundle):
        """ArtifactError when the model is there but has no hash."""
        rewrite_sums(bundle, lambda text: "".join(x for x in text.splitlines(True) if MODEL not in x))

        with pytest.raises(ArtifactError, match=r"does not list model\.onnx"):
            Bundle.open(bundle)

    def test_bytes_that_are_no_text_are_refused(self, bundle):
        """ArtifactError for a SHA256SUMS that is not UTF-8."""
        (bundle / SUMS).write_bytes(b"\xff\xfe")

        with pytest.raises(ArtifactError, match="is not text"):
            Bundle.open(bundle)

    def test_written_sums_follow_the_tool_of_that_name(self, bundle):
        """Two spaces, sorted names, subfolders with slashes, itself left out."""
        (bundle / "sub").mkdir()
        (bundle / "sub" / "x.bin").write_bytes(b"x")

        lines = write_sums(bundle).read_text().splitlines()

        names = [GOLDEN, METADATA, MODEL, PARITY, "sub/x.bin"]
        assert lines == [f"{sha256_of(bundle / name)}  {name}" for name in names]
        assert files_below(bundle) == names


class TestLinks:
    def test_link_out_of_the_bundle_is_refused(self, bundle, tmp_path):
        """ArtifactError, although the bytes and the hash are right."""
        outside = tmp_path / "outside.onnx"
        os.replace(bundle / MODEL, outside)
        (bundle / MODEL).symlink_to(outside)

        with pytest.raises(ArtifactError, match=r"model\.onnx is a link to a place outside"):
            Bundle.open(bundle).file(MODEL)

    def test_folder_that_is_a_link_out_of_the_bundle_is_refused(self, bundle, tmp_path):
        """ArtifactError for a file behind a linked folder."""
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "x").write_bytes(b"x")
        (bundle / "sub").symlink_to(outside)
        rewrite_sums(bundle, lambda text: f"{sha256_of(outside / 'x')}  sub/x\n{text}")

        with pytest.raises(ArtifactError, match="outside the bundle"):
            Bundle.open(bundle).file("sub/x")

    def test_link_in_a_circle_is_refused(self, bundle):
        """ArtifactError instead of an endless walk."""
        (bundle / MODEL).unlink()
        (bundle / MODEL).symlink_to(MODEL)

        with pytest.raises(ArtifactError, match=r"model\.onnx is (a link in a circle|not a regular file)"):
            Bundle.open(bundle).file(MODEL)

    def test_link_inside_the_bundle_is_followed(self, bundle):
        """A second name for a listed file is fine."""
        os.replace(bundle / MODEL, bundle / "real.onnx")
        (bundle / MODEL).symlink_to("real.onnx")

        assert Bundle.open(bundle).file(MODEL) == bundle / MODEL

    def test_pipe_is_refused(self, bundle):
        """ArtifactError for something that is not a file, without reading from it."""
        (bundle / MODEL).unlink()
        os.mkfifo(bundle / MODEL)

        with pytest.raises(ArtifactError, match="not a regular file"):
            Bundle.open(bundle).file(MODEL)


class TestLibraries:
    @pytest.fixture
    def with_library(self, make_bundle, small_metadata):
        """A bundle that lists a shared library (which is none, so that loading it would show)."""
        library = Artifact("libops.so", "onnxruntime-ops", {}, "unverified")
        folder = make_bundle(artifacts=(*small_metadata.artifacts, library))
        (folder / "libops.so").write_bytes(b"not a library")
        write_sums(folder)
        return folder

    def test_library_is_not_loaded_by_default(self, with_library, images):
        """The model runs, and the library is not touched."""
        with Extractor(with_library, device="cpu") as extractor:
            assert extractor(**images).shape == (5, 12)

    def test_library_is_loaded_when_asked_for(self, with_library):
        """load_plugins=True hands it to ONNX Runtime, which here refuses it: ArtifactError names it."""
        with pytest.raises(ArtifactError, match=r"operator library .*libops\.so"):
            Extractor(with_library, device="cpu", load_plugins=True)

    def test_changed_library_is_refused_before_it_is_loaded(self, with_library):
        """ArtifactError for a library whose hash differs."""
        change_last_byte(with_library / "libops.so")

        with pytest.raises(ArtifactError, match=r"libops\.so is not the file"):
            Extractor(with_library, device="cpu", load_plugins=True)


class TestGoldenAndParity:
    @staticmethod
    def rewrite_golden(folder, **changes):
        """Save golden.npz with some arrays replaced (None = left out)."""
        with np.load(folder / GOLDEN) as arrays:
            content = {**arrays, **changes}
        np.savez(folder / GOLDEN, **{name: value for name, value in content.items() if value is not None})
        write_sums(folder)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"nir": None}, "nir"),
            ({"camera": np.zeros(7, np.int32)}, "camera is int32"),
            ({"embedding": np.zeros((7, 11), np.float32)}, r"embedding is float32 \(7, 11\)"),
            ({"tir": np.zeros((6, 16, 8, 3), np.uint8)}, r"tir is uint8 \(6, 16, 8, 3\)"),
            ({"rgb": np.uint8(1)}, "rgb is uint8"),
            ({"embedding": np.full((7, 12), np.nan, np.float32)}, "not finite"),
            ({"camera": np.array([None] * 7, object)}, "arrays of numbers and text are read"),
        ],
    )
    def test_golden_that_does_not_fit_is_refused(self, bundle, changes, message):
        """ArtifactError for missing arrays, other types, shapes and counts, NaN, and pickled objects."""
        self.rewrite_golden(bundle, **changes)

        with pytest.raises(ArtifactError, match=message):
            Bundle.open(bundle).golden()

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x80\x04K\x01."], ids=["empty", "zip", "pickle"])
    def test_golden_that_is_no_npz_is_refused(self, bundle, content):
        """ArtifactError names the file."""
        (bundle / GOLDEN).write_bytes(content)
        write_sums(bundle)

        with pytest.raises(ArtifactError, match=r"golden\.npz cannot be read"):
            Bundle.open(bundle).golden()

    @pytest.mark.parametrize(
        "text",
        [
            "{}",
            "[]",
            '{"limit": 0}',
            '{"limit": true}',
            '{"limit": "1"}',
            '{"limit": NaN}',
            f'{{"limit": 1{"0" * 400}}}',
        ],
    )
    def test_parity_without_a_positive_limit_is_refused(self, bundle, text):
        """ArtifactError, since a missing limit would let everything pass."""
        Path(bundle / PARITY).write_text(text)
        write_sums(bundle)

        with pytest.raises(ArtifactError, match="positive number `limit`"):
            Bundle.open(bundle).parity_limit()
