"""Speed gate: interleaved timing of a bundle's artifacts in separate processes.

Two models in one process affect each other, and temporary load of the machine should affect both: the times of one
round are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from ....common.progress import Track, silent
from ....common.rounds import ROUNDS, Spread, in_turns, ratios
from ....errors import AccuracyError
from ...bundle.artifact import Sidecar, SpeedGate
from ...run_options import RunOptions
from ..timed_process import artifact_process

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
    artifact: Sidecar,
    baselines: Sequence[Sidecar],
    options: RunOptions | None = None,
    *,
    forced: bool = False,
    batch: int = 1,
    track: Track = silent,
) -> SpeedGate:
    """Time an artifact against others; the gate compares it with the fastest of them, round by round.

    If the rounds do not decide, others follow, up to MOST_ROUNDS.

    Args:
        folder: the bundle, which lists all of them.
        artifact: the one that is gated.
        baselines: the others, at least one.
        options: as for `time_interleaved`.
        forced: stored in the gate: the artifact is kept whatever the result.
        batch, track: as for `time_interleaved`.

    Raises:
        SetupError: an artifact did not run.
    """
    candidates = [artifact, *baselines]
    times = time_interleaved(folder, candidates, options, batch, track=track)
    gate = _gate(times, artifact, baselines, batch, forced)
    while gate.undecided and len(gate.ratios) < MOST_ROUNDS:
        more = time_interleaved(folder, candidates, options, batch, track=track)
        times = {name: values + more[name] for name, values in times.items()}
        gate = _gate(times, artifact, baselines, batch, forced)
    return gate


def _gate(times: Times, artifact: Sidecar, baselines: Sequence[Sidecar], batch: int, forced: bool) -> SpeedGate:
    medians = {name: Spread(rounds).median for name, rounds in times.items()}
    best = min((baseline.stem for baseline in baselines), key=medians.__getitem__)
    speedups = ratios(times[best], times[artifact.stem])
    return SpeedGate(batch, medians[artifact.stem], best, medians[best], forced, speedups.values)


def require_speed(gate: SpeedGate, what: str) -> str | None:
    """Raise AccuracyError if int8 is not faster and that is not forced; return a note if the rounds disagree."""
    if gate.slower and not gate.forced:
        raise AccuracyError(
            f"{what} takes {gate.milliseconds:.1f} ms, {gate.other} {gate.other_milliseconds:.1f} ms; in "
            f"{len(gate.ratios)} rounds it is {gate.low:.2f} to {gate.high:.2f} times as fast: int8 loses accuracy "
            "and gains nothing here. Use the higher precision, or keep it with --force."
        )
    if not gate.doubtful:
        return None
    return f"not clearly faster than {gate.other}: {gate.told}"


def time_interleaved(
    folder: Path,
    artifacts: Sequence[Sidecar],
    options: RunOptions | None = None,
    batch: int = 1,
    rounds: int = ROUNDS,
    runs: int = RUNS,
    seconds: float = SECONDS,
    track: Track = silent,
) -> Times:
    """Time one batch through each artifact, in rounds.

    Every other round reverses the order, so that none always comes first. Each turn is a process of its own: the memory
    layout of one process does not affect all rounds.

    Args:
        folder: the bundle, which lists all of them.
        artifacts: the timed artifacts, in any state.
        options: device, mode, threads and plugins; they must suit all artifacts.
        batch: samples of one call.
        rounds, runs, seconds: number of rounds, and minimum calls and duration of one turn.
        track: shows progress.

    Returns:
        median milliseconds by the artifact's name, one value per round.

    Raises:
        MambaProError: an artifact could not be opened; same class as in its process.
        SetupError: its process ended or did not answer; includes the end of its stderr.
    """
    turn = partial(_milliseconds, folder, options or RunOptions(), batch, runs, seconds)
    return in_turns({artifact.stem: partial(turn, artifact) for artifact in artifacts}, rounds, track)


def _milliseconds(folder: Path, options: RunOptions, batch: int, runs: int, seconds: float, artifact: Sidecar) -> float:
    with artifact_process(folder, artifact, options, batch) as process:
        return process.milliseconds(runs, seconds, _WARMUP, batch)
