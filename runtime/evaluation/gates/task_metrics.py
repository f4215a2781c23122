"""Registry of the metrics that accuracy gates compare, one for each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from ...bundle.metadata import BundleMetadata
from ...bundle.tasks import TASKS
from ...data.sample import Benchmark
from ..attributes.attribute_metrics import attribute_differences
from ..attributes.labeled_images import labeled_images
from ..bootstrap import PairedDifference, paired_differences
from ..reference_features import TestSet
from ..retrieval.evaluate import retrieval_of


@dataclass(frozen=True)
class Metric:
    """Accuracy of a model on labeled images.

    Attributes:
        test_set: test part of a benchmark, for a model.
        values: values of a report by name.
        differences: values of the report of what is judged minus those of the reference.
        gated: names of the values that may not drop; the first one names the metric.
    """

    test_set: Callable[[Benchmark, BundleMetadata], TestSet]
    values: Callable[[Any], Mapping[str, float]]
    differences: Callable[[Any, Any], Sequence[PairedDifference]]
    gated: tuple[str, ...]

    @property
    def name(self) -> str:
        """The value that stands for all."""
        return self.gated[0]


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            lambda benchmark, metadata: retrieval_of(benchmark),
            lambda report: {"mAP": report.map},
            paired_differences,
            ("mAP",),
        ),
        Metric(labeled_images, attrgetter("values"), attribute_differences, ("mA", "F1")),
    )
}


def metric_of(metadata: BundleMetadata) -> Metric:
    """Return the metric of a bundle's task."""
    return METRICS[TASKS[metadata.task].accuracy]
