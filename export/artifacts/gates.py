"""The gates of a built artifact, run where it was built if it can run there: departure, mAP, speed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ...common.progress import Track
from ...common.rounds import ratios
from ...errors import SetupError
from ...runtime.bundle.artifact import OPENVINO, Sidecar, SpeedGate
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.catalog import artifacts_of, base_artifact, update_sidecar
from ...runtime.bundle.metadata import ONNXRUNTIME, VERIFIED
from ...runtime.data.readers.benchmarks import read_benchmark
from ...runtime.environment import machine_name
from ...runtime.evaluation.gates.accuracy import accuracy_gate, require_accuracy
from ...runtime.evaluation.gates.speed import race, require_speed, speed_gate
from ...runtime.run_options import RunOptions
from ...runtime.selection import why_not
from ...runtime.suited import warn_of_other_benchmark
from ...runtime.verification.check import open_extractor, replay, why_other_type
from .build_options import BuildOptions

log = logging.getLogger("mambapro")

#: A precision's name to the artifact of the same target in it, listed in the stage.
Rival = Callable[[str], Sidecar]


def gated(stage: Path, made: Sidecar, options: BuildOptions, rival: Rival, track: Track) -> Sidecar:
    """Run every gate that can be run here; the artifact is verified where it passed them.

    Code that came with the bundle is not run: an engine is trusted because it was built a moment ago, nothing else is.

    Args:
        stage: copy of the bundle that holds the artifact already.
        made: the artifact.
        options: the gates' images and limits.
        rival: builds the same target in another precision, for the speed gate.
        track: shows progress.

    Raises:
        ParityError, AccuracyError: it did not.
    """
    bundle, trusted = Bundle.open(stage, verify=False), made.engine is not None
    opening = RunOptions(target=made.target, unverified=True, load_plugins=trusted)
    reason = why_not(bundle, made, opening)
    if reason is not None:
        if made.engine is None:
            raise SetupError(f"{made.stem} cannot run here: {reason}.")
        log.warning("%s stays unverified: %s. Run mambapro check where it is used.", made.stem, reason.rstrip("."))
        return made
    with open_extractor(bundle, made, opening) as extractor:
        cosine, _ = replay(extractor, bundle.golden(), made.max_departure)
        accuracy = None
        if options.data is not None and options.dataset is not None:
            warn_of_other_benchmark(bundle.metadata, options.dataset)
            benchmark = read_benchmark(options.dataset, options.data, test_only=True)
            with open_extractor(bundle, base_artifact(bundle), RunOptions(allow_fallback=True)) as reference:
                accuracy = accuracy_gate(reference, extractor, benchmark, made.max_map_drop, track)
            require_accuracy(accuracy, made.stem)
        else:
            log.warning("the mAP of %s is not gated: no labelled images (--data, --dataset)", made.stem)
        machine, other_type = f"{extractor.provider}, {machine_name()}", why_other_type(extractor)
    if other_type is not None:
        log.warning("%s stays unverified: %s. Run mambapro check where it is used.", made.stem, other_type)
        return made
    passed = replace(made, state=VERIFIED, cosine=cosine, accuracy=accuracy, verified_on=machine)
    return (
        replace(passed, speed=_speed_gate(stage, passed, options, rival, track)) if made.precision == "int8" else passed
    )


def _speed_gate(stage: Path, made: Sidecar, options: BuildOptions, rival: Rival, track: Track) -> SpeedGate:
    """int8 against the fastest higher precision of the same target, 16 bits among them where the target has them.

    Raises:
        AccuracyError: int8 is not faster, and was not forced.
    """
    update_sidecar(stage, made)
    bundle = Bundle.open(stage, verify=False)
    listed = [item for item in artifacts_of(bundle) if item.target == made.target and item.precision != "int8"]
    rivals = [item for item in listed if why_not(bundle, item, RunOptions(target=made.target, unverified=True)) is None]
    half = "bf16" if made.target == OPENVINO else "fp16"
    # ONNX Runtime's CPU computes float16 in float32, and the exported model is always there
    if made.target != ONNXRUNTIME and not any(item.precision == half for item in rivals):
        rivals.append(rival(half))
    gate = speed_gate(stage, made, rivals, forced=options.force, load_plugins=made.engine is not None, track=track)
    if gate.slower and options.force:
        gate = replace(gate, listed=_against_listed(bundle, made, track))
    doubt = require_speed(gate, made.stem)
    if doubt is not None:
        log.warning("%s is %s", made.stem, doubt)
    return gate


def _against_listed(bundle: Bundle, made: Sidecar, track: Track) -> dict[str, float]:
    """How many times as fast as every other artifact of the bundle it is: what won may not be in the bundle, and
    something has to be chosen by default all the same."""
    trusted = made.engine is not None
    opening = RunOptions(unverified=True, load_plugins=trusted)
    others = [
        item for item in artifacts_of(bundle) if item.stem != made.stem and why_not(bundle, item, opening) is None
    ]
    times = race(bundle.folder, [made, *others], track=track, load_plugins=trusted)
    return {other.stem: ratios(times[other.stem], times[made.stem]).median for other in others}
