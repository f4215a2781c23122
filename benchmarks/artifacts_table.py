"""Markdown table of the artifacts of bundles: distance, mAP with its interval, size."""

from __future__ import annotations

from pathlib import Path

import click
from mambapro.runtime.bundle.artifact import Sidecar
from mambapro.runtime.bundle.bundle import Bundle

HEAD = ("artifact", "MB", "in int8", "largest 1 - cosine", "mAP, float32 -> here", "drop, points", "95 % interval")


def row(made: Sidecar) -> tuple[str, ...]:
    """One line of the table."""
    size, modules = f"{made.build.bytes / 1e6:.1f}", str(len(made.quantized) or "-")
    cosine = "not run here" if made.cosine is None else f"{made.cosine.largest:.1e}"
    gate = made.accuracy
    if gate is None:
        return made.stem, size, modules, cosine, "-", "-", "-"
    drop, low, high = (round(100 * value, 2) + 0.0 for value in (gate.drop, gate.low, gate.high))
    found = f"{100 * gate.reference:.2f} -> {100 * gate.found:.2f}"
    return made.stem, size, modules, cosine, found, f"{drop:.2f}", f"{low:.2f} .. {high:.2f}"


@click.command(help=__doc__)
@click.argument("bundles", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def main(bundles: tuple[Path, ...]) -> None:
    """Print one table for each bundle."""
    for folder in bundles:
        click.echo(f"\n{folder.name}\n")
        for line in (HEAD, ("---",) * len(HEAD), *(row(made) for made in Bundle.open(folder).artifacts[1:])):
            click.echo("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main()
