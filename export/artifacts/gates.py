"""Gates of a built artifact, run at build time if it can run there: distance, accuracy, speed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
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
from ...runtime.evaluation.gates.metrics import metric_of
from ...runtime.evaluation.gates.speed import require_speed, speed_gate, time_interleaved
from ...runtime.extractor import open_session
from ...runtime.run_options import RunOptions
from ...runtime.selection import why_not
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


def output_gates(bundle: Bundle, artifact: Sidecar, options: BuildOptions, track: Track) -> Gates:
    """Replay the goldens through an artifact, and measure its accuracy on labeled images; verified if it passes.

    Code from the bundle is not run: only an engine is trusted, because it was just built.

    Args:
        bundle: the stage, which lists the artifact.
        artifact: what was built.
        options: images and limits.
        track: shows progress.

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
    accuracy = None
    with open_session(bundle, opening, artifact) as extractor:
        cosine, _ = replay(extractor, bundle.golden(), artifact.max_departure)
        if options.data is not None and options.dataset is not None:
            warn_of_other_benchmark(bundle.metadata, options.dataset)
            benchmark = read_benchmark(options.dataset, options.data, test_only=True)
            with open_session(bundle, RunOptions(allow_fallback=True), bundle.base) as reference:
                accuracy = accuracy_gate(reference, extractor, benchmark, artifact.max_map_drop, track)
            require_accuracy(accuracy, artifact.stem)
        else:
            metric = metric_of(bundle.metadata).name
            log.warning("the %s of %s is not gated: no labelled images (--data, --dataset)", metric, artifact.stem)
        machine, other_type = f"{extractor.provider}, {machine_name()}", why_other_type(extractor)
    if other_type is not None:
        return _unverified(artifact, other_type)
    return Gates(VERIFIED, cosine, accuracy, verified_on=machine)


def _unverified(artifact: Sidecar, reason: str) -> Gates:
    log.warning("%s stays unverified: %s. Run mambapro check where it is used.", artifact.stem, reason)
    return Gates()


def half_precision(target: str) -> str | None:
    """Return the 16-bit precision to compare int8 with; None on ONNX Runtime, whose CPU computes float16 in float32."""
    return None if target == ONNXRUNTIME else "bf16" if target == OPENVINO else "fp16"


def baselines_in(bundle: Bundle, artifact: Sidecar) -> list[Sidecar]:
    """Return the listed artifacts of the same target in higher precisions that run here."""
    opening = RunOptions(target=artifact.target, unverified=True)
    listed = [item for item in bundle.artifacts if item.target == artifact.target and item.precision != "int8"]
    return [item for item in listed if why_not(bundle, item, opening) is None]


def timed_gate(bundle: Bundle, artifact: Sidecar, baselines: Sequence[Sidecar], force: bool, track: Track) -> SpeedGate:
    """Compare int8 with the fastest baseline; `bundle` is the stage without baselines built for this.

    Raises:
        AccuracyError: int8 is not faster, and that is not forced.
    """
    options = RunOptions(load_plugins=artifact.engine is not None)
    gate = speed_gate(bundle.folder, artifact, baselines, options, forced=force, track=track)
    if gate.slower and force:
        gate = replace(gate, listed=_against_listed(bundle, artifact, track))
    doubt = require_speed(gate, artifact.stem)
    if doubt is not None:
        log.warning("%s is %s", artifact.stem, doubt)
    return gate


def _against_listed(bundle: Bundle, artifact: Sidecar, track: Track) -> dict[str, float]:
    """Return speed ratios to every other artifact of the bundle, for the default order."""
    opening = RunOptions(unverified=True, load_plugins=artifact.engine is not None)
    others = [x for x in bundle.artifacts if x.stem != artifact.stem and why_not(bundle, x, opening) is None]
    times = time_interleaved(bundle.folder, [artifact, *others], opening, track=track)
    return {other.stem: ratios(times[other.stem], times[artifact.stem]).median for other in others}
