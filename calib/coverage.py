"""Coverage of a set of calibration images: identities, cameras, darkness and missing images."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ..common.foreign_text import escaped
from ..common.records import Report
from ..runtime.data.sample import UNKNOWN
from .appearance import swapped
from .images import CalibrationImages
from .sampling import missing_sensors


@dataclass(frozen=True)
class Coverage(Report):
    """Counts of samples.

    Attributes:
        source: where they are from, in words.
        samples, offered: chosen, and there to choose from.
        identities: different ones; 0 where they are not known.
        cameras: samples by camera ("unknown" for those without).
        dark: samples whose RGB image is dark.
        missing: samples without its image, by sensor of the model.
        strange: images that look as if another sensor took them, by sensor.
        sha256: of the list of images.
    """

    source: str
    samples: int
    offered: int
    identities: int
    cameras: dict[str, int]
    dark: int
    missing: dict[str, int]
    strange: dict[str, int]
    sha256: str

    def __str__(self) -> str:
        cameras = ", ".join(f"{name}: {count}" for name, count in self.cameras.items())
        missing = ", ".join(f"{name} {count}" for name, count in self.missing.items() if count)
        rows = (
            ("images", f"{self.samples} of {self.offered} samples, {escaped(self.source)}, list {self.sha256[:16]}"),
            ("identities", str(self.identities) if self.identities else "unknown"),
            ("cameras", cameras),
            ("dark scenes", f"{self.dark} ({self.dark / self.samples:.0%})"),
            ("missing images", missing or "none"),
        )
        return "\n".join(f"{head:<16}{text}" for head, text in rows)


def coverage_of(images: CalibrationImages) -> Coverage:
    """Count the samples."""
    identities = {image.identity for image in images.images} - {UNKNOWN}
    cameras = Counter(image.camera for image in images.images)
    missing = missing_sensors(images.images)
    return Coverage(
        source=images.source,
        samples=len(images.images),
        offered=images.offered,
        identities=len(identities),
        cameras={"unknown" if camera < 0 else str(camera): count for camera, count in sorted(cameras.items())},
        dark=sum(bool(look.dark) for look in images.looks),
        missing={modality: missing.get(modality, 0) for modality in images.modalities},
        strange=swapped(images.looks),
        sha256=images.sha256,
    )
