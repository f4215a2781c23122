"""Which of a bundle's artifacts is faster: each in processes of its own, in turns.

Two models in one process disturb each other, and a machine that is busy for a while should be busy for both: what is
compared are the times of one round.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ....common.children import environment_of_child
from ....common.progress import Track, silent
from ....common.rounds import ROUNDS, Spread, in_turns, ratios
from ....errors import AccuracyError, SetupError
from ...bundle.artifact import Sidecar, SpeedGate
from ..latency import MODEL_ONLY

#: In each turn at least so many calls, and for so long.
RUNS, SECONDS = 5, 1.0
#: Where the rounds do not decide, others follow until there are so many.
MOST_ROUNDS = 15
# the median does not see a second slow call, and calls of a large model take long
_WARMUP = 1

#: Milliseconds by an artifact's name, one value a round.
Times = Mapping[str, tuple[float, ...]]


def speed_gate(
    folder: Path,
    made: Sidecar,
    rivals: Sequence[Sidecar],
    *,
    forced: bool = False,
    batch: int = 1,
    track: Track = silent,
    device: str = "auto",
    allow_fallback: bool = False,
    load_plugins: bool = False,
) -> SpeedGate:
    """Race an artifact against others; the gate is of it and the fastest of them, round by round.

    Where the rounds do not decide, the race goes on, up to MOST_ROUNDS.

    Args:
        folder: the bundle, which lists all of them.
        made: the artifact.
        rivals: the others, at least one.
        forced: written down in the gate: the artifact is kept whatever comes out.
        batch, track, device, allow_fallback, load_plugins: as for `race`.

    Raises:
        SetupError: an artifact did not run.
    """

    def more() -> Times:
        return race(
            folder,
            [made, *rivals],
            batch,
            track=track,
            device=device,
            allow_fallback=allow_fallback,
            load_plugins=load_plugins,
        )

    times = more()
    gate = _gate(times, made, rivals, batch, forced)
    while gate.undecided and len(gate.ratios) < MOST_ROUNDS:
        times = {name: values + further for (name, values), further in zip(times.items(), more().values(), strict=True)}
        gate = _gate(times, made, rivals, batch, forced)
    return gate


def _gate(times: Times, made: Sidecar, rivals: Sequence[Sidecar], batch: int, forced: bool) -> SpeedGate:
    medians = {name: Spread(rounds).median for name, rounds in times.items()}
    best = min((rival.stem for rival in rivals), key=medians.__getitem__)
    found = ratios(times[best], times[made.stem])
    return SpeedGate(batch, medians[made.stem], best, medians[best], forced, found.values)


def require_speed(gate: SpeedGate, what: str) -> str | None:
    """Raise AccuracyError where int8 is not faster and that is not forced; where the rounds disagree, say so."""
    if gate.slower and not gate.forced:
        raise AccuracyError(
            f"{what} takes {gate.milliseconds:.1f} ms, {gate.other} {gate.other_milliseconds:.1f} ms; in "
            f"{len(gate.ratios)} rounds it is {gate.low:.2f} to {gate.high:.2f} times as fast: int8 loses accuracy "
            "and gains nothing here. Use the higher precision, or keep it with --force."
        )
    if not gate.doubtful:
        return None
    return f"not clearly faster than {gate.other}: {gate.told}"


def race(
    folder: Path,
    artifacts: Sequence[Sidecar],
    batch: int = 1,
    mode: str = "latency",
    rounds: int = ROUNDS,
    runs: int = RUNS,
    seconds: float = SECONDS,
    track: Track = silent,
    *,
    device: str = "auto",
    allow_fallback: bool = False,
    load_plugins: bool = False,
) -> Times:
    """Median milliseconds of one batch through each artifact by its stem, one value a round.

    Every other round goes through them backwards, so that none always comes first. `device`, `allow_fallback` and
    `load_plugins` are as for Extractor; where they are set they must be right for all.

    Raises:
        SetupError: an artifact did not run; gives its last words.
    """
    options = ["--mode", mode, "--device", device, "--batch", str(batch), "--model-only", "--rounds", "1"]
    options += ["--runs", str(runs), "--seconds", str(seconds), "--warmup", str(_WARMUP)]
    options += ["--allow-fallback"] * allow_fallback + ["--load-plugins"] * load_plugins
    candidates = {sidecar.stem: partial(_milliseconds, folder, sidecar, options) for sidecar in artifacts}
    return in_turns(candidates, rounds, track)


def _milliseconds(folder: Path, sidecar: Sidecar, options: Sequence[str]) -> float:
    """Median of the model alone."""
    found = bench_alone(folder, sidecar, options)
    return next(item["p50"] for item in found["timings"] if item["scope"] == MODEL_ONLY)


def bench_alone(folder: Path, sidecar: Sidecar, options: Sequence[str]) -> dict[str, Any]:
    """What `mambapro bench` says of an artifact in a process of its own, as its JSON.

    Raises:
        SetupError: it ended without an answer; gives its last words.
    """
    which = ["--target", sidecar.target, "--precision", sidecar.precision, "--unverified"]
    command = [sys.executable, "-m", "mambapro", "bench", str(folder), *which, *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment_of_child())
    if done.returncode != 0:
        last = done.stderr.strip()[-1000:] or f"exit code {done.returncode}"
        raise SetupError(f"{sidecar.stem} could not be timed: {last}")
    return json.loads(done.stdout)
