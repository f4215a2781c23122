"""Runs of a comparison of attribute models: each recipe with each seed, trained, then evaluated on the test part."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ....common.files.atomic import sha256_of
from ....common.progress import Track
from ....runtime.data.sample import Benchmark
from ....runtime.evaluation.attributes.labeled_images import labeled_samples
from ....runtime.evaluation.retrieval.evaluate import extract_features
from ...attributes.attribute_recipe import AttributeRecipe
from ...attributes.evaluate_attributes import checkpoint_labels
from ...engine.device import resolve_device
from ...engine.feature_function import torch_feature_function
from ...engine.image_ranges import model_preprocessing, noted_ranges
from ...models.checkpoints.weights import load_checkpoint
from .jobs import FREE
from .record import fingerprint
from .stored_runs import train_once, write_result

log = logging.getLogger("mambapro")


@dataclass(frozen=True)
class AttributeRun:
    """One recipe with one seed; `sources` are those of its start by name. `fingerprint` covers what affects it."""

    recipe: str
    seed: int
    config: AttributeRecipe
    sources: Mapping[str, Path]
    fingerprint: str

    @property
    def name(self) -> str:
        """Stem of its file names."""
        return f"{self.recipe}-seed{self.seed}"

    def result(self, folder: Path) -> Path:
        """Return the path of its result."""
        return folder / "results" / f"{self.name}.json"

    def run_folder(self, folder: Path) -> Path:
        """Return its training folder; other settings have another one."""
        return folder / "runs" / f"{self.name}-{self.fingerprint[:8]}"


@dataclass(frozen=True)
class AttributeResult:
    """Stored result of one run.

    Attributes:
        fingerprint: of its settings.
        trainable: number of values that the training moved.
        seconds: of the training.
        assigned: the labels of each test sample, in the data set's order, as bits in hexadecimal.
    """

    #: 10,000 images with some hundred labels each
    largest_file: ClassVar[int] = 64 * 2**20

    fingerprint: str
    trainable: int
    seconds: float
    assigned: tuple[str, ...]

    def decisions(self, labels: int) -> np.ndarray:
        """Return the assigned labels, bool (N, labels)."""
        rows = np.array([list(bytes.fromhex(row)) for row in self.assigned], np.uint8)
        return np.unpackbits(rows, axis=1, count=labels).astype(bool)


def make_run(
    recipe: str,
    config: AttributeRecipe,
    seed: int,
    sources: Mapping[str, Path],
    data: str,
    teacher: AttributeRun | None,
) -> AttributeRun:
    """Build a run; `data` is the fingerprint of the data set, `teacher` the run whose model is its teacher."""
    config = replace(config, seed=seed)
    settings = {name: value for name, value in config.to_json().items() if name not in FREE}
    files = {name: sha256_of(path)[:16] for name, path in sources.items() if name != "teacher"}
    taught = None if teacher is None else teacher.fingerprint
    content = {"recipe": settings, "sources": files, "data": data, "teacher": taught, **noted_ranges()}
    return AttributeRun(recipe, seed, config, sources, fingerprint(content))


def labels_fingerprint(benchmark: Benchmark) -> str:
    """Return a hash of a data set's samples in every part: names, labels, and the sizes of their files."""
    digest = hashlib.sha256(benchmark.name.encode())
    for part in (benchmark.train, benchmark.validation, benchmark.query):
        for sample in part:
            sizes = [source.path.stat().st_size for source in sample.sources.values()]
            digest.update(f"{sample.name} {sizes} {sorted(sample.labels.items())}\n".encode())
        digest.update(b"--\n")
    return digest.hexdigest()[:16]


def execute(run: AttributeRun, benchmark: Benchmark, data: Path, out: Path, options: Any, track: Track) -> None:
    """Train if needed, evaluate the best epoch on the test part, and write the result.

    Args:
        run: the run.
        benchmark: its test part is evaluated.
        data: folder of the data set.
        out: folder of all runs.
        options: `dataset`, `device` and `overwrite` of the command.
        track: shows progress.
    """
    folder = run.run_folder(out)
    fill = run.config.initialiser(**run.sources)
    trainable, seconds = train_once(
        run.config, data, options.dataset, folder, fill, options.device, options.overwrite, track
    )
    model = load_checkpoint(folder / "best.pth")
    labels = checkpoint_labels(model, folder, benchmark)
    images = labeled_samples(benchmark, benchmark.query, labels, run.name)
    function = torch_feature_function(model.to(resolve_device(options.device)))
    logits = extract_features(images.samples, function, model_preprocessing(model), track=track)
    packed = np.packbits(labels.assign(logits), axis=1)
    result = AttributeResult(run.fingerprint, trainable, seconds, tuple(row.tobytes().hex() for row in packed))
    write_result(result, run.result(out))
    log.info("%s: %.0f s of training", run.name, seconds)
    (folder / "last.pth").unlink(missing_ok=True)
