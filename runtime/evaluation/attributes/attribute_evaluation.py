"""Complete evaluation of an attribute model: values with intervals, each label, calibration, tuned thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ....common.foreign_text import escaped
from ....common.progress import Track, silent
from ....errors import InputError
from ...bundle.labels import Labels
from ...data.inputs import UnusableImageError
from ...data.modalities import SUBSETS
from ...data.sample import Benchmark, Sample
from ..bootstrap import DEFAULT_RESAMPLES
from ..reference_features import Model, features_of
from ..retrieval.strip_folder import check_strips_folder
from .attribute_metrics import attribute_intervals, majority_report
from .attribute_report import AttributeEvaluation, Tuning
from .calibration_error import calibration_errors
from .label_strips import label_strips, write_label_strips
from .label_table import label_rows
from .label_thresholds import OBJECTIVES, tune_thresholds
from .labeled_images import LabeledImages, labeled_samples

#: Function that writes the model with its tuned labels, after their evaluation.
Write = Callable[[Labels, AttributeEvaluation], None]


@dataclass(frozen=True)
class AttributeOptions:
    """Options of the evaluation of an attribute model.

    Attributes:
        bootstrap: resamples of the samples for the confidence intervals; 0 = no intervals.
        seed: of the resamples.
        tune_thresholds: tune the labels' thresholds on the validation part, and evaluate with them.
        maximize: value of each label that they maximize, "F1" (None) or "mA".
        out: new checkpoint or bundle with the tuned thresholds.
        overwrite: replace `out`.
        skip_bad: skip samples with an unusable image; the report names them.
        strips: folder to write a picture of right and wrong decisions of each label to.
        strips_count: most right, and most wrong decisions of a label to draw.

    Raises:
        InputError: an invalid number or value, or one of tune_thresholds and out without the other.
    """

    bootstrap: int = DEFAULT_RESAMPLES
    seed: int = 0
    tune_thresholds: bool = False
    maximize: str | None = None
    out: Path | None = None
    overwrite: bool = False
    skip_bad: bool = False
    strips: Path | None = None
    strips_count: int = 4

    def __post_init__(self) -> None:
        if self.bootstrap < 0 or self.seed < 0 or self.strips_count < 1:
            raise InputError(
                "An evaluation needs bootstrap >= 0, seed >= 0 and strips_count >= 1, not "
                f"{self.bootstrap}, {self.seed} and {self.strips_count}."
            )
        if self.maximize is not None and not self.tune_thresholds:
            raise InputError("--maximize says what --tune-thresholds tunes for; give both, or none.")
        if self.objective not in OBJECTIVES:
            raise InputError(f"Thresholds can maximize {' or '.join(OBJECTIVES)}, not {self.maximize!r}.")
        if self.tune_thresholds != (self.out is not None):
            raise InputError("--tune-thresholds and --out belong together: tuned thresholds are stored in a new file.")

    @property
    def objective(self) -> str:
        """Value of each label that tuned thresholds maximize."""
        return self.maximize or OBJECTIVES[0]


class LabeledModel(NamedTuple):
    """Model to evaluate, and its labels."""

    model: Model
    labels: Labels


def evaluate_attribute_model(
    benchmark: Benchmark,
    labeled: LabeledModel,
    options: AttributeOptions | None = None,
    write: Write | None = None,
    track: Track = silent,
) -> AttributeEvaluation:
    """Run all analyses of `options` on the test part; each image is decoded and run once.

    Tuned thresholds come from the validation part alone; the model is written when everything is evaluated.

    Args:
        benchmark: with its validation part, if thresholds are tuned.
        labeled: the model.
        options: None = the defaults.
        write: writes the model with tuned thresholds.
        track: shows progress.

    Raises:
        InputError: no samples, other labels, no validation part to tune thresholds on, an unusable image.
        ArtifactError: outputs that are not finite.
        SetupError: no room or no permission for the new file.
    """
    options = options or AttributeOptions()
    if options.strips is not None:
        check_strips_folder(options.strips, options.overwrite)
    model, before = labeled
    images = labeled_samples(benchmark, benchmark.query, before, model.name)
    labels, tuning = before, None
    if options.tune_thresholds:
        part = labeled_samples(benchmark, _validation(benchmark), before, model.name)
        part, logits, bad = _outputs(model, part, options.skip_bad, track)
        labels = tune_thresholds(part.truth, logits, before, options.objective)
        tuning = Tuning(options.objective, len(part.samples), str(options.out), bad)
    images, logits, bad = _outputs(model, images, options.skip_bad, track)
    report = images._replace(labels=labels).report(logits)
    probabilities = labels.probabilities(logits)
    errors = None if probabilities is None else calibration_errors(images.truth, probabilities)
    found = AttributeEvaluation(
        dataset=benchmark.name,
        model=model.name,
        report=report,
        intervals=attribute_intervals(report, options.bootstrap, options.seed) if options.bootstrap else {},
        resamples=options.bootstrap,
        seed=options.seed,
        before=None if tuning is None else images.report(logits),
        majority=majority_report(images.truth),
        labels=label_rows(report, labels, None if errors is None else errors.by_label),
        calibration_error=None if errors is None or np.isnan(errors.all_labels) else errors.all_labels,
        tuning=tuning,
        left_out=bad,
    )
    if options.strips is not None:
        strips = label_strips(images.samples, images.truth, logits, labels, options.strips_count)
        where = (options.strips, strips, benchmark.name, model.preprocessing)
        written = write_label_strips(*where, options.overwrite, track)
        found = replace(found, strips=tuple(map(str, written)))
    if options.out is not None and write is not None:
        write(labels, found)
    return found


def _validation(benchmark: Benchmark) -> tuple[Sample, ...]:
    """Return the validation part of a benchmark.

    Raises:
        InputError: there is none.
    """
    samples = benchmark.validation
    if not samples:
        raise InputError(
            f"{escaped(benchmark.name)} has no validation part here, and thresholds are never tuned on the images that "
            "they are evaluated on. Leave out --tune-thresholds, or give a data set with a validation part."
        )
    return samples


def _outputs(
    model: Model, images: LabeledImages, skip_bad: bool, track: Track
) -> tuple[LabeledImages, np.ndarray, tuple[tuple[str, str], ...]]:
    """Return the readable ones of the images, their logits (N, labels), and (name, reason) of those left out."""
    bad: dict[Sample, InputError] | None = {} if skip_bad else None
    try:
        (outputs,) = features_of([model], images, track, bad=bad)
    except UnusableImageError as error:
        raise InputError(f"{error} --skip-bad leaves such samples out and names them.") from error
    left_out = tuple((sample.name, str(error)) for sample, error in (bad or {}).items())
    return images.without(bad) if bad else images, outputs[SUBSETS[0]], left_out
