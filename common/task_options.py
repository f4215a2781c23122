"""Options of a command by the task that it is used for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..errors import InputError


def task_options(types: Mapping[str, type[Any]], task: str, values: Mapping[str, Any], **spelled: str) -> Any:
    """Build a task's options from those that were given, by field.

    Args:
        types: dataclass of the options of each task.
        task: one of these.
        values: given fields; the others keep their defaults.
        spelled: option of the command by field, where it is not the field's own name.

    Raises:
        InputError: an option of other tasks, or a value that cannot be used.
    """
    names = {other: {field.name for field in fields(type_)} for other, type_ in types.items()}
    for name in values:
        if name not in names[task]:
            owners = " and ".join(other for other, known in names.items() if name in known)
            option = spelled.get(name, name).replace("_", "-")
            raise InputError(f"--{option} is for {owners}; this is for {task}. Leave it out.")
    return types[task](**values)
