"""Proof that a bundle is whole and still returns PyTorch's numbers on this machine."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import ArtifactError, ParityError
from .bundle import GOLDEN, SUMS, Bundle, Golden, files_below
from .extractor import Extractor
from .files import sha256_of
from .metadata import CAMERA, EMBEDDING, MODALITY_MASK
from .progress import Track, silent
from .strict_json import first_lines


@dataclass(frozen=True)
class CheckReport:
    """A bundle that passed. The cosines compare this machine's embeddings with PyTorch's, over `samples` goldens."""

    bundle: str
    name: str
    precision: str
    fingerprint: str
    files: int
    provider: str
    samples: int
    largest_departure: float
    mean_departure: float
    largest_difference: float
    limit: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        rows = (
            ("bundle", f"{self.bundle} ({self.name}, {self.precision})"),
            ("feature space", self.fingerprint[:16]),
            ("files", f"{self.files} hashes agree"),
            ("provider", self.provider),
            ("goldens", f"{self.samples} samples replayed"),
            ("1 - cosine", f"largest {self.largest_departure:.2e}, mean {self.mean_departure:.2e}"),
            ("limit", f"{self.limit:.0e}"),
            ("largest difference", f"{self.largest_difference:.2e}"),
        )
        width = max(len(head) for head, _ in rows)
        return "\n".join(f"{head.ljust(width)}  {text}" for head, text in rows)


def check_bundle(
    path: str | os.PathLike[str], device: str = "auto", track: Track = silent, allow_fallback: bool = False
) -> CheckReport:
    """Hash every file of a bundle, then replay its goldens.

    Raises:
        InputError: `path` is not a folder.
        SetupError: ONNX Runtime is missing, or does not run where it was asked to.
        ArtifactError: files that are changed, missing or not listed (all counted, ten shown), or unreadable.
        ParityError: an embedding departs from PyTorch's by more than the limit in parity.json.
    """
    bundle = Bundle.open(path)
    verify_files(bundle, track)
    limit, golden = bundle.parity_limit(), bundle.golden()
    with Extractor(bundle, device, allow_fallback) as extractor:
        found = _replay(extractor, golden)
        provider = extractor.provider
    (name,) = bundle.metadata.names(EMBEDDING)
    expected = golden.outputs[name].astype(np.float64)
    departures = cosine_departures(expected, found)
    report = CheckReport(
        bundle=str(path),
        name=bundle.metadata.name,
        precision=bundle.metadata.precision.label,
        fingerprint=bundle.metadata.feature_space.id,
        files=len(bundle.sums),
        provider=provider,
        samples=golden.samples,
        largest_departure=float(departures.max()),
        mean_departure=float(departures.mean()),
        largest_difference=float(np.abs(expected - found).max()),
        limit=limit,
    )
    # Written so that NaN fails as well.
    if not report.largest_departure <= limit:
        raise ParityError(
            f"{path} does not return PyTorch's numbers on {provider}: the largest 1 - cosine over the {golden.samples} "
            f"samples of {GOLDEN} is {report.largest_departure:.2e} (sample {int(np.argmax(departures))}), the limit "
            f"{limit:.0e}. "
            "Do not use its embeddings here; try another ONNX Runtime or device, or export at a higher precision."
        )
    return report


def verify_files(bundle: Bundle, track: Track = silent) -> None:
    """Compare the hash of every listed file, and refuse files that are not listed.

    Raises:
        ArtifactError: names what is changed, missing, not listed, or a link out of the bundle.
    """
    problems = [f"{name} is not listed in {SUMS}" for name in files_below(bundle.folder) if name not in bundle.sums]
    for name in track(list(bundle.sums), "Hashing", len(bundle.sums)):
        try:
            path = bundle.file(name)
        except ArtifactError as error:
            problems.append(str(error))
            continue
        if not bundle.verify and sha256_of(path) != bundle.sums[name]:
            problems.append(f"{path} is not the file that was exported: its SHA-256 differs.")
    if problems:
        lines = "\n  ".join(first_lines(problems))
        raise ArtifactError(f"{bundle.folder} is not the bundle that was exported:\n  {lines}")


def cosine_departures(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """1 - cosine of each pair of rows, float64 (N,); NaN where a row is zero or not finite."""
    # Half the squared distance of the unit vectors: 1 - cosine loses every digit below 1e-16, this does not.
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (_float64(expected), _float64(found)))
    return 0.5 * ((a - b) ** 2).sum(axis=1)


def _float64(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows, dtype=np.float64)


def _replay(extractor: Extractor, golden: Golden) -> np.ndarray:
    metadata = extractor.metadata
    images = {name: golden.inputs[name] for name in metadata.modalities}
    mask = [golden.inputs[name] for name in metadata.names(MODALITY_MASK)]
    cameras = [golden.inputs[name] for name in metadata.names(CAMERA)]
    return extractor.embed(images, mask[0] if mask else None, cameras[0] if cameras else None)
