"""Verification that a bundle is complete and reproduces PyTorch's numbers on this machine."""

from __future__ import annotations

import logging
import os

from ...common.foreign_text import shown_text
from ...common.progress import Track, silent
from ...errors import AccuracyError, ArtifactError, MambaProError, ParityError, SetupError
from ..bundle.bundle import Bundle
from ..bundle.catalog import matching, stems
from ..bundle.checksums import BundleReplacedError
from ..bundle.limits import require_limit
from ..data.sample import Benchmark
from ..run_options import RunOptions
from .artifact_gates import ArtifactGates
from .check_report import ArtifactCheck, CheckReport
from .listed_files import ignored_files, verify_files

log = logging.getLogger("mambapro")


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

    A failure does not stop the checks of the other artifacts: the error contains all of them, the first failure first.

    An artifact that no machine has verified yet is marked verified if it passes: its distance, for int8 its speed
    against the other precisions of its target, and with a `benchmark` also its loss of mAP. Gates missing in a verified
    artifact are added.

    Args:
        path: the bundle.
        device, allow_fallback: as for Extractor.
        target, precision: check only these artifacts; then each of them has to run.
        benchmark: images for the accuracy gate of artifacts that have not passed one; None = no accuracy gate.
        load_plugins: load the code in the bundle, as for Extractor; without it engines that contain code are not run.
        force: mark int8 verified although it is not faster.
        max_departure, max_map_drop: largest 1 - cosine, and largest loss of mAP as a fraction, of every checked
            artifact; None = the smaller of the bundle's limit and the product's.

    Raises:
        InputError: `path` is not a folder, or holds no such artifact; a limit that nothing exceeds.
        SetupError: a runtime is missing, or does not run where it was asked to.
        ArtifactError: files that are changed, missing or not listed (all counted, ten shown), or unreadable.
        ParityError: an embedding departs from PyTorch's by more than the artifact's limit.
        AccuracyError: an artifact loses more mAP than it may, or an int8 one is not faster than the others.
    """
    require_limit(max_departure, 2.0, "--max-cosine-distance")
    require_limit(None if max_map_drop is None else 100 * max_map_drop, 100.0, "--max-map-drop, in points,")
    options = RunOptions(
        device, allow_fallback, target=target, precision=precision, load_plugins=load_plugins, unverified=True
    )
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
        golden, chosen = bundle.golden(), matching(bundle, target, precision)
    except ArtifactError as error:
        raise failures[0] if failures else error from None
    failures += [error for name, error in bundle.damaged.items() if name in stems(target, precision)]
    gates = ArtifactGates(bundle, golden, options, benchmark, force, track, max_departure, max_map_drop)
    checks: list[ArtifactCheck] = []
    for artifact in track(chosen, "Replaying the goldens: artifacts", len(chosen)):
        try:
            checks.append(gates.check(artifact))
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
        embeds=bundle.metadata.feature_space is not None,
    )


def _with_the_rest(failures: list[MambaProError], checks: list[ArtifactCheck]) -> MambaProError:
    """Return the first failure extended by all other results."""
    texts = list(map(str, failures))
    # a changed file is reported once, though it fails as a file and as an artifact
    messages = [text for i, text in enumerate(texts) if not any(text in earlier for earlier in texts[:i])]
    lines = [*messages, *(f"{item.artifact}: {item}" for item in checks)]
    return type(failures[0])("\n".join(lines))
