"""Stability of the sensitivity ranking over the images: one ranking for each of several calibration draws."""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

import click
import onnx
from mambapro.calib.calibrate import calibrate
from mambapro.calib.images import calibration_images
from mambapro.calib.sensitivity.groups import GROUPS
from mambapro.calib.sensitivity.measurement import benchmark_material
from mambapro.calib.sensitivity.ranking import Ranking, judge_of, rank
from mambapro.calib.sensitivity.staged_model import Chain
from mambapro.calib.sensitivity.state import State
from mambapro.graph.quantize import LAYOUTS
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.checksums import MODEL
from mambapro.runtime.data.readers.benchmarks import BENCHMARKS, read_benchmark

FIRST, IN_COMMON = 5, 4


def ranking_of(bundle: Bundle, data: Path, dataset: str, images: int, seed: int, layout: str, group: str) -> Ranking:
    """One draw: its own scales, its own samples."""
    model = bundle.file(MODEL)
    chosen = calibration_images(data, bundle.metadata.preprocessing, dataset, count=images, seed=seed)
    table = calibrate(model, bundle.metadata, chosen).table
    material = benchmark_material(read_benchmark(dataset, data), bundle.metadata, images, seed)
    chain = Chain(onnx.load(model), table, layout)
    with tempfile.TemporaryDirectory() as folder:
        return rank(chain, material, group, State(Path(folder) / "state", {}), judge_of(chain, material))


def first(ranking: Ranking, count: int) -> list[str]:
    """Names of the most sensitive."""
    return [entry.name for entry in ranking.entries[:count]]


@click.command(help=__doc__)
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--dataset", type=click.Choice(tuple(BENCHMARKS)), default="rgbnt201", show_default=True)
@click.option("--images", default=128, show_default=True, help="Samples of each draw.")
@click.option("--draws", type=click.IntRange(2), default=3, show_default=True, help="Calibration draws.")
@click.option("--layout", type=click.Choice(tuple(LAYOUTS)), default="onnxruntime", show_default=True)
@click.option("--group", type=click.Choice(GROUPS), default="layer", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    bundle: Path, data: Path, dataset: str, images: int, draws: int, layout: str, group: str, as_json: bool
) -> None:
    """Print the first five of every draw, and how many each two have in common."""
    opened = Bundle.open(bundle)
    rankings = []
    for seed in range(draws):
        started = time.perf_counter()
        rankings.append(ranking_of(opened, data, dataset, images, seed, layout, group))
        click.echo(f"draw {seed}: {time.perf_counter() - started:.0f} s", err=True)
    tops = [first(ranking, FIRST) for ranking in rankings]
    common = {f"{a},{b}": len({*tops[a]} & {*tops[b]}) for a, b in itertools.combinations(range(draws), 2)}
    if as_json:
        click.echo(json.dumps({"first": tops, "in_common": common}, indent=2))
    else:
        for seed, (ranking, top) in enumerate(zip(rankings, tops, strict=True)):
            click.echo(f"draw {seed}, {ranking.samples} samples, mAP {100 * (ranking.map or 0):.1f} %")
            for name, entry in zip(top, ranking.entries, strict=False):
                click.echo(f"  {name:40} median 1 - cosine {entry.loss.median:.2e}")
        for pair, count in common.items():
            click.echo(f"draws {pair}: {count} of the first {FIRST} in common")
    sys.exit(min(common.values()) < IN_COMMON)


if __name__ == "__main__":
    main()
