"""Pictures of checkpoints by the task of the data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ....common.progress import Track, silent
from ....common.records import Report
from ....common.task_options import task_options
from ....runtime.bundle.tasks import ATTRIBUTES, RE_IDENTIFICATION
from ....runtime.data.readers.benchmarks import benchmark_info
from .explain import ExplainOptions, explain
from .explain_attributes import AttributeExplainOptions, explain_attributes

#: Options, and the function that draws, by task.
EXPLANATIONS: dict[str, tuple[type[Any], Callable[[Any, Track], Report]]] = {
    RE_IDENTIFICATION: (ExplainOptions, explain),
    ATTRIBUTES: (AttributeExplainOptions, explain_attributes),
}


def explain_checkpoints(values: Mapping[str, Any], track: Track = silent) -> Report:
    """Draw pictures of checkpoints on a data set; `values` are the given fields of the options of its task.

    Raises:
        InputError, SetupError, ArtifactError: as the functions of the tasks.
    """
    task = benchmark_info(values["dataset"]).task
    types = {name: options for name, (options, _) in EXPLANATIONS.items()}
    return EXPLANATIONS[task][1](task_options(types, task, values, checkpoints="ckpt"), track)
