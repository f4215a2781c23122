"""Labels of an export: of the checkpoint, of a file, numbered ones; words that belong to another list are refused."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mambapro.errors import ArtifactError, InputError
from mambapro.export.pipeline import plan_export
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.runtime.bundle.labels import Labels
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.models.checkpoints.weights import load_checkpoint, save_checkpoint
from mambapro.train.models.registry import model_class

NAMES = tuple(f"name_{number}" for number in range(10))
LABELS = Labels.of_attributes(NAMES, tuple(f"the {name}" for name in NAMES))


def checkpoint(path: Path, name: str = "mini_par_image_vit_b", labels: Labels | None = None, **constants: Any) -> Path:
    named = NAMED_MODELS[name]
    config = replace(named.config, text=replace(named.config.text, vocabulary=10, depth=1))
    model = model_class(named.kind)(config)
    model.set_constants(**constants)
    save_checkpoint(model, path, training={} if labels is None else {"labels": labels.to_json()})
    return path


def file_of(folder: Path, value: Any) -> Path:
    file = folder / "labels.json"
    file.write_text(json.dumps(value))
    return file


def test_of_the_checkpoint(tmp_path: Path) -> None:
    """A checkpoint names its labels; a file with the same list changes nothing, thresholds included."""
    tuned = replace(LABELS, thresholds=(0.3,) * 10)
    path = checkpoint(tmp_path / "model.safetensors", labels=tuned)

    for file in (None, file_of(tmp_path, list(NAMES))):
        assert ExportOptions(path, labels=file).load_model().spec.labels == tuned


def test_of_a_file(tmp_path: Path) -> None:
    """A checkpoint without labels gets those of the file."""
    path = checkpoint(tmp_path / "model.safetensors")

    assert ExportOptions(path, labels=file_of(tmp_path, LABELS.to_json())).load_model().spec.labels == LABELS


def test_numbered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without any list the attributes are numbered, with a warning; labeled images are refused."""
    path = checkpoint(tmp_path / "model.safetensors")

    with caplog.at_level(logging.WARNING, "mambapro"):
        labels = ExportOptions(path).load_model().spec.labels

    assert labels == Labels.of_attributes([f"attribute_0{number}" for number in range(10)])
    assert "does not name its attributes" in caplog.text and "--labels" in caplog.text
    with pytest.raises(InputError, match="does not name its attributes, so --data"):
        ExportOptions(path, data="data", dataset="pa100k").load_model()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["name_1", "name_0", *NAMES[2:]], "differ first at number 0: 'name_1' and 'name_0'"),
        (list(NAMES[:9]), "the lists have 9 and 10 entries"),
        ({"attributes": NAMES, "words": ["other", *LABELS.words[1:]]}, "'other' and 'the name_0'"),
    ],
)
def test_another_list(tmp_path: Path, value: Any, message: str) -> None:
    """A file with another order, length or wording than the checkpoint's list is refused."""
    path = checkpoint(tmp_path / "model.safetensors", labels=LABELS)

    with pytest.raises(InputError, match=message):
        ExportOptions(path, labels=file_of(tmp_path, value)).load_model()


def test_wrong_number(tmp_path: Path) -> None:
    """A list of another length than the model's output is refused."""
    path = checkpoint(tmp_path / "model.safetensors")

    with pytest.raises(InputError, match="has 10 labels, the list has 3"):
        ExportOptions(path, labels=file_of(tmp_path, ["a", "b", "c"])).load_model()


def test_words_of_another_list(tmp_path: Path) -> None:
    """A checkpoint whose labels were reordered beside its stored words is refused."""
    path = tmp_path / "model.safetensors"
    vectors = np.ones((10, 64), np.float32)
    checkpoint(path, "mini_par_vsf_vim_s", LABELS, label_vectors=vectors)
    content = path.read_bytes()
    changed = content.replace(b"the name_0", b"the name_9", 1)
    assert load_checkpoint(path).labels == LABELS and changed != content

    path.write_bytes(changed)

    with pytest.raises(ArtifactError, match="words of another list of labels"):
        load_checkpoint(path)


def test_without_words(tmp_path: Path) -> None:
    """A model with text needs its words: the message names the options; they are taken from the caller."""
    path = checkpoint(tmp_path / "model.safetensors", "mini_par_vsf_vim_s", LABELS)

    with pytest.raises(InputError, match=r"neither their token ids nor their.*--label-vectors"):
        ExportOptions(path).load_model().inference()

    model = ExportOptions(path, switches={"label_tokens": np.ones((10, 4), np.int64)}).load_model()
    assert model.inference().text.shape == (10, 64) and model.spec.text == "text"


def test_tokens_without_encoder(tmp_path: Path) -> None:
    """A checkpoint without text encoder takes vectors, not token ids."""
    named = NAMED_MODELS["mini_par_vsf_vim_s"]
    path = tmp_path / "model.safetensors"
    save_checkpoint(model_class(named.kind)(replace(named.config, text_encoder=False)), path)

    with pytest.raises(InputError, match=r"no text encoder for label_tokens\. Give label_vectors"):
        load_checkpoint(path, label_tokens=np.ones((10, 4), np.int64))

    assert load_checkpoint(path, label_vectors=np.ones((10, 64), np.float32)).inference().text.shape == (10, 64)


def test_a_benchmark_of_another_task(tmp_path: Path) -> None:
    """InputError before anything is exported, with the benchmarks of the model's task."""
    path = checkpoint(tmp_path / "model.safetensors", labels=LABELS)

    with pytest.raises(InputError, match=r"RGBNT201 \(rgbnt201\) is a benchmark for re-identification; .*: pa100k, "):
        plan_export(ExportOptions(path, dataset="rgbnt201"))
