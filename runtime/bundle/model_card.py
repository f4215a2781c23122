"""Model card of a bundle: MODEL_CARD.md, from metadata, parity report and artifacts (https://arxiv.org/abs/1810.03993)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ... import __version__
from ...common.foreign_text import escaped
from ...common.formats.json_files import parse_json
from ...common.records import RecordError, decode
from ...common.tables import markdown_table
from ...errors import ArtifactError
from .artifact import AccuracyGate, Sidecar, parse_sidecar
from .check_record import as_checked, read_record
from .checksums import CARD, LARGEST_TEXT, METADATA, MODEL, PARITY
from .folder import BundleFolder
from .metadata import BundleMetadata
from .metadata_parts import CardFields
from .tensors import TensorInfo

_NOT_STATED = "not stated by the publisher"

#: Begin of the third line, below the name.
_OURS = "Model card of this bundle, written by mambapro"
_CARD = """\
# {name}

{ours} {version}. Fields without a value were not given at the export.

## Model

{model}

{labels}## Intended use

{use}

## Data

{data}

## Accuracy

{accuracy}

## Precision and parity

Distance to the PyTorch model: {parity}

{artifacts}

## Limits

{limits}

## License

{license}
"""


def is_own_card(files: BundleFolder) -> bool:
    """Return True if the model card of a folder was written by this module."""
    try:
        with files.open(CARD) as file:
            lines = file.read(LARGEST_TEXT).split(b"\n", 3)
    except (ArtifactError, OSError):
        return False
    return lines[0].startswith(b"# ") and len(lines) > 2 and lines[2].startswith(_OURS.encode())


def card_of(files: BundleFolder, listed: Mapping[str, str], artifact: Sidecar | None = None) -> str:
    """Write the card of a bundle, of which `artifact` is about to be listed.

    Args:
        files: the bundle.
        listed: stem of each listed artifact -> hash of its manifest.
        artifact: takes the place of a listed one of the same stem.

    Raises:
        ArtifactError: metadata.json or parity.json cannot be read.
    """
    try:
        metadata, parity = (parse_json(files.read(name, LARGEST_TEXT)) for name in (METADATA, PARITY))
    except ValueError as error:
        raise ArtifactError(f"{escaped(files.path)} has no model card: {escaped(error)}. Export it again.") from error
    artifacts = {} if artifact is None else {artifact.stem: artifact}
    record = read_record(files)
    for stem in sorted(set(listed) - set(artifacts)):
        path = files.path / f"{stem}.json"
        # an artifact that is damaged is reported by whoever opens it
        with contextlib.suppress(ArtifactError, OSError):
            built = parse_sidecar(files.read(path.name, LARGEST_TEXT), path)
            artifacts[stem] = as_checked(built, listed[stem], record)
    return card_text(BundleMetadata.from_json(metadata), parity, [artifacts[stem] for stem in sorted(artifacts)])


def card_text(metadata: BundleMetadata, parity: Any, artifacts: Sequence[Sidecar]) -> str:
    """Return the card as Markdown.

    Args:
        metadata: of the bundle.
        parity: parity.json as a JSON value.
        artifacts: built from the model.
    """
    report = parity if isinstance(parity, dict) else {}
    fields = metadata.card or CardFields()
    scope = "" if metadata.feature_space is None else f"\n\n{_safe(metadata.feature_space.rule)}"
    terms = (("weights", fields.license), ("training data", fields.data_license))
    return _CARD.format(
        name=_safe(metadata.name),
        ours=_OURS,
        version=__version__,
        model=_table(("field", "value"), *_model_rows(metadata)),
        labels=_labels(metadata),
        use=f"{_safe(metadata.task).capitalize()}. Use and limits: {_safe(fields.note or _NOT_STATED)}.{scope}",
        data=f"Made for: {_safe(', '.join(metadata.datasets) or _NOT_STATED)}. Checkpoint: "
        f"{_safe(metadata.checkpoint.file)}, SHA-256 {metadata.checkpoint.sha256}.",
        accuracy=_accuracy(metadata, report, artifacts),
        parity=_parity(report),
        artifacts=_table(
            ("artifact", "precision", "state", "largest distance", "samples", "speed"),
            _base_row(metadata),
            *map(_artifact_row, artifacts),
        ),
        limits="\n".join(f"- {text}" for text in _limits(metadata)),
        license=_table(("of", "license"), *((name, text or _NOT_STATED) for name, text in terms)),
    )


def _model_rows(metadata: BundleMetadata) -> Iterator[tuple[str, str]]:
    pre = metadata.preprocessing
    yield "task", metadata.task
    yield "inputs", "; ".join(map(_tensor, metadata.inputs))
    yield "outputs", "; ".join(map(_tensor, metadata.outputs))
    if metadata.labels is not None:
        yield "labels", f"{len(metadata.labels.names)}, {metadata.labels.activation}"
    yield "images", f"{pre.height} x {pre.width} pixels (height x width), {pre.resize} resize"
    yield "cameras", str(metadata.cameras) if metadata.cameras else "no camera input"
    yield "precision of parts", ", ".join(f"{part} {value}" for part, value in metadata.precision.parts.items())
    yield "exported", f"{metadata.created}, commit {metadata.git_commit or 'unknown'}"
    yield "fingerprint", metadata.fingerprint


def _labels(metadata: BundleMetadata) -> str:
    """Return the section on the labels: name, words, threshold and the labels that exclude each."""
    labels = metadata.labels
    if labels is None:
        return ""
    rows = []
    for i, name in enumerate(labels.names):
        groups = [", ".join(other for other in group if other != name) for group in labels.exclusive if name in group]
        threshold = f"{labels.thresholds[i]:g}" if labels.thresholds else "-"
        rows.append((name, labels.words[i] if labels.words else "-", threshold, "; ".join(groups) or "-"))
    return f"## Labels\n\n{_table(('label', 'words', 'threshold', 'excludes'), *rows)}\n\n"


def _tensor(tensor: TensorInfo) -> str:
    return f"{tensor.name} ({tensor.dtype} {' x '.join(map(str, tensor.shape))})"


def _accuracy(metadata: BundleMetadata, report: dict[str, Any], artifacts: Sequence[Sidecar]) -> str:
    gates = {f"{MODEL}, {metadata.precision.label}": _stored_gate(report), **{a.stem: a.accuracy for a in artifacts}}
    rows = [_gate_row(name, one) for name, gate in gates.items() if gate is not None for one in (gate, *gate.others)]
    if not rows:
        return "Not measured: no labeled images were given (`--data`, `--dataset`)."
    head = ("artifact", "metric", "test set", "queries", "reference, %", "artifact, %", "drop, points [95 %]", "limit")
    return _table(head, *rows)


def _stored_gate(report: dict[str, Any]) -> AccuracyGate | None:
    """Return the gate in parity.json, None if there is none that can be read."""
    with contextlib.suppress(RecordError):
        return decode(AccuracyGate, report.get("accuracy"))
    return None


def _gate_row(name: str, gate: AccuracyGate) -> tuple[str, ...]:
    reference, found, drop, low, high, limit = (
        # + 0.0: no negative zero
        f"{round(100 * value, 2) + 0.0:.2f}"
        for value in (gate.reference, gate.found, gate.drop, gate.low, gate.high, gate.limit)
    )
    return name, gate.metric, gate.dataset, str(gate.queries), reference, found, f"{drop} [{low}, {high}]", limit


def _parity(report: dict[str, Any]) -> str:
    numbers = [report.get(name) for name in ("max_departure", "limit")]
    if not all(isinstance(number, float) for number in numbers):
        return "see parity.json."
    measure = report.get("measure", "1 - cosine")
    # a folder of the machine that exported it means nothing elsewhere
    images = str(report.get("images")).split(" in ")[0]
    return f"{_safe(measure)} at most {numbers[0]:.1e}, limit {numbers[1]:.0e}, on {_safe(images)}."


def _base_row(metadata: BundleMetadata) -> tuple[str, ...]:
    return MODEL, metadata.precision.label, metadata.artifacts[0].state, "see above", "-", "-"


def _artifact_row(item: Sidecar) -> tuple[str, ...]:
    cosine, speed = item.cosine, item.speed
    distance = "-" if cosine is None else f"{cosine.measure} {cosine.largest:.1e}, limit {cosine.limit:.0e}"
    return (
        item.stem,
        item.precision,
        item.state,
        distance,
        "-" if cosine is None else str(cosine.samples),
        "-" if speed is None else str(speed),
    )


def _limits(metadata: BundleMetadata) -> Iterator[str]:
    yield "Parity and accuracy hold for the images that they were measured on; other cameras and scenes differ."
    yield "Artifacts that are unverified have to pass `mambapro check` on the machine that uses them."
    pre = metadata.preprocessing
    ranges = {"all sensors": pre.sixteen_bit_range, **pre.sensor_ranges}
    yield "16-bit images: " + ", ".join(f"{_safe(name)} {low} to {high}" for name, (low, high) in ranges.items())
    if metadata.labels is not None:
        yield "Labels are what annotators saw in images. Those of age or sex are impressions, not facts about a person."
    if metadata.batch is not None:
        yield f"The batch is fixed to {metadata.batch}."


def _table(head: Sequence[str], *rows: Sequence[str]) -> str:
    return markdown_table([head, *([_safe(cell) for cell in row] for row in rows)], "<<")


def _safe(text: object) -> str:
    """Return a foreign value as one line of Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*[]<>|#" else letter for letter in escaped(text))
