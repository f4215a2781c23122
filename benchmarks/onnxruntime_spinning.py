"""ONNX Runtime with idle threads that spin and with idle threads that sleep, in turns: milliseconds and processor time.

    python benchmarks/onnxruntime_spinning.py BUNDLE [--rounds 5] [--batch 1]

Each turn is a process of its own. "at full speed" is the median of calls one right after the other, "at five calls a
second" the median and the share of one processor of a camera's pace.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
from mambapro.runtime.bundle.bundle import Bundle

SECONDS = 3.0
CALLS_A_SECOND = 5


def turn(bundle: str, batch: int, threads: int | None, spinning: bool) -> dict[str, float]:
    """Milliseconds at full speed and at a camera's pace, and the processor time of the latter, in percent of one."""
    opened = Bundle.open(bundle)
    backend = OnnxRuntimeBackend(opened.read("model.onnx"), device="cpu", threads=threads, spinning=spinning)
    rng = np.random.default_rng(0)
    feeds = {
        tensor.name: rng.integers(0, 2, (batch, *tensor.shape[1:])).astype(tensor.dtype)
        for tensor in opened.metadata.inputs
    }
    for _ in range(5):
        backend.run(feeds)
    fast, slow = [], []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        fast.append(_milliseconds(backend, feeds))
    begin, used = time.perf_counter(), time.process_time()
    for number in range(int(SECONDS * CALLS_A_SECOND)):
        slow.append(_milliseconds(backend, feeds))
        time.sleep(max(0.0, begin + (number + 1) / CALLS_A_SECOND - time.perf_counter()))
    share = 100 * (time.process_time() - used) / (time.perf_counter() - begin)
    return {"fast": statistics.median(fast), "slow": statistics.median(slow), "share": share}


def _milliseconds(backend: OnnxRuntimeBackend, feeds: dict[str, np.ndarray]) -> float:
    start = time.perf_counter()
    backend.run(feeds)
    return 1000 * (time.perf_counter() - start)


@click.command()
@click.argument("bundle", type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=5, show_default=True)
@click.option("--batch", default=1, show_default=True)
@click.option("--one-turn", nargs=2, type=int, hidden=True, help="threads (0 = the library's choice) and spinning")
def main(bundle: Path, rounds: int, batch: int, one_turn: tuple[int, int] | None) -> None:
    """Measure in turns and print a table."""
    if one_turn is not None:
        click.echo(json.dumps(turn(str(bundle), batch, one_turn[0] or None, bool(one_turn[1]))))
        return
    cases = [(0, 1), (0, 0), (1, 1), (1, 0)]
    found: dict[tuple[int, int], list[dict[str, float]]] = {case: [] for case in cases}
    for number in range(rounds):
        for case in cases[::-1] if number % 2 else cases:
            command = [sys.executable, __file__, str(bundle), "--batch", str(batch), "--one-turn", *map(str, case)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[case].append(json.loads(done.stdout))
    click.echo(f"batch {batch}, {rounds} rounds in turns: median [lowest, highest]")
    click.echo(f"{'':24}{'ms at full speed':>24}{'ms at 5 a second':>24}{'% of a processor':>24}")
    for (threads, spinning), turns in found.items():
        head = f"threads {threads or 'default'}, {'spinning' if spinning else 'sleeping'}"
        cells = []
        for key in ("fast", "slow", "share"):
            values = [item[key] for item in turns]
            cells.append(f"{statistics.median(values):.1f} [{min(values):.1f}, {max(values):.1f}]")
        click.echo(f"{head:24}" + "".join(f"{cell:>24}" for cell in cells))


if __name__ == "__main__":
    main()
