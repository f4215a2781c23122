"""Warning for a bundle that is used on another benchmark than that of its training, and refusal of other tasks'."""

from __future__ import annotations

import logging

from ..common.foreign_text import shown_text
from .bundle.metadata import BundleMetadata
from .data.attributes.attribute_readers import ANY
from .data.readers.benchmarks import BENCHMARKS, require_benchmark_of

log = logging.getLogger("mambapro")


def warn_of_other_benchmark(metadata: BundleMetadata, dataset: str | None) -> None:
    """Warn if the bundle's benchmarks, or its number of cameras, are not those of `dataset`; None is no benchmark.

    Raises:
        InputError: the benchmark is for another task than the bundle's.
    """
    if dataset is None:
        return
    used = require_benchmark_of(metadata.task, dataset)
    if dataset == ANY:
        # the file tells which set it is
        return
    if metadata.datasets:
        if dataset in metadata.datasets:
            return
        titles = (BENCHMARKS[name].title if name in BENCHMARKS else shown_text(name, 60) for name in metadata.datasets)
        why = f"was trained on {' and '.join(titles)}"
    elif metadata.cameras and metadata.cameras != used.cameras:
        why = f"has a table of {metadata.cameras} cameras"
    else:
        return
    log.warning(
        "The bundle %s %s; it is used on %s, where its accuracy will be another.",
        shown_text(metadata.name, 60),
        why,
        f"{used.title} ({used.cameras} cameras)" if used.cameras else used.title,
    )
