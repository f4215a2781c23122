"""Model card of a bundle: its content, and that it follows the artifacts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mambapro import __version__
from mambapro.errors import ArtifactError, InputError
from mambapro.export.pipeline import is_bundle
from mambapro.runtime.bundle.artifact import AccuracyGate, CosineGate, Sidecar
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.catalog import add_artifact, is_artifact_file
from mambapro.runtime.bundle.check_record import write_record
from mambapro.runtime.bundle.checksums import CARD, SUMS, read_sums, write_sums
from mambapro.runtime.bundle.labels import Labels
from mambapro.runtime.bundle.metadata import BundleMetadata
from mambapro.runtime.bundle.metadata_parts import CardFields
from mambapro.runtime.bundle.model_card import card_text
from mambapro.runtime.extractor import Extractor
from mambapro.runtime.verification.check import check_bundle

PARITY = {"max_departure": 2e-9, "limit": 1e-8, "images": "rgbnt201 in /home/somebody/data"}
GATE = AccuracyGate("rgbnt201", 10, 20, 0.80, 0.795, 0.005, -0.01, 0.02, 0.01)


def added(folder: Path, **fields: Any) -> None:
    """Add the bundle's int8 artifact once more."""
    (old,) = (item for item in Bundle.open(folder).artifacts if item.precision == "int8")
    content = (folder / old.file).read_bytes()
    copy = folder.with_name("copy.onnx")
    copy.write_bytes(content)
    add_artifact(folder, replace(old, **fields), {old.file: copy})


def test_content(small_metadata: BundleMetadata) -> None:
    """Task, tensors, data, parity, license, note and fingerprint stand in the card; what was not given is said."""
    text = card_text(replace(small_metadata, card=CardFields("MIT", note="For research")), PARITY, [])

    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert text.startswith("# small\n") and "| task | re-identification |" in rows
    assert f"| outputs | embedding (float32 batch x {small_metadata.dim}) |" in rows
    assert "1 - cosine at most 2.0e-09, limit 1e-08, on rgbnt201." in text and "somebody" not in text
    assert "| weights | MIT |" in rows and "| training data | not stated by the publisher |" in rows
    assert "Use and limits: For research." in text and small_metadata.fingerprint in text
    assert "Not measured: no labeled images were given" in text


def test_accuracy_has_its_intervals(small_metadata: BundleMetadata) -> None:
    """A gate of the exported model shows metric, both values, the drop with its interval, and the limit."""
    others = (replace(GATE, metric="F1", drop=0.001),)
    gate = json.loads(json.dumps({**vars(GATE), "metric": "mA", "others": [vars(others[0])]}))

    text = card_text(small_metadata, {**PARITY, "accuracy": gate}, [])

    assert "| model.onnx, fp32 | mA | rgbnt201 | 10 | 80.00 | 79.50 | 0.50 \\[-1.00, 2.00\\] | 1.00 |" in text
    assert "| model.onnx, fp32 | F1 |" in text


def test_no_negative_zero(small_metadata: BundleMetadata) -> None:
    """Values that round to zero from below are written as 0.00, as the gate itself does."""
    gate = json.loads(json.dumps(vars(replace(GATE, drop=-1e-6, low=-2e-5, others=()))))

    text = card_text(small_metadata, {**PARITY, "accuracy": gate}, [])

    assert "| 0.00 \\[0.00, 2.00\\] |" in text and "-0.00" not in text


def test_names_its_writer(small_metadata: BundleMetadata) -> None:
    """The version is that of the package that writes the card, not of the one that exported the bundle."""
    text = card_text(replace(small_metadata, versions={"mambapro": "0.0.9"}), PARITY, [])

    assert f"written by mambapro {__version__}." in text and "0.0.9" not in text


def test_labels_are_named(small_metadata: BundleMetadata) -> None:
    """A model of attributes lists its labels, and no rule for embeddings."""
    tensor = replace(small_metadata.outputs[0], name="logits", role="logits", shape=("batch", 3))
    metadata = replace(
        small_metadata,
        task="attributes",
        outputs=(tensor,),
        embedding=None,
        feature_space=None,
        labels=Labels(
            ("hat", "bag", "cap"), "sigmoid", (0.45, 0.5, 0.5), ("a hat", "a bag", "a cap"), (("hat", "cap"),)
        ),
    )

    text = card_text(metadata, {**PARITY, "measure": "|difference| of logits"}, [])

    assert "| labels | 3, sigmoid |" in text and "Embeddings may be compared" not in text
    assert "| hat | a hat | 0.45 | cap |" in text and "| bag | a bag | 0.5 | - |" in text
    assert "\\|difference\\| of logits at most" in text


def test_foreign_text_stays_in_its_line(small_metadata: BundleMetadata) -> None:
    """Line breaks, bars, tags and control characters of names open no row, heading or tag."""
    metadata = replace(small_metadata, name="a\n# b | <script>\x1b[2J", card=CardFields(note="x\n\n## License"))

    text = card_text(metadata, {**PARITY, "images": "y\n# z"}, [])

    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings[1:] == [line for line in card_text(small_metadata, PARITY, []).splitlines() if line[:3] == "## "]
    assert "\x1b" not in text and " <script>" not in text and " | <" not in text


@pytest.mark.parametrize("parity", [None, [], {"max_departure": "x"}, {"accuracy": {"queries": 1}, "limit": 10**400}])
def test_odd_reports(small_metadata: BundleMetadata, parity: Any) -> None:
    """A parity report without the usual numbers leaves the card without them."""
    assert "Distance to the PyTorch model: see parity.json." in card_text(small_metadata, parity, [])


@pytest.mark.parametrize("value", ["", "  ", "x" * 4001])
def test_fields_have_a_length(value: str) -> None:
    """InputError names an empty or endless field."""
    with pytest.raises(InputError, match="license must have 1 to 4,000 letters"):
        CardFields(license=value)


class TestInBundle:
    def test_follows_the_artifacts(self, with_int8: Path) -> None:
        """An added artifact enters the card, which SHA256SUMS lists; an older card is replaced; check passes."""
        first = (with_int8 / CARD).read_text()

        added(with_int8, accuracy=GATE, cosine=CosineGate(1e-3, 1e-4, 1e-2, 4))

        second = (with_int8 / CARD).read_text()
        assert first.count("onnxruntime-int8") == 1 and "rgbnt201" in second != first
        assert "| onnxruntime-int8 | int8 | verified | 1 - cosine 1.0e-03, limit 1e-02 | 4 |" in second
        assert CARD in read_sums(with_int8)
        assert check_bundle(with_int8, "cpu").files == len(read_sums(with_int8))

    def test_bundles_without_a_card_are_read(self, with_int8: Path) -> None:
        """An older bundle opens and passes; its next artifact brings a card."""
        (with_int8 / CARD).unlink()
        write_sums(with_int8)

        with Extractor(with_int8, "cpu") as extractor:
            assert extractor.dim
        check_bundle(with_int8, "cpu")
        added(with_int8)
        assert CARD in read_sums(with_int8)

    def test_changed_card_is_found(self, with_int8: Path) -> None:
        """The card is hashed like every other file."""
        (with_int8 / CARD).write_text("better")

        with pytest.raises(Exception, match=r"MODEL_CARD\.md is not the file that was exported"):
            check_bundle(with_int8, "cpu")

    def test_remains_of_a_killed_build_are_cleared(self, with_int8: Path) -> None:
        """A card under a hidden name, or off the list, is an artifact's remains, and the next artifact clears them."""
        hidden = with_int8 / ".MODEL_CARD.1a2b3c4d.md"
        hidden.write_text("half")
        lines = (with_int8 / SUMS).read_text().splitlines(keepends=True)
        (with_int8 / SUMS).write_text("".join(line for line in lines if CARD not in line))

        assert is_artifact_file(hidden.name) and is_artifact_file(CARD) and not is_artifact_file("README.md")
        added(with_int8)

        assert not os.path.lexists(hidden) and CARD in read_sums(with_int8)
        check_bundle(with_int8, "cpu")

    def test_states_are_those_of_the_last_check(self, with_int8: Path, sidecar_of: Callable[..., Sidecar]) -> None:
        """An artifact that was verified by a check stays so in the card that a later artifact brings."""
        added(with_int8, state="unverified")
        bundle, other = Bundle.open(with_int8), with_int8.with_name("other.onnx")
        (int8,) = (item for item in bundle.artifacts if item.precision == "int8")
        write_record(bundle, replace(int8, state="verified"))
        shutil.copyfile(with_int8 / int8.file, other)
        sidecar = sidecar_of(other, "openvino", "fp32", hint="f32")

        add_artifact(with_int8, sidecar, {sidecar.file: other})

        assert "| onnxruntime-int8 | int8 | verified |" in (with_int8 / CARD).read_text()

    def test_a_card_of_somebody_else_stays(self, with_int8: Path) -> None:
        """A file of the card's name that is neither listed nor ours is kept, named, and no remainder of a build."""
        (with_int8 / CARD).unlink()
        write_sums(with_int8)
        (with_int8 / CARD).write_text("# Cameras of the north gate\n\nNotes\n")
        before = {path.name: path.read_bytes() for path in with_int8.iterdir()}

        with pytest.raises(InputError, match=r"MODEL_CARD\.md was not written by mambapro.*Move it away"):
            added(with_int8)

        assert {path.name: path.read_bytes() for path in with_int8.iterdir()} == before
        assert not is_bundle(with_int8)
        with pytest.raises(ArtifactError, match=r"MODEL_CARD\.md is not listed .* move it elsewhere"):
            check_bundle(with_int8, "cpu")
        (with_int8 / CARD).unlink()
        added(with_int8)
        assert is_bundle(with_int8)

    def test_the_card_cannot_be_given(self, with_int8: Path, tmp_path: Path) -> None:
        """InputError for a card among the files of an artifact."""
        (tmp_path / "own.md").write_text("own")

        with pytest.raises(InputError, match=r"MODEL_CARD\.md is no name for a file of an artifact"):
            add_artifact(with_int8, Bundle.open(with_int8).artifacts[1], {CARD: tmp_path / "own.md"})
