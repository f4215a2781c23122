"""mambapro env."""

from __future__ import annotations

import click

from ..options.shared import json_option
from ..terminal.console import emit


@click.command("env")
@json_option
def environment(as_json: bool) -> None:
    """Show the machine, the packages and the provider.

    The provider is the one that ONNX Runtime really uses, found by running a model.
    """
    from ...runtime.environment import environment_report

    emit(environment_report(), as_json)
