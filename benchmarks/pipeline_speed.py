"""Processor time of a Pipeline against its two models one after the other, in turns.

    python benchmarks/pipeline_speed.py RID.mambapro PAR.mambapro [--crops 64] [--size 256x128] [--rounds 9]

The crops are JPEG files, drawn smooth. With arrays in place of files nothing is decoded: the ratio of that row is the
pipeline's own overhead. Processor time is that of all threads, which the load of the machine changes little.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from mambapro import AttributeRecognizer, Extractor, Pipeline
from mambapro.common.rounds import Spread, in_turns
from mambapro.runtime.data.image_files import open_image
from PIL import Image

BOTH, ONCE = "two calls", "pipeline"


@click.command()
@click.argument("rid", type=click.Path(exists=True))
@click.argument("par", type=click.Path(exists=True))
@click.option("--crops", default=64, show_default=True)
@click.option("--size", default="256x128", show_default=True, help="Height x width of the crops.")
@click.option("--rounds", default=9, show_default=True)
def main(rid: str, par: str, crops: int, size: str, rounds: int) -> None:
    height, width = map(int, size.split("x"))
    with (
        tempfile.TemporaryDirectory() as folder,
        Extractor(rid, "cpu", threads=1) as extractor,
        AttributeRecognizer(par, "cpu", threads=1) as recognizer,
    ):
        files = draw(Path(folder), crops, height, width)
        pipeline = Pipeline([extractor, recognizer])
        for name, images in (("files", files), ("arrays", [np.asarray(open_image(path)) for path in files])):
            calls = {
                BOTH: lambda images=images: (extractor(images), recognizer(images)),
                ONCE: lambda images=images: pipeline(images),
            }
            for call in calls.values():
                call()
            found = in_turns({each: lambda call=call: seconds(call) for each, call in calls.items()}, rounds)
            ratio = Spread(tuple(once / both for both, once in zip(found[BOTH], found[ONCE], strict=True)))
            told = ", ".join(f"{each} {1e3 * Spread(found[each]).median / crops:.3f} ms" for each in calls)
            spread = f"{min(ratio.values):.3f} to {max(ratio.values):.3f}"
            sys.stdout.write(f"{name} {size}: {told} a crop; ratio {ratio.median:.3f} ({spread})\n")


def draw(folder: Path, count: int, height: int, width: int) -> list[Path]:
    """Write smooth random crops."""
    rng = np.random.default_rng(0)
    files = [folder / f"{number:05}.jpg" for number in range(count)]
    for file in files:
        image = Image.fromarray(rng.integers(0, 256, (16, 8, 3), np.uint8))
        image.resize((width, height), Image.Resampling.BICUBIC).save(file, quality=92)
    return files


def seconds(call: Callable[[], object]) -> float:
    """Seconds of processor time of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


if __name__ == "__main__":
    main()
