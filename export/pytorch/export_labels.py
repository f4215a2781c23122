"""Labels of an exported model: those of its training, of a file, or numbered ones."""

from __future__ import annotations

import logging
from pathlib import Path

from ...common.foreign_text import escaped, shown_text
from ...errors import InputError
from ...runtime.bundle.label_file import read_label_file
from ...runtime.bundle.labels import Labels
from ...runtime.bundle.tensors import LOGITS
from ...train.models.model_spec import Model

log = logging.getLogger("mambapro")


def label_model(model: Model, checkpoint: Path, file: Path | None, data: str | None = None) -> None:
    """Name the labels of a model that returns logits.

    Args:
        model: as loaded from `checkpoint`, with the labels of its training if the file has them.
        checkpoint: its file, for messages.
        file: a list of labels; of a checkpoint that has labels only a check of them.
        data: folder of labeled images, whose labels are compared by name.

    Raises:
        InputError: a file for a model without labels, a list of another length, order or wording, or `data` without
            names of the labels.
    """
    if file is not None:
        labels, known = read_label_file(file), model.spec.labels
        if known is None:
            model.set_labels(labels)
        else:
            _require_same(labels, known, file, checkpoint)
    elif model.spec.output.role == LOGITS and model.spec.labels is None:
        if data is not None:
            raise InputError(
                f"{escaped(checkpoint)} does not name its attributes, so --data {escaped(data)} cannot be compared "
                "with its outputs. Give their names with --labels, or leave --data out."
            )
        count = int(model.spec.output.shape[1])
        log.warning(
            "%s does not name its attributes; they are attribute_00 to attribute_%02d. Give their names with --labels.",
            shown_text(checkpoint.name),
            count - 1,
        )
        model.set_labels(Labels.of_attributes([f"attribute_{number:02d}" for number in range(count)]))


def _require_same(labels: Labels, known: Labels, file: Path, checkpoint: Path) -> None:
    pairs = [(labels.names, known.names)] + [(labels.words, known.words)] * bool(labels.words and known.words)
    for given, stored in pairs:
        if given == stored:
            continue
        first = next((i for i, pair in enumerate(zip(given, stored, strict=False)) if pair[0] != pair[1]), None)
        where = (
            f"they differ first at number {first}: {given[first]!r} and {stored[first]!r}"
            if first is not None
            else (f"the lists have {len(given)} and {len(stored)} entries")
        )
        raise InputError(
            f"{escaped(file)} is not the list of labels that {escaped(checkpoint)} was trained with: {escaped(where)}. "
            "Leave --labels out: the checkpoint holds them."
        )
