"""Options under their names of release 0.1.0, accepted with a warning; to go with release 0.3.0."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import click

#: Old name -> new name, in every command that has the new one.
RENAMED = {"--insist": "--allow-test-images", "--max-departure": "--max-cosine-distance"}

log = logging.getLogger("mambapro")


class Choice(click.Choice):
    """A choice that accepts the old names of its values."""

    def __init__(self, choices: Sequence[str], renamed: Mapping[str, str]) -> None:
        super().__init__(choices)
        self._renamed = renamed

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Convert an old name with a warning."""
        if value in self._renamed:
            log.warning("%s is called %s now; the old name goes with release 0.3.0", value, self._renamed[value])
        return super().convert(self._renamed.get(value, value), param, ctx)


class Command(click.Command):
    """A command that accepts the old names of its options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments under their new names."""
        known = {name for parameter in self.params for name in parameter.opts}
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [*(_current(word, known) for word in args[:end]), *args[end:]])


def _current(word: str, known: set[str]) -> str:
    old, equals, value = word.partition("=")
    new = RENAMED.get(old)
    if new is None or new not in known or old in known:
        return word
    log.warning("%s is called %s now; the old name goes with release 0.3.0", old, new)
    return f"{new}{equals}{value}"
