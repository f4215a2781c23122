"""Proof that a bundle is whole and still returns PyTorch's numbers on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ...common.files.litter import is_litter
from ...common.foreign_text import escaped, shown_text
from ...common.progress import Track, silent
from ...common.records import first_lines
from ...common.tables import text_table
from ...errors import AccuracyError, ArtifactError, MambaProError, ParityError, SetupError
from ..bundle.artifact import CosineGate, Sidecar, SpeedGate
from ..bundle.bundle import Bundle, Golden
from ..bundle.catalog import is_artifact_file, matching, stems
from ..bundle.check_record import write_record
from ..bundle.checksums import GOLDEN, SUMS, BundleReplacedError, files_below
from ..bundle.limits import MAP_DROPS, believed, require_limit
from ..bundle.metadata import BundleMetadata
from ..bundle.metadata_parts import UNVERIFIED, VERIFIED
from ..data.batch import CAMERA, MODALITY_MASK, Batch
from ..data.sample import Benchmark
from ..environment import machine_name
from ..evaluation.gates.accuracy import accuracy_gate, require_accuracy
from ..evaluation.gates.agreement import agreement_of
from ..evaluation.gates.speed import require_speed, speed_gate
from ..extractor import open_session
from ..run_options import RunOptions
from ..selection import why_not
from ..session import Session

log = logging.getLogger("mambapro")


@dataclass(frozen=True)
class ArtifactCheck:
    """One artifact of a bundle on this machine: its departures from PyTorch, or why it was not run.

    `newly_verified`: it was made where it could not run, and this machine is the first to prove it. `notes`: what was
    not proved, and why.
    """

    artifact: str
    limit: float
    provider: str | None = None
    largest_departure: float | None = None
    mean_departure: float | None = None
    largest_difference: float | None = None
    map_drop: float | None = None
    newly_verified: bool = False
    not_run: str | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.largest_departure is None:
            return f"not run: {escaped(self.not_run or '')}"
        drop = "" if self.map_drop is None else f", mAP drop {100 * self.map_drop:.2f} points"
        note = "".join(f"; {text}" for text in (*["verified now"] * self.newly_verified, *self.notes))
        return (
            f"1 - cosine at most {self.largest_departure:.2e}, mean {self.mean_departure:.2e} "
            f"(limit {self.limit:.0e}){drop}, on {self.provider}{note}"
        )


@dataclass(frozen=True)
class CheckReport:
    """A bundle that passed: its files are what was exported, and every artifact that runs here returns PyTorch's
    numbers, over `samples` goldens. `ignored` are files of file managers that lie in the folder."""

    bundle: str
    name: str
    fingerprint: str
    files: int
    samples: int
    artifacts: tuple[ArtifactCheck, ...]
    ignored: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "artifacts": [asdict(item) for item in self.artifacts]}

    def __str__(self) -> str:
        rows = (
            ("bundle", escaped(f"{self.bundle} ({self.name})")),
            ("feature space", self.fingerprint[:16]),
            ("files", f"{self.files} hashes agree"),
            *([("ignored", shown_text(", ".join(self.ignored)))] * bool(self.ignored)),
            ("goldens", f"{self.samples} samples replayed"),
            *((item.artifact, str(item)) for item in self.artifacts),
        )
        return text_table(rows, "<")


def check_bundle(
    path: str | os.PathLike[str],
    device: str = "auto",
    track: Track = silent,
    allow_fallback: bool = False,
    target: str | None = None,
    precision: str | None = None,
    benchmark: Benchmark | None = None,
    load_plugins: bool = False,
    force: bool = False,
    max_departure: float | None = None,
    max_map_drop: float | None = None,
) -> CheckReport:
    """Hash every file of a bundle, then replay its goldens through every artifact that runs here.

    What fails does not keep the others from being checked: the error holds all that was found, the first failure first.

    An artifact that no machine has verified yet is marked verified where it passes: its departure, for int8 its speed
    against the other precisions of its target, and with a `benchmark` also what it loses in mAP. That is made up for
    where it is missing in an artifact that was verified without.

    Args:
        path: the bundle.
        device, allow_fallback: as for Extractor.
        target, precision: check these artifacts only; then each of them has to run.
        benchmark: images for the accuracy gate of artifacts that have not passed one; None = they go without.
        load_plugins: load the code in the bundle, as for Extractor; without it engines that hold some are not run.
        force: mark int8 verified though it is not faster.
        max_departure, max_map_drop: largest 1 - cosine, and largest loss of mAP as a fraction, of every artifact that
            is checked; None = the bundle's own limit or this product's, whichever is smaller.

    Raises:
        InputError: `path` is not a folder, or holds no such artifact; a limit that nothing exceeds.
        SetupError: a runtime is missing, or does not run where it was asked to.
        ArtifactError: files that are changed, missing or not listed (all counted, ten shown), or unreadable.
        ParityError: an embedding departs from PyTorch's by more than the artifact's limit.
        AccuracyError: an artifact loses more mAP than it may, or an int8 one is not faster than the others.
    """
    require_limit(max_departure, 2.0, "--max-cosine-distance")
    require_limit(None if max_map_drop is None else 100 * max_map_drop, 100.0, "--max-map-drop, in points,")
    bundle = Bundle.open(path)
    failures: list[MambaProError] = []
    try:
        verify_files(bundle, track)
    except BundleReplacedError:
        raise
    except ArtifactError as error:
        failures.append(error)
    ignored = ignored_files(bundle)
    if ignored:
        log.warning("%s: %s ignored; no file of the bundle", shown_text(path), shown_text(", ".join(ignored)))
    try:
        golden, chosen = bundle.golden(), _chosen(bundle, target, precision, failures)
    except ArtifactError as error:
        raise failures[0] if failures else error from None
    gates = _Gates(benchmark, force, track, agreement_of(bundle.metadata).limits, max_departure, max_map_drop)
    options = RunOptions(
        device, allow_fallback, target=target, precision=precision, load_plugins=load_plugins, unverified=True
    )
    checks: list[ArtifactCheck] = []
    for sidecar in track(chosen, "Replaying the goldens", len(chosen)):
        try:
            checks.append(_one(bundle, sidecar, golden, options, gates))
        except BundleReplacedError:
            raise
        except (ArtifactError, ParityError, AccuracyError, SetupError) as error:
            failures.append(error)
    bundle.require_current()
    if not failures and all(item.largest_departure is None for item in checks):
        failures.append(SetupError(f"Nothing of {path} can run here."))
    if failures:
        raise _with_the_rest(failures, checks)
    return CheckReport(
        bundle=str(path),
        name=bundle.metadata.name,
        fingerprint=bundle.metadata.fingerprint,
        files=len(bundle.sums),
        samples=golden.samples,
        artifacts=tuple(checks),
        ignored=ignored,
    )


def _chosen(
    bundle: Bundle, target: str | None, precision: str | None, failures: list[MambaProError]
) -> tuple[Sidecar, ...]:
    """The artifacts to check; why others cannot even be read goes to `failures`."""
    found = matching(bundle, target, precision)
    failures += [error for name, error in bundle.damaged.items() if name in stems(target, precision)]
    return found


def _one(bundle: Bundle, sidecar: Sidecar, golden: Golden, options: RunOptions, gates: _Gates) -> ArtifactCheck:
    """Check one artifact, or tell why it cannot run here; where it was asked for that is an error."""
    insisted = options.target or options.precision
    reason = why_not(bundle, sidecar, options)
    if reason is not None and insisted:
        raise ArtifactError(f"{sidecar.stem} of {escaped(bundle.folder)} cannot run here: {reason}.")
    if reason is None:
        try:
            extractor = open_extractor(bundle, sidecar, options)
        except SetupError as error:
            if insisted or options.device == "cuda":
                raise
            reason = str(error)
    if reason is not None:
        return ArtifactCheck(sidecar.stem, gates.departure(sidecar)[0], not_run=reason)
    with extractor:
        return _check(bundle, sidecar, golden, options, gates, extractor)


def _with_the_rest(failures: list[MambaProError], checks: list[ArtifactCheck]) -> MambaProError:
    """The first failure with everything else that was found: a bad artifact hides no good one."""
    texts = list(map(str, failures))
    # a changed file is told once, though it fails as a file and as an artifact
    said = [text for i, text in enumerate(texts) if not any(text in earlier for earlier in texts[:i])]
    lines = [*said, *(f"{item.artifact}: {item}" for item in checks)]
    return type(failures[0])("\n".join(lines))


@dataclass(frozen=True)
class _Gates:
    """What artifacts are gated on beside their departure."""

    benchmark: Benchmark | None
    force: bool
    track: Track
    limits: Mapping[str, float]
    max_departure: float | None = None
    max_map_drop: float | None = None

    def departure(self, sidecar: Sidecar) -> tuple[float, tuple[str, ...]]:
        """The largest distance to PyTorch that counts, and what is to be said of it."""
        return believed(
            sidecar.max_departure, self.limits[sidecar.precision], self.max_departure, "--max-cosine-distance"
        )

    def map_drop(self, sidecar: Sidecar) -> tuple[float, tuple[str, ...]]:
        """The largest loss of mAP that counts, and what is to be said of it."""
        return believed(sidecar.max_map_drop, MAP_DROPS[sidecar.precision], self.max_map_drop, "--max-map-drop")


def why_other_type(extractor: Session) -> str | None:
    """Why a bf16 artifact computes in another type on this machine, which proves nothing of it; else None."""
    why: str | None = getattr(extractor.backend, "why_precision", None)
    return why if extractor.artifact.precision == "bf16" else None


def _check(
    bundle: Bundle, sidecar: Sidecar, golden: Golden, options: RunOptions, gates: _Gates, extractor: Session
) -> ArtifactCheck:
    """As `_passed`; what fails here is not taken here any more, whoever verified it."""
    try:
        return _passed(bundle, sidecar, golden, options, gates, extractor)
    except (ParityError, AccuracyError):
        if sidecar != bundle.base and sidecar.state == VERIFIED:
            try:
                write_record(bundle, replace(sidecar, state=UNVERIFIED))
            except SetupError as error:
                # the failure itself is what has to be told
                log.warning("%s stays marked as verified: %s", sidecar.stem, error)
        raise


def _passed(
    bundle: Bundle, sidecar: Sidecar, golden: Golden, options: RunOptions, gates: _Gates, extractor: Session
) -> ArtifactCheck:
    """Run one artifact, raise where it fails, and write down what it passed for the first time."""
    base = sidecar == bundle.base
    limit, said = gates.departure(sidecar)
    passed, notes = sidecar, list(said)
    gate, difference = replay(extractor, golden, limit, said)
    provider = extractor.provider
    other_type = why_other_type(extractor)
    if other_type is not None:
        notes.append(f"computed in {getattr(extractor.backend, 'precision', 'f32')} here: {other_type}")
    if gates.benchmark is not None and sidecar.accuracy is None and not base and other_type is None:
        plain = RunOptions(device=options.device, allow_fallback=options.allow_fallback)
        with open_extractor(bundle, bundle.base, plain) as reference:
            drop_limit, said = gates.map_drop(sidecar)
            notes += said
            accuracy = accuracy_gate(reference, extractor, gates.benchmark, drop_limit, gates.track)
        require_accuracy(accuracy, f"{sidecar.stem} of {bundle.folder}")
        passed = replace(passed, accuracy=accuracy)
    # the speed gate times it in processes of their own
    extractor.close()
    new = sidecar.state == UNVERIFIED and not base and other_type is None
    if new:
        machine = f"{provider}, {machine_name()}"
        passed = replace(passed, state=VERIFIED, cosine=gate, verified_on=machine)
        if sidecar.precision == "int8" and sidecar.speed is None:
            speed, missing = _speed(bundle, sidecar, options, gates)
            passed = replace(passed, speed=speed)
            notes += missing
    if passed != sidecar:
        write_record(bundle, passed)
    drop = passed.accuracy.drop if passed.accuracy is not None and sidecar.accuracy is None else None
    return ArtifactCheck(
        sidecar.stem, gate.limit, provider, gate.largest, gate.mean, difference, drop, new, notes=tuple(notes)
    )


def _speed(
    bundle: Bundle, sidecar: Sidecar, options: RunOptions, gates: _Gates
) -> tuple[SpeedGate | None, tuple[str, ...]]:
    """int8 against the other precisions of its target that run here, or a note where there are none.

    Raises:
        AccuracyError: int8 is not faster, and that is not forced.
    """
    others = [x for x in bundle.artifacts if x.target == sidecar.target and x.precision != sidecar.precision]
    baselines = [other for other in others if why_not(bundle, other, options) is None]
    if not baselines:
        where = "runs here" if others else "in the bundle"
        return None, (f"speed not gated: no other precision of this target {where}",)
    speed = speed_gate(bundle.folder, sidecar, baselines, options, forced=gates.force, track=gates.track)
    doubt = require_speed(speed, f"{sidecar.stem} of {bundle.folder}")
    return speed, () if doubt is None else (doubt,)


def open_extractor(bundle: Bundle, sidecar: Sidecar, options: RunOptions) -> Session:
    """Open one artifact, whatever its state, an Extractor where it returns embeddings; all else as `options` says."""
    own = replace(options, target=sidecar.target, precision=sidecar.precision, unverified=True)
    return open_session(bundle, own)


def replay(session: Session, golden: Golden, limit: float, notes: Sequence[str] = ()) -> tuple[CosineGate, float]:
    """How far an artifact's outputs are from PyTorch's over the goldens: their distance, and the largest difference.

    `notes` on the limit stand in the message.

    Raises:
        ParityError: the largest distance is above `limit`.
    """
    metadata, agreement = session.metadata, agreement_of(session.metadata)
    name = metadata.outputs[0].name
    found, expected = session.run(_batch(golden, metadata))[name], golden.outputs[name].astype(np.float64)
    departures = agreement.distances(expected, found)
    gate = CosineGate(float(departures.max()), float(departures.mean()), limit, golden.samples)
    # Written so that NaN fails as well.
    if not gate.largest <= limit:
        raise ParityError(
            f"{session.artifact.stem} does not return PyTorch's numbers on {session.provider}: the largest "
            f"{agreement.name} over the {golden.samples} samples of {GOLDEN} is {gate.largest:.2e} "
            f"(sample {int(np.argmax(departures))}), the limit {limit:.0e}{''.join(f'; {note}' for note in notes)}. "
            f"Do not use its {agreement.noun}s here; try another runtime or device, or a higher precision."
        )
    return gate, float(np.abs(expected - found).max())


def verify_files(bundle: Bundle, track: Track = silent) -> None:
    """Compare the hash of every listed file, and refuse files that are not listed.

    Raises:
        ArtifactError: names what is changed, missing, not listed, or a link out of the bundle.
    """
    strays = [name for name in files_below(bundle.files) if name not in bundle.sums]
    problems = [f"{shown_text(name)} is not listed in {SUMS}{_leftover(name)}" for name in strays]
    strict = replace(bundle, verify=True)
    for name in track(list(bundle.sums), "Hashing", len(bundle.sums)):
        try:
            strict.file(name)
        except BundleReplacedError:
            raise
        except ArtifactError as error:
            problems.append(str(error))
    if problems:
        lines = "\n  ".join(first_lines(problems))
        raise ArtifactError(f"{shown_text(bundle.folder)} is not the bundle that was exported:\n  {lines}")


def ignored_files(bundle: Bundle) -> tuple[str, ...]:
    """Files that a file manager or a file system left in the bundle."""
    return tuple(name for name in bundle.files.files() if name not in bundle.sums and is_litter(name))


def _leftover(name: str) -> str:
    if is_artifact_file(name):
        return ": left by a build that was interrupted, build it again or delete the file"
    return ": it is not the bundle's and is never read; move it elsewhere"


def _batch(golden: Golden, metadata: BundleMetadata) -> Batch:
    images = {name: golden.inputs[name] for name in metadata.modalities}
    mask, cameras = (
        next((golden.inputs[name] for name in metadata.names(role)), None) for role in (MODALITY_MASK, CAMERA)
    )
    return Batch.of(images, mask, cameras)
