"""Gates of the artifacts of a bundle on this machine, and the record of what passed them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from ...common.foreign_text import escaped
from ...common.progress import Track
from ...errors import AccuracyError, ArtifactError, ParityError, SetupError
from ..bundle.artifact import AccuracyGate, Sidecar, SpeedGate
from ..bundle.bundle import Bundle, Golden
from ..bundle.check_record import write_record
from ..bundle.limits import MAP_DROPS, believed
from ..bundle.metadata_parts import UNVERIFIED, VERIFIED
from ..data.sample import Benchmark
from ..environment import machine_name
from ..evaluation.gates.accuracy import accuracy_gate, require_accuracy
from ..evaluation.gates.agreement import agreement_of
from ..evaluation.gates.speed import require_speed, speed_gate
from ..evaluation.gates.task_metrics import metric_of
from ..extractor import open_session
from ..run_options import RunOptions
from ..selection import why_not
from ..session import Session
from .check_report import ArtifactCheck
from .replay import replay, why_other_type

log = logging.getLogger("mambapro")


@dataclass(frozen=True)
class ArtifactGates:
    """Gates of every artifact of a bundle; arguments as for `check_bundle`."""

    bundle: Bundle
    golden: Golden
    options: RunOptions
    benchmark: Benchmark | None
    force: bool
    track: Track
    max_departure: float | None = None
    max_map_drop: float | None = None

    def check(self, artifact: Sidecar) -> ArtifactCheck:
        """Run the gates of one artifact and record the result, or report why it cannot run here.

        A failing artifact is not used on this machine any more, even if another one verified it.

        Raises:
            ParityError, AccuracyError: a gate failed.
            ArtifactError, SetupError: it was requested but cannot run here, or is damaged.
        """
        required = self.options.target or self.options.precision
        reason = why_not(self.bundle, artifact, self.options)
        if reason is not None and required:
            raise ArtifactError(f"{artifact.stem} of {escaped(self.bundle.folder)} cannot run here: {reason}.")
        if reason is None:
            try:
                session = open_session(self.bundle, self.options, artifact)
            except SetupError as error:
                if required or self.options.device == "cuda":
                    raise
                reason = str(error)
        if reason is not None:
            return ArtifactCheck(artifact.stem, self._departure_limit(artifact)[0], not_run=reason)
        try:
            with session:
                passed, result = self._gated(artifact, session)
        except (ParityError, AccuracyError):
            self._withdraw(artifact)
            raise
        if passed != artifact:
            write_record(self.bundle, passed)
        return result

    def _gated(self, artifact: Sidecar, session: Session) -> tuple[Sidecar, ArtifactCheck]:
        """Return the artifact with newly passed gates, and the line of the report."""
        limit, on_limit = self._departure_limit(artifact)
        gate, difference = replay(session, self.golden, limit, on_limit)
        passed, notes, provider, other_type = artifact, [*on_limit], session.provider, why_other_type(session)
        if other_type is not None:
            notes.append(f"computed in {getattr(session.backend, 'precision', 'f32')} here: {other_type}")
        provable = artifact != self.bundle.base and other_type is None
        if self.benchmark is not None and artifact.accuracy is None and provable:
            accuracy, on_accuracy = self._accuracy(artifact, session, self.benchmark)
            passed, notes = replace(passed, accuracy=accuracy), [*notes, *on_accuracy]
        # the speed gate times it in separate processes
        session.close()
        new = artifact.state == UNVERIFIED and provable
        if new:
            passed = replace(passed, state=VERIFIED, cosine=gate, verified_on=f"{provider}, {machine_name()}")
        if new and artifact.precision == "int8" and artifact.speed is None:
            speed, on_speed = self._speed(artifact)
            passed, notes = replace(passed, speed=speed), [*notes, *on_speed]
        drop = passed.accuracy.drop if passed.accuracy is not None and artifact.accuracy is None else None
        departures = gate.limit, provider, gate.largest, gate.mean, difference
        names = gate.measure, metric_of(self.bundle.metadata).name
        return passed, ArtifactCheck(artifact.stem, *departures, drop, new, None, tuple(notes), *names)

    def _departure_limit(self, artifact: Sidecar) -> tuple[float, tuple[str, ...]]:
        """Return the largest allowed distance to PyTorch, and notes on it."""
        usual = agreement_of(self.bundle.metadata).limits[artifact.precision]
        return believed(artifact.max_departure, usual, self.max_departure, "--max-cosine-distance")

    def _accuracy(
        self, artifact: Sidecar, session: Session, benchmark: Benchmark
    ) -> tuple[AccuracyGate, tuple[str, ...]]:
        """Return the accuracy against the exported model on the same device, and notes on the limit.

        Raises:
            AccuracyError: the loss is above the limit.
        """
        usual = MAP_DROPS[artifact.precision]
        limit, notes = believed(artifact.max_map_drop, usual, self.max_map_drop, "--max-map-drop")
        plain = RunOptions(device=self.options.device, allow_fallback=self.options.allow_fallback)
        with open_session(self.bundle, plain, self.bundle.base) as reference:
            gate = accuracy_gate(reference, session, benchmark, limit, self.track)
        require_accuracy(gate, f"{artifact.stem} of {self.bundle.folder}")
        return gate, notes

    def _speed(self, artifact: Sidecar) -> tuple[SpeedGate | None, tuple[str, ...]]:
        """Compare int8 with the other precisions of its target that run here; a note if there are none.

        Raises:
            AccuracyError: int8 is not faster, and that is not forced.
        """
        bundle = self.bundle
        others = [x for x in bundle.artifacts if x.target == artifact.target and x.precision != artifact.precision]
        baselines = [other for other in others if why_not(bundle, other, self.options) is None]
        if not baselines:
            where = "runs here" if others else "in the bundle"
            return None, (f"speed not gated: no other precision of this target {where}",)
        gate = speed_gate(bundle.folder, artifact, baselines, self.options, forced=self.force, track=self.track)
        doubt = require_speed(gate, f"{artifact.stem} of {bundle.folder}")
        return gate, () if doubt is None else (doubt,)

    def _withdraw(self, artifact: Sidecar) -> None:
        """Record that a verified artifact is not, on this machine."""
        if artifact == self.bundle.base or artifact.state != VERIFIED:
            return
        try:
            write_record(self.bundle, replace(artifact, state=UNVERIFIED))
        except SetupError as error:
            # the failure itself must be reported
            log.warning("%s stays marked as verified: %s", artifact.stem, error)
