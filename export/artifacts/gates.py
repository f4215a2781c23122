"""Gates of a built artifact, run at build time if it can run there: distance, accuracy, speed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from ...common.progress import Track
from ...common.rounds import ratios
from ...errors import SetupError
from ...runtime.bundle.artifact import OPENVINO, AccuracyGate, CosineGate, Sidecar, SpeedGate
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.metadata_parts import ONNXRUNTIME, UNVERIFIED, VERIFIED
from ...runtime.data.readers.benchmarks import read_benchmark
from ...runtime.environment import machine_name
from ...runtime.evaluation.gates.accuracy import accuracy_gate, require_accuracy
from ...runtime.evaluation.gates.speed import require_speed, speed_gate, time_interleaved
from ...runtime.evaluation.gates.task_metrics import metric_of
from ...runtime.extractor import open_session
from ...runtime.run_options import RunOptions
from ...runtime.selection import why_not
from ...runtime.session import Session
from ...runtime.suited import warn_of_other_benchmark
from ...runtime.verification.replay import replay, why_other_type
from .build_options import BuildOptions

log = logging.getLogger("mambapro")


@dataclass(frozen=True)
class Gates:
    """State and gates of an artifact, by the names of its manifest; None where a gate was not run."""

    state: str = UNVERIFIED
    cosine: CosineGate | None = None
    accuracy: AccuracyGate | None = None
    speed: SpeedGate | None = None
    verified_on: str | None = None


def run_gates(
    bundle: Bundle, artifact: Sidecar, options: BuildOptions, build: Callable[[str], Sidecar], track: Track
) -> Gates:
    """Replay the goldens through an artifact, measure its accuracy on labeled images, and the speed of int8.

    Code from the bundle is not run: only an engine is trusted, because it was just built.

    Args:
        bundle: the stage, which lists the artifact.
        artifact: what was built.
        options: images and limits.
        build: builds the same target in another precision that int8 is compared with, where the bundle has none.
        track: shows progress.

    Returns:
        The gates that passed; the state is unverified where the artifact cannot run on this machine.

    Raises:
        ParityError, AccuracyError: a gate failed.
        SetupError: an artifact that is no engine cannot run here.
    """
    trusted = artifact.engine is not None
    opening = RunOptions(target=artifact.target, unverified=True, load_plugins=trusted)
    reason = why_not(bundle, artifact, opening)
    if reason is not None:
        if artifact.engine is None:
            raise SetupError(f"{artifact.stem} cannot run here: {reason}.")
        return _unverified(artifact, reason.rstrip("."))
    with open_session(bundle, opening, artifact) as session:
        cosine, _ = replay(session, bundle.golden(), artifact.max_departure)
        accuracy = _accuracy(bundle, artifact, session, options, track)
        machine, other_type = f"{session.provider}, {machine_name()}", why_other_type(session)
    if other_type is not None:
        return _unverified(artifact, other_type)
    speed = _speed(bundle, artifact, options.force, build, track) if artifact.precision == "int8" else None
    return Gates(VERIFIED, cosine, accuracy, speed, machine)


def _accuracy(
    bundle: Bundle, artifact: Sidecar, session: Session, options: BuildOptions, track: Track
) -> AccuracyGate | None:
    """Measure the accuracy against the exported model on labeled images; None without any, which is logged."""
    if options.data is None or options.dataset is None:
        metric = metric_of(bundle.metadata).name
        log.warning("the %s of %s is not gated: no labelled images (--data, --dataset)", metric, artifact.stem)
        return None
    warn_of_other_benchmark(bundle.metadata, options.dataset)
    benchmark = read_benchmark(options.dataset, options.data, test_only=True)
    with open_session(bundle, RunOptions(allow_fallback=True), bundle.base) as reference:
        gate = accuracy_gate(reference, session, benchmark, artifact.max_map_drop, track)
    require_accuracy(gate, artifact.stem)
    return gate


def _unverified(artifact: Sidecar, reason: str) -> Gates:
    log.warning("%s stays unverified: %s. Run mambapro check where it is used.", artifact.stem, reason)
    return Gates()


def _speed(bundle: Bundle, artifact: Sidecar, force: bool, build: Callable[[str], Sidecar], track: Track) -> SpeedGate:
    """Compare the speed of int8 with the fastest of the higher precisions of the target that run here.

    The 16-bit one is built for the comparison where the bundle has none, but not on ONNX Runtime: its CPU computes
    float16 in float32, and the float32 model is always in the bundle.

    Raises:
        AccuracyError: int8 is not faster, and that is not forced.
    """
    trusted = artifact.engine is not None
    opening = RunOptions(target=artifact.target, unverified=True)
    listed = [x for x in bundle.artifacts if x.target == artifact.target and x.precision != "int8"]
    baselines = [x for x in listed if why_not(bundle, x, opening) is None]
    half = {ONNXRUNTIME: None, OPENVINO: "bf16"}.get(artifact.target, "fp16")
    if half is not None and all(item.precision != half for item in baselines):
        baselines.append(build(half))
    options = RunOptions(load_plugins=trusted)
    gate = speed_gate(bundle.folder, artifact, baselines, options, forced=force, track=track)
    if gate.slower and force:
        # the fastest may not be in the bundle, and the choice by default needs an order of what is
        options = RunOptions(unverified=True, load_plugins=trusted)
        others = [x for x in bundle.artifacts if x.stem != artifact.stem and why_not(bundle, x, options) is None]
        times = time_interleaved(bundle.folder, [artifact, *others], options, track=track)
        faster = {other.stem: ratios(times[other.stem], times[artifact.stem]).median for other in others}
        gate = replace(gate, listed=faster)
    doubt = require_speed(gate, artifact.stem)
    if doubt is not None:
        log.warning("%s is %s", artifact.stem, doubt)
    return gate
