"""Which of a bundle's artifacts is faster: each in processes of its own, in turns.

Two models in one process disturb each other, and a machine that is busy for a while should be busy for both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import SetupError
from .latency import MODEL_ONLY
from .progress import Track, silent
from .sidecar import Sidecar

ROUNDS, RUNS, WARMUP = 3, 5, 2


def race(
    folder: Path,
    artifacts: Sequence[Sidecar],
    batch: int = 1,
    mode: str = "latency",
    rounds: int = ROUNDS,
    runs: int = RUNS,
    track: Track = silent,
    *,
    device: str = "auto",
    allow_fallback: bool = False,
    load_plugins: bool = False,
) -> dict[str, float]:
    """Median milliseconds of one batch through each artifact, by its stem: the median over the rounds' medians.

    `device`, `allow_fallback` and `load_plugins` are as for Extractor; where they are set they must be right for all.

    Raises:
        SetupError: an artifact did not run; gives its last words.
    """
    times: dict[str, list[float]] = {sidecar.stem: [] for sidecar in artifacts}
    options = ["--mode", mode, "--device", device, "--batch", str(batch), "--runs", str(runs)]
    options += ["--allow-fallback"] * allow_fallback + ["--load-plugins"] * load_plugins
    turns = [sidecar for _ in range(rounds) for sidecar in artifacts]
    for sidecar in track(turns, "Timing", len(turns)):
        times[sidecar.stem].append(_milliseconds(folder, sidecar, options))
    return {name: statistics.median(values) for name, values in times.items()}


def _milliseconds(folder: Path, sidecar: Sidecar, options: Sequence[str]) -> float:
    """Median of the model alone."""
    found = bench_alone(folder, sidecar, ["--warmup", str(WARMUP), *options])
    return next(item["p50"] for item in found["timings"] if item["scope"] == MODEL_ONLY)


def bench_alone(folder: Path, sidecar: Sidecar, options: Sequence[str]) -> dict[str, Any]:
    """What `mambapro bench` says of an artifact in a process of its own, as its JSON.

    Raises:
        SetupError: it ended without an answer; gives its last words.
    """
    which = ["--target", sidecar.target, "--precision", sidecar.precision, "--unverified"]
    command = [sys.executable, "-m", "mambapro", "bench", str(folder), *which, *options, "--json"]
    # nothing is imported from the folder that the caller happens to be in
    safe = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=safe)
    if done.returncode != 0:
        last = done.stderr.strip()[-1000:] or f"exit code {done.returncode}"
        raise SetupError(f"{sidecar.stem} could not be timed: {last}")
    return json.loads(done.stdout)
