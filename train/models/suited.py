"""Warning for images or a benchmark that differ from those of a model's training, and refusal of other tasks'."""

from __future__ import annotations

import logging
from pathlib import Path

from ...common.foreign_text import shown_text
from ...runtime.data.readers.benchmarks import BENCHMARKS, BenchmarkInfo, benchmarks_of, require_benchmark_of
from ...runtime.data.task_names import RE_IDENTIFICATION
from .mambapro.model_config import MambaProConfig

log = logging.getLogger("mambapro")


def require_suited_task(task: str, path: Path, dataset: str | None) -> None:
    """Raise InputError if a benchmark is for another task than the model in a file; None is no benchmark."""
    if dataset in BENCHMARKS:
        require_benchmark_of(task, dataset, f"the model in {shown_text(path)}")


def warn_of_other_benchmark(config: MambaProConfig, path: Path, trained_on: object, used_on: str | None) -> None:
    """Warn if images or benchmark are not those of a checkpoint's training; the message names both.

    Args:
        config: of the checkpoint, with the image size that it is read with.
        path: its file, for the message.
        trained_on: benchmark in the file; if None, it is inferred from the numbers of identities and cameras.
        used_on: benchmark of the caller; None if unknown.
    """
    named = isinstance(trained_on, str) and trained_on in BENCHMARKS
    if isinstance(trained_on, str) and not named and used_on is not None:
        log.warning(
            "%s was trained on %s; it is used on %s, where its accuracy will be another.",
            shown_text(path.name),
            shown_text(trained_on, 60),
            used_on,
        )
        return
    suited, why = ([BENCHMARKS[str(trained_on)]], "was trained on") if named else _suited(config)
    if not suited:
        return
    titles = " or ".join(info.title for info in suited)
    if used_on in BENCHMARKS and used_on not in [info.name for info in suited]:
        other = BENCHMARKS[used_on]
        log.warning(
            "%s %s %s; it is used on %s (%d identities, %d cameras), where its accuracy will be another.",
            shown_text(path.name),
            why,
            titles,
            other.title,
            other.identities,
            other.cameras,
        )
    height, width = config.image_size
    if not named and height != width and all(_is_upright(*info.image_size) != (height > width) for info in suited):
        log.warning(
            "%s %s %s, whose images are %dx%d (height x width); it is read with %dx%d. If height and width are "
            "swapped, its accuracy is lost: give --image-size %dx%d, or the --dataset it was trained on.",
            shown_text(path.name),
            why,
            titles,
            *suited[0].image_size,
            height,
            width,
            width,
            height,
        )


def _is_upright(height: int, width: int) -> bool:
    return height > width


def _suited(config: MambaProConfig) -> tuple[list[BenchmarkInfo], str]:
    """Return the benchmarks that match the model's number of identities or, failing that, cameras; and the reason."""
    known = list(benchmarks_of(RE_IDENTIFICATION).values())
    same = [info for info in known if (info.identities, info.cameras) == (config.identities, config.cameras)]
    if same:
        return same, f"has {config.identities} identities and {config.cameras} cameras, as"
    return [info for info in known if info.cameras == config.cameras], f"has a table of {config.cameras} cameras, as"
