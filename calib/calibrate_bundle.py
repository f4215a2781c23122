"""Calibration of a bundle: a table of scales and the list of its images as files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.files.atomic import json_text, write_together
from ..common.files.targets import require_free, require_outside
from ..common.foreign_text import escaped
from ..common.progress import Track, silent
from ..errors import InputError
from ..plugins.compile import cache_folder
from ..runtime.bundle.bundle import Bundle
from ..runtime.bundle.checksums import MODEL
from ..runtime.suited import warn_of_other_benchmark
from .calibrate import Calibration, CalibrationOptions, calibrate
from .images import DEFAULT_IMAGES, CalibrationImages, calibration_images
from .thresholds import AUTO, DEFAULT_PERCENTILE

LIST_SCHEMA = "mambapro.calibration-images/1"


@dataclass(frozen=True)
class CalibrationReport:
    """Calibration and the paths of its files."""

    out: str
    images: str
    calibration: Calibration

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"out": self.out, "images": self.images, **self.calibration.to_json()}

    def __str__(self) -> str:
        sha = self.calibration.table.sha256[:16]
        out, images = escaped(self.out), escaped(self.images)
        return f"{self.calibration}\n\nscales in {out} (table {sha}), images listed in {images}"


def run_calibration(
    bundle: str | os.PathLike[str],
    out: Path | None,
    calib: str | os.PathLike[str],
    *,
    dataset: str | None = None,
    data: Path | None = None,
    images: int = DEFAULT_IMAGES,
    algorithm: str = AUTO,
    percentile: float = DEFAULT_PERCENTILE,
    no_smooth: bool = False,
    camera_pattern: str | None = None,
    first_camera: int = 0,
    allow_test_images: bool = False,
    unpaired: bool = False,
    seed: int = 0,
    cache: Path | None = None,
    overwrite: bool = False,
    track: Track = silent,
) -> CalibrationReport:
    """Calibrate a bundle and write `out` (default: <bundle>-scales.json beside it) and <out>.images.json.

    `cache` None is the user's cache folder. The other arguments are those of `calibration_images` and
    CalibrationOptions.

    Raises:
        InputError, SetupError, ArtifactError: see `calibration_images` and `calibrate`; `out` exists.
    """
    opened = Bundle.open(bundle)
    metadata = opened.metadata.ranged()
    target = out or beside(opened.folder, "-scales.json")
    listing = target.with_name(f"{target.name.removesuffix('.json')}.images.json")
    if target.suffix != ".json":
        raise InputError(f"A table of scales is a .json file, not {target}. Choose another --out.")
    for path in (target, listing):
        require_free(path, overwrite)
    kept = cache or cache_folder() / "calibration"
    require_outside(kept)
    warn_of_other_benchmark(metadata, dataset)
    options = CalibrationOptions(algorithm, percentile, not no_smooth)
    chosen = calibration_images(
        calib,
        metadata.preprocessing,
        dataset,
        data,
        count=images,
        seed=seed,
        camera_pattern=camera_pattern,
        first_camera=first_camera,
        insist=allow_test_images,
        unpaired=unpaired,
        modalities=metadata.modalities,
        track=track,
    )
    with opened.named_copy(MODEL) as model:
        found = calibrate(model, metadata, chosen, options, kept, track)
    # the table means something without the list, the list nothing without the table
    texts = {target: json_text(found.table.to_json()), listing: _listing(chosen)}
    write_together({path: _writer(text) for path, text in texts.items()}, overwrite=overwrite)
    return CalibrationReport(str(target), str(listing), found)


def beside(bundle: Path, ending: str) -> Path:
    """Return a path beside a bundle, of its name without `.mambapro`; m.v1 and m.v2 are two names."""
    folder = bundle.absolute()
    return folder.with_name(folder.name.removesuffix(".mambapro") + ending)


def _writer(text: str) -> Callable[[Path], Any]:
    return lambda path: path.write_text(text, encoding="utf-8")


def _listing(images: CalibrationImages) -> str:
    return json_text({"schema": LIST_SCHEMA, "sha256": images.sha256, "images": images.listing()})
