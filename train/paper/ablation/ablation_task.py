"""Ablation by the name of its table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....common.progress import Track, silent
from ....common.records import Report
from ....common.task_options import task_options
from ....runtime.bundle.tasks import ATTRIBUTES, RE_IDENTIFICATION
from .attribute_ablation import AttributeAblationOptions, run_attribute_ablation
from .attribute_tables import ATTRIBUTE_TABLES
from .run_ablation import AblationOptions, run_ablation

_OPTIONS: dict[str, type[Any]] = {RE_IDENTIFICATION: AblationOptions, ATTRIBUTES: AttributeAblationOptions}
_SPELLED = {"backbones": "backbone", "changes": "set"}


def ablate_table(values: Mapping[str, Any], track: Track = silent) -> Report:
    """Train the rows of a table; `values` are the given fields of the options of its task.

    Raises:
        InputError, SetupError, TrainingError, ArtifactError: as the functions of the tasks.
    """
    key = str(values["table"]).lower()
    spelled = {**_SPELLED, "sources": ", --".join(values.get("sources", ()))}
    if key in ATTRIBUTE_TABLES:
        return run_attribute_ablation(task_options(_OPTIONS, ATTRIBUTES, {**values, "table": key}, **spelled), track)
    return run_ablation(task_options(_OPTIONS, RE_IDENTIFICATION, values, **spelled), track)
