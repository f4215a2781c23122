"""Kills exports with int8 at random moments, and holds what is left to its promises.

    python benchmarks/killed_exports.py CKPT ROOT [--dataset rgbnt201] [--kills 20] [--seconds 40] [--seed 0]

Every run exports CKPT, calibrates on ROOT and builds int8 for ONNX Runtime, in a process group of its own that SIGKILL
ends at a moment drawn from 0 to --seconds (without it: to a tenth more than an undisturbed run takes). Half of the
runs find no bundle: what they leave is none, or a complete one. The other half replace the one of the first run with
--overwrite: there must be a complete one at any time. Complete: every hash agrees and every artifact returns PyTorch's
numbers. At the end one run is left alone; the calibration that the killed ones began is what it goes on from.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click


def run(command: list[str], cache: Path, seconds: float | None) -> tuple[int | None, str]:
    """Exit code and standard error; None where it was killed after `seconds`."""
    environment = {**os.environ, "MAMBAPRO_CACHE": str(cache)}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    try:
        return process.wait(seconds), process.communicate()[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return None, process.communicate()[1]


def verdict(bundle: Path, replaced: bool) -> str:
    """What is there; SystemExit where it is neither whole nor, unless a bundle was to be replaced, nothing."""
    from mambapro.errors import MambaProError
    from mambapro.runtime.check import check_bundle

    if not bundle.exists() and not replaced:
        return "no bundle"
    try:
        report = check_bundle(bundle, "cpu")
    except MambaProError as error:
        raise SystemExit(f"a killed run left a bundle that is not whole: {error}") from error
    return "whole: " + ", ".join(item.artifact for item in report.artifacts)


def alone(command: list[str], cache: Path, bundle: Path) -> float:
    """Seconds of a run that nobody kills; SystemExit where what it leaves is not whole."""
    started = time.monotonic()
    code, said = run(command, cache, None)
    if code != 0:
        raise SystemExit(f"a run that was left alone failed with {code}: {said[-1000:]}")
    took = time.monotonic() - started
    click.echo(f"left alone: {took:.1f} s, {verdict(bundle, True)}")
    return took


@click.command(help=__doc__)
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.argument("root", type=click.Path(exists=True, path_type=Path))
@click.option("--dataset", default="rgbnt201", show_default=True)
@click.option("--kills", default=20, show_default=True)
@click.option("--seconds", type=float, help="Latest moment of a kill.")
@click.option("--seed", default=0, show_default=True)
def main(checkpoint: Path, root: Path, dataset: str, kills: int, seconds: float | None, seed: int) -> None:
    """Print a line for each kill."""
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        bundle, cache = Path(folder) / "killed.mambapro", Path(folder) / "cache"
        command = [sys.executable, "-m", "mambapro", "export", "--ckpt", str(checkpoint), "--dataset", dataset]
        command += ["--output", str(bundle), "--overwrite", "--int8", "--calib", str(root), "--force"]
        # a long way is its images: few make the whole run short enough to be killed everywhere
        command += ["--calib-images", "64"]
        kept = Path(folder) / "kept"
        took = alone(command, cache, bundle)
        shutil.copytree(bundle, kept)
        for number in range(1, kills + 1):
            replaced = number % 2 == 0
            shutil.rmtree(bundle, ignore_errors=True)
            if replaced:
                shutil.copytree(kept, bundle)
            if number % 4 == 1:
                # from time to time the calibration begins anew; otherwise it goes on from what the killed run left
                shutil.rmtree(cache, ignore_errors=True)
            moment = moments.uniform(0, seconds or 1.1 * took)
            code, said = run(command, cache, moment)
            if code not in (None, 0):
                raise SystemExit(f"run {number} failed by itself with {code}: {said[-1000:]}")
            end = "killed" if code is None else "done before"
            before = "a bundle" if replaced else "nothing"
            click.echo(f"{number:3}  {end} at {moment:5.1f} s, before: {before}; after: {verdict(bundle, replaced)}")
        alone(command, cache, bundle)
        left = sorted(path.name for path in Path(folder).iterdir() if path not in (bundle, cache, kept))
        click.echo(f"left over: {', '.join(left) or 'nothing'}")


if __name__ == "__main__":
    main()
