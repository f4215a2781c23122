"""Implementation of `mambapro explain`: from checkpoints and a benchmark to a folder of pictures and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....common.figures import require_analysis
from ....common.foreign_text import escaped
from ....common.progress import Track, silent
from ....errors import ArtifactError, InputError
from ....runtime.data.preprocess import sensor_arrays
from ....runtime.data.readers.benchmarks import benchmark_info, read_benchmark
from ....runtime.data.sample import Benchmark
from ...engine.device import resolve_device
from ...models.checkpoints.weights import load_checkpoint
from ...models.mambapro.mambapro import MambaPro, require_mambapro
from .embedding import silhouette, tsne
from .explain_report import CheckpointReport, ExplainReport, GradCamReport, StageReport
from .explanation_folder import NUMBERS, PAGE, names_of, require_explainable, write_explanation
from .gradcam import choose_cut, token_gradients
from .page import Picture, page_text
from .pictures import Findings, embedding_picture, gradcam_picture, similarity_picture
from .plot_gradcam import GradCamRow, shown_images
from .selection import Selection, select_samples
from .similarity import modality_similarities
from .stages import Features, identity_directions, preprocessing_of, stage_features

GRADCAM, TSNE, SIMILARITY = KINDS = ("gradcam", "tsne", "similarity")
#: Most rows of a readable picture.
MOST_ROWS = 24


@dataclass(frozen=True)
class ExplainOptions:
    """Options of `mambapro explain`.

    `identities` are drawn from the test part (None: 12, or as many as there are), of each at most `samples`; `rows` of
    these are shown with Grad-CAM. `only` are kinds of KINDS. `image_size` and `switches` are those of
    `load_checkpoint`, for all checkpoints.
    """

    checkpoints: Sequence[Path]
    data: Path
    dataset: str
    out: Path
    only: Sequence[str] = KINDS
    identities: int | None = None
    samples: int = 16
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
            raise InputError(f"only={list(self.only)}: pictures are {', '.join(KINDS)}.")
        if not 1 <= self.rows <= MOST_ROWS:
            raise InputError(f"{self.rows} rows of Grad-CAM were asked for; give 1 to {MOST_ROWS}.")


def explain(options: ExplainOptions, track: Track = silent) -> ExplainReport:
    """Draw the paper's pictures of some checkpoints into the folder `options.out`: PNG files, a page, the numbers.

    The folder appears when it is complete. It may exist if it is empty, or with `overwrite` if it was written by this
    function.

    Raises:
        InputError: an unusable option, folder, checkpoint path or benchmark; too few identities.
        SetupError: a package of the extra `analysis` or the device is missing, or the disk is full.
        ArtifactError: a corrupt checkpoint, one for images of the other orientation, features that are not finite.
    """
    require_analysis()
    overwrite = require_explainable(options.checkpoints, options.out, options.overwrite)
    device = resolve_device(options.device)
    benchmark = read_benchmark(options.dataset, options.data, test_only=True)
    selection = select_samples(benchmark, options.identities, options.samples, options.seed)
    findings = []
    for name, path in zip(names_of(options.checkpoints), options.checkpoints, strict=True):
        model = load(path, benchmark, options).to(device)
        findings.append(look_at(model, name, selection, benchmark, options, track))
    pictures = draw(findings, selection, track)
    page = page_text(_title(options, findings), _facts(options, selection, str(device)), pictures)
    report = _report(options, selection, str(device), findings, pictures, page)
    write_explanation(options.out, overwrite, pictures, page, report)
    return report


def load(path: Path, benchmark: Benchmark, options: ExplainOptions) -> MambaPro:
    """Load the model of a checkpoint, in evaluation mode on the CPU.

    Raises:
        ArtifactError: it is for images of the other orientation, or see `load_checkpoint`.
    """
    usual = benchmark_info(benchmark.name).image_size
    model = load_checkpoint(
        path, options.image_size, default_image_size=usual, dataset=benchmark.name, **options.switches
    )
    require_mambapro(model, path)
    height, width = model.config.image_size
    if (height > width) != (usual[0] > usual[1]):
        raise ArtifactError(
            f"{escaped(path)} takes images of {height}x{width} (height x width), but those of "
            f"{escaped(benchmark.name)} are "
            f"{usual[0]}x{usual[1]}. Give the --dataset that the checkpoint was trained on, or another checkpoint."
        )
    return model


def look_at(
    model: MambaPro, name: str, selection: Selection, benchmark: Benchmark, options: ExplainOptions, track: Track
) -> Findings:
    """Compute all requested results of one model."""
    features = stage_features(model, selection.samples, track)
    labels = selection.labels
    flat = {stage: values.reshape(len(labels), -1) for stage, values in features.stages.items()}
    clouds = flat if TSNE in options.only else {}
    aligned = features.stages if SIMILARITY in options.only else {}
    rows = selection.rows(options.rows) if GRADCAM in options.only else []
    return Findings(
        name=name,
        rows=tuple(_gradcam_rows(model, features, selection, rows, benchmark.image_size)),
        place=choose_cut(model).text,
        points={stage: tsne(values, options.seed) for stage, values in clouds.items()},
        silhouettes={stage: silhouette(values, labels) for stage, values in clouds.items()},
        similarities={stage: modality_similarities(values, labels) for stage, values in aligned.items()},
    )


def _gradcam_rows(
    model: MambaPro, features: Features, selection: Selection, rows: list[int], size: tuple[int, int]
) -> list[GradCamRow]:
    if not rows:
        return []
    device = next(model.parameters()).device
    targets = identity_directions(features.final.reshape(len(selection.samples), -1), selection.labels, rows)
    samples = [selection.samples[row] for row in rows]
    preprocessing = preprocessing_of(model)
    images = np.stack([sensor_arrays(sample.sources, preprocessing) for sample in samples])
    cameras = torch.tensor([sample.camera for sample in samples], device=device)
    gradients = token_gradients(model, model.normalised(images), cameras, torch.from_numpy(targets).to(device))
    maps, parts = gradients.maps(model.config.grid).cpu().numpy(), gradients.parts.cpu().tolist()
    return [
        GradCamRow(sample, shown_images(sample, size), weights, (part[0], part[1], part[2]))
        for sample, weights, part in zip(samples, maps, parts, strict=True)
    ]


def draw(findings: Sequence[Findings], selection: Selection, track: Track = silent) -> list[Picture]:
    """Draw the requested pictures: one t-SNE of all checkpoints, the others for each."""
    makers = []
    for number, found in enumerate(findings, 1):
        ending = ".png" if len(findings) == 1 else f"-{number}.png"
        if found.rows:
            makers.append((gradcam_picture, found, f"gradcam{ending}"))
        if found.similarities:
            makers.append((similarity_picture, found, f"similarity{ending}"))
    # Grad-CAM of every checkpoint first, then t-SNE of all, then the distributions
    makers.sort(key=lambda maker: maker[0] is similarity_picture)
    pictures = [make(found, file) for make, found, file in track(makers, "Drawing pictures", len(makers))]
    if findings[0].points:
        place = sum(bool(found.rows) for found in findings)
        pictures.insert(place, embedding_picture(findings, selection.labels, "tsne.png"))
    return pictures


def _title(options: ExplainOptions, findings: Sequence[Findings]) -> str:
    names = ", ".join(one.name for one in findings)
    return f"{names} on {benchmark_info(options.dataset).title}, explained"


def _facts(options: ExplainOptions, selection: Selection, device: str) -> list[tuple[str, str]]:
    count, identities = len(selection.samples), len(selection.identities)
    return [
        ("checkpoints", ", ".join(str(path) for path in options.checkpoints)),
        ("data", f"{benchmark_info(options.dataset).title} in {options.data}, query and gallery"),
        (
            "samples",
            f"{count} of {identities} identities, drawn with seed {options.seed}",
        ),
        ("computed on", device),
    ]


def _report(
    options: ExplainOptions,
    selection: Selection,
    device: str,
    findings: Sequence[Findings],
    pictures: Sequence[Picture],
    page: str,
) -> ExplainReport:
    return ExplainReport(
        out=str(options.out),
        dataset=options.dataset,
        identities=len(selection.identities),
        samples=len(selection.samples),
        seed=options.seed,
        device=device,
        checkpoints=tuple(
            CheckpointReport(found.name, str(path), _stages(found), tuple(_row(row) for row in found.rows))
            for found, path in zip(findings, options.checkpoints, strict=True)
        ),
        files=(PAGE, NUMBERS, *(picture.name for picture in pictures)),
        page_bytes=len(page.encode()),
    )


def _stages(findings: Findings) -> tuple[StageReport, ...]:
    names = dict.fromkeys((*findings.silhouettes, *findings.similarities))
    return tuple(StageReport(name, findings.silhouettes.get(name), findings.similarities.get(name)) for name in names)


def _row(row: GradCamRow) -> GradCamReport:
    return GradCamReport(row.sample.name, row.sample.identity, row.sample.camera, row.parts)
