"""A program: starts the analysis again and again, kills it at random moments, lets the last run end.

Arguments: model, table, feeds (.npz), folder to write to, kills, seed. Prints how many runs were killed, and after how
many of them there were results to go on with. Each run is forked from this process, which has imported everything but
opened no session yet.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import click
import numpy as np
import onnx
from mambapro.calib.sensitivity.analysis import STATE, SensitivityOptions, analyse
from mambapro.calib.sensitivity.measurement import Material
from mambapro.calib.sensitivity.pareto import Limits
from mambapro.graph.scales import read_table
from mambapro.runtime.backends.onnxruntime import import_onnxruntime


def timer(model: onnx.ModelProto) -> float:
    """The one of test_run.py."""
    return 300.0 - sum(node.op_type == "DequantizeLinear" for node in model.graph.node)


def run(model: Path, table: Path, feeds: Path, folder: Path) -> None:
    """One analysis."""
    with np.load(feeds, allow_pickle=False) as arrays:
        inputs = {name: arrays[name] for name in arrays}
    material = Material(inputs, (1, 1, 2, 2, 3, 3), (0, 1, 0, 1, 0, 1), "camera", "a hash")
    options = SensitivityOptions("kind", limits=Limits(1.0, 1e-3))
    analyse(model, read_table(table), material, folder, options, timer=timer)


def attempt(results: int | None, delay: float, arguments: tuple[Path, Path, Path, Path]) -> int:
    """Exit status of a forked run, killed `delay` seconds after it wrote that many `results`; None = never."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run(*arguments)
            status = 0
        finally:
            os._exit(status)
    if results is None:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seen = {written(arguments[-1])}
    while len(seen) <= results:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        seen.add(written(arguments[-1]))
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def written(folder: Path) -> int:
    """What tells one state of the results from the next."""
    try:
        return (folder / STATE).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def main() -> None:
    model, table, feeds, folder = (Path(argument) for argument in sys.argv[1:5])
    kills, generator = int(sys.argv[5]), random.Random(int(sys.argv[6]))
    import_onnxruntime()
    import matplotlib.figure  # noqa: F401

    arguments = (model, table, feeds, folder)
    killed = with_results = 0
    while killed < kills:
        status = attempt(generator.randrange(5), generator.uniform(0.0, 0.1), arguments)
        if status == 0:
            # it was done before the kill came: from the start
            shutil.rmtree(folder)
            continue
        if status != -signal.SIGKILL:
            sys.exit(f"a run ended with {status} by itself")
        killed += 1
        with_results += (folder / STATE).exists()
    if attempt(None, 0.0, arguments) != 0:
        sys.exit("the last run failed")
    click.echo(json.dumps({"killed": killed, "with_results": with_results}))


if __name__ == "__main__":
    main()
