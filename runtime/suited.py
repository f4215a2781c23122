"""Warning for a bundle that is used on another benchmark than that of its training."""

from __future__ import annotations

import logging

from ..common.foreign_text import shown_text
from .bundle.metadata import BundleMetadata
from .data.readers.benchmarks import BENCHMARKS

log = logging.getLogger("mambapro")


def warn_of_other_benchmark(metadata: BundleMetadata, dataset: str | None) -> None:
    """Warn if the bundle's benchmarks, or its number of cameras, are not those of `dataset`; None is no benchmark."""
    if dataset is None:
        return
    used = BENCHMARKS[dataset]
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
