"""Options of the commands that recognize attributes."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import click

from ...common.foreign_text import shown_text
from .shared import gathered


class LabelThreshold(click.ParamType):
    """Parameter type P of all labels, or LABEL=P."""

    name = "[LABEL=]P"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str | None, float]:
        """Convert "hat=0.6" to ("hat", 0.6), and "0.6" to (None, 0.6)."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(?:(.+)=)?([01]|[01]?\.[0-9]{1,12})", str(value), re.DOTALL)
        if match is None or float(match[2]) > 1:
            self.fail(f"{value!r} is no threshold; write a number from 0 to 1, such as 0.6 or hat=0.6.", param, ctx)
        return match[1], float(match[2])


def _as_thresholds(
    _: click.Context, __: click.Parameter, given: tuple[tuple[str | None, float], ...]
) -> float | dict[str, float] | None:
    common = [value for label, value in given if label is None]
    named = {label: value for label, value in given if label is not None}
    if len(common) + bool(named) > 1:
        raise click.UsageError("--threshold is one number for all labels, or LABEL=P for some of them, not both.")
    if twice := [label for label, count in Counter(label for label, _ in given).items() if count > 1]:
        raise click.UsageError(f"--threshold gives {shown_text(twice[0], 60)!r} two numbers; give it one.")
    return common[0] if common else named or None


#: Decision which attributes are assigned: arguments of AttributeRecognizer, as `deciding`.
decision_options = gathered(
    "deciding",
    {
        "thresholds": click.option(
            "--threshold",
            "thresholds",
            type=LabelThreshold(),
            multiple=True,
            callback=_as_thresholds,
            help="Assign attributes above this probability, all of them or one (hat=0.6); repeat it. Default: the "
            "bundle's.",
        ),
        "exclusive": click.option(
            "--exclusive",
            type=click.Choice(("independent", "best")),
            default="independent",
            show_default=True,
            help="Labels that exclude each other: each by its threshold, or the most probable one at most.",
        ),
    },
)
