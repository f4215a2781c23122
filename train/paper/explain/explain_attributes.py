"""Implementation of `mambapro explain` for attributes: heat maps, and right and wrong decisions of each attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ....common.figures import require_analysis
from ....common.foreign_text import escaped, shown_text
from ....common.progress import Track, silent
from ....common.records import Report
from ....common.tables import text_table
from ....errors import InputError
from ....runtime.bundle.labels import Labels
from ....runtime.bundle.tasks import ATTRIBUTES
from ....runtime.data.preprocess import Preprocessing, load_sources, resize
from ....runtime.data.readers.benchmarks import benchmark_info, read_benchmark, require_benchmark_of
from ....runtime.data.sample import Benchmark
from ....runtime.evaluation.attributes.label_strip_picture import PERSON
from ....runtime.evaluation.attributes.label_strips import LabelStrip, label_strips
from ....runtime.evaluation.attributes.labeled_images import LabeledImages, labeled_samples
from ....runtime.evaluation.retrieval.evaluate import extract_features
from ...attributes.evaluate_attributes import checkpoint_labels
from ...engine.device import resolve_device
from ...engine.feature_function import torch_feature_function
from ...engine.image_ranges import model_preprocessing
from ...models.attributes.attribute_model import AttributeModel
from ...models.checkpoints.weights import load_checkpoint
from .attribute_maps import attribute_maps, choose_attribute_cut
from .attribute_pictures import attributes_picture, samples_picture, strips_picture
from .explanation_folder import NUMBERS, PAGE, names_of, require_explainable, write_explanation
from .page import Picture, page_text
from .plot_attribute_maps import AttributeMap, MappedImage

GRADCAM, STRIPS = KINDS = ("gradcam", "strips")
#: Most rows of a readable picture, maps in a row, decisions of each kind in a strip, and images of a batch.
MOST_ROWS, _MAPS, _DECISIONS, _BATCH = 24, 6, 4, 32


@dataclass(frozen=True)
class AttributeExplainOptions:
    """Options of `mambapro explain` for attributes.

    At most `samples` images of the test part are looked at, drawn by `seed`; `rows` of these are shown with several
    maps. `only` are kinds of KINDS. `image_size` and `switches` are those of `load_checkpoint`, for all checkpoints.
    """

    checkpoints: Sequence[Path]
    data: Path
    dataset: str
    out: Path
    only: Sequence[str] = KINDS
    samples: int = 200
    rows: int = 6
    seed: int = 0
    device: str = "auto"
    overwrite: bool = False
    image_size: tuple[int, int] | None = None
    switches: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.checkpoints:
            raise InputError("No checkpoint was given; name at least one with --ckpt.")
        if not self.only or not set(self.only) <= set(KINDS):
            raise InputError(f"only={list(self.only)}: pictures of attributes are {', '.join(KINDS)}.")
        if not 1 <= self.rows <= MOST_ROWS or self.samples < 1:
            raise InputError(
                f"{self.rows} rows and {self.samples} samples were asked for; give 1 to {MOST_ROWS} rows, and at least "
                "1 sample."
            )


@dataclass(frozen=True)
class AttributeFindings(Report):
    """Results of one checkpoint: its name and path, and the decisions of each attribute."""

    name: str
    path: str
    labels: tuple[LabelStrip, ...]


@dataclass(frozen=True)
class AttributeExplainReport(Report):
    """Complete report. `files` are the names in the folder `out`; `page_bytes` is the size of its page."""

    out: str
    dataset: str
    samples: int
    seed: int
    device: str
    checkpoints: tuple[AttributeFindings, ...]
    files: tuple[str, ...]
    page_bytes: int

    def __str__(self) -> str:
        heads = ("checkpoint", "attribute", "have it", "of these found", "have it not", "of these assigned")
        rows: list[tuple[str, ...]] = [heads]
        for found in self.checkpoints:
            for strip in found.labels:
                counts = (strip.positives, strip.found, strip.negatives, strip.false)
                rows.append((found.name, shown_text(strip.label, 40), *map(str, counts)))
        lines = [
            f"{escaped(self.out)}: {', '.join(self.files)}; page of {self.page_bytes / 1e6:.1f} MB",
            f"{self.dataset}: {self.samples} samples, {self.device}",
        ]
        return "\n".join([*lines, text_table(rows, "<<>")])


def explain_attributes(options: AttributeExplainOptions, track: Track = silent) -> AttributeExplainReport:
    """Draw pictures of attribute checkpoints into the folder `options.out`: PNG files, a page, the numbers.

    Raises:
        InputError: an unusable option, folder, checkpoint path or data set; other labels than the data set's.
        SetupError: a package of the extra `analysis` or the device is missing, or the disk is full.
        ArtifactError: a corrupt checkpoint, or outputs that are not finite.
    """
    require_analysis()
    require_benchmark_of(ATTRIBUTES, options.dataset)
    overwrite = require_explainable(options.checkpoints, options.out, options.overwrite)
    device = resolve_device(options.device)
    benchmark = read_benchmark(options.dataset, options.data, test_only=True)
    rows = np.random.default_rng(options.seed).permutation(len(benchmark.query))[: options.samples]
    samples = [benchmark.query[row] for row in sorted(rows.tolist())]
    pictures, findings = [], []
    for number, (name, path) in enumerate(zip(names_of(options.checkpoints), options.checkpoints, strict=True), 1):
        model = load_attributes(path, options)
        labels = checkpoint_labels(model, path, benchmark)
        images = labeled_samples(benchmark, samples, labels, str(path))
        ending = ".png" if len(options.checkpoints) == 1 else f"-{number}.png"
        drawn, strips = _look_at(model.to(device), name, images, options, ending, track)
        pictures += drawn
        findings.append(AttributeFindings(name, str(path), tuple(strips)))
    facts = _facts(options, benchmark, len(samples), str(device))
    title = f"{', '.join(found.name for found in findings)} on {benchmark_info(options.dataset).title}, explained"
    page = page_text(title, facts, pictures)
    report = AttributeExplainReport(
        out=str(options.out),
        dataset=options.dataset,
        samples=len(samples),
        seed=options.seed,
        device=str(device),
        checkpoints=tuple(findings),
        files=(PAGE, NUMBERS, *(picture.name for picture in pictures)),
        page_bytes=len(page.encode()),
    )
    write_explanation(options.out, overwrite, pictures, page, report)
    return report


def load_attributes(path: Path, options: AttributeExplainOptions) -> AttributeModel:
    """Load the attribute model of a checkpoint, in evaluation mode on the CPU.

    Raises:
        InputError: a model of another kind.
    """
    model = load_checkpoint(path, options.image_size, dataset=options.dataset, **options.switches)
    if not isinstance(model, AttributeModel):
        raise InputError(
            f"{shown_text(path)} holds a model of kind {model.kind!r}; give one that recognizes attributes."
        )
    return model


def _look_at(
    model: AttributeModel,
    name: str,
    images: LabeledImages,
    options: AttributeExplainOptions,
    ending: str,
    track: Track,
) -> tuple[list[Picture], list[LabelStrip]]:
    """Compute and draw the requested pictures of one model; return them and the decisions of each attribute."""
    preprocessing = model_preprocessing(model)
    logits = extract_features(images.samples, torch_feature_function(model, _BATCH), preprocessing, _BATCH, track)
    strips = label_strips(images.samples, images.truth, logits, images.labels, _DECISIONS)
    pictures = []
    if GRADCAM in options.only:
        place = choose_attribute_cut(model).text
        surest = [(_surest(images, logits, column), [column]) for column in range(logits.shape[1])]
        mapped = _mapped(model, images, logits, surest, preprocessing, track)
        pictures.append(attributes_picture(mapped, name, place, f"gradcam-attributes{ending}"))
        several = [(row, _likeliest(images, logits, row)) for row in _spread(images, options.rows)]
        mapped = _mapped(model, images, logits, several, preprocessing, track)
        pictures.append(samples_picture(mapped, name, place, f"gradcam-samples{ending}"))
    if STRIPS in options.only:
        pictures.append(strips_picture(strips, name, preprocessing, _DECISIONS, f"strips{ending}"))
    return pictures, strips


def _surest(images: LabeledImages, logits: np.ndarray, column: int) -> int:
    """Return the row with the largest logit of an attribute, among those that have it if there are any."""
    has = images.truth[:, column] == 1
    rows = np.flatnonzero(has if has.any() else np.ones_like(has))
    return int(rows[logits[rows, column].argmax()])


def _likeliest(images: LabeledImages, logits: np.ndarray, row: int) -> list[int]:
    """Return the columns of the attributes that are farthest above their thresholds, or nearest below them."""
    return np.argsort(images.labels.limits - logits[row], kind="stable")[:_MAPS].tolist()


def _spread(images: LabeledImages, count: int) -> list[int]:
    """Return `count` rows, evenly over the samples."""
    return np.unique(np.linspace(0, len(images.samples) - 1, count).astype(int)).tolist()


def _mapped(
    model: AttributeModel,
    images: LabeledImages,
    logits: np.ndarray,
    wanted: Sequence[tuple[int, list[int]]],
    preprocessing: Preprocessing,
    track: Track,
) -> list[MappedImage]:
    """Compute the maps of some attributes in some samples, given as (row, columns)."""
    labels: Labels = images.labels
    assigned, probabilities = labels.assign(logits), labels.probabilities(logits)
    mapped = []
    for row, columns in track(wanted, "Computing heat maps", len(wanted)):
        sample = images.samples[row]
        (image,) = load_sources({"rgb": sample.sources["rgb"]})
        seen = np.array(resize(image, (preprocessing.height, preprocessing.width), preprocessing.resize))
        weights, _ = attribute_maps(model, model.normalized(seen[None]), columns)
        maps = tuple(
            AttributeMap(
                labels.names[column],
                float("nan") if probabilities is None else float(probabilities[row, column]),
                int(images.truth[row, column]),
                bool(assigned[row, column]),
                weights[0, place].cpu().numpy(),
            )
            for place, column in enumerate(columns)
        )
        mapped.append(MappedImage(sample, np.asarray(resize(image, PERSON, "bicubic")), maps))
    return mapped


def _facts(options: AttributeExplainOptions, benchmark: Benchmark, samples: int, device: str) -> list[tuple[str, str]]:
    return [
        ("checkpoints", ", ".join(str(path) for path in options.checkpoints)),
        ("data", f"{benchmark_info(options.dataset).title} in {options.data}, test part"),
        ("samples", f"{samples} of {len(benchmark.query)}, drawn with seed {options.seed}"),
        ("computed on", device),
    ]
