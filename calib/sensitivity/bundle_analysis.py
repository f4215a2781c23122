"""Sensitivity analysis of a bundle: calibration, measurement set and analysis."""

from __future__ import annotations

from pathlib import Path

from ...common.files.targets import require_outside
from ...common.progress import Track, silent
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.checksums import MODEL
from ...runtime.data.readers.benchmarks import read_benchmark
from ...runtime.suited import warn_of_other_benchmark
from ..calibrate import calibrate
from ..calibrate_bundle import beside
from ..images import DEFAULT_IMAGES, calibration_images
from .analysis import SensitivityOptions, SensitivityReport, analyse, require_pictures
from .measurement import benchmark_material, folder_material


def analyze_bundle(
    bundle: Path,
    calib: Path,
    options: SensitivityOptions | None = None,
    *,
    dataset: str | None = None,
    out: Path | None = None,
    images: int = 128,
    calib_images: int = DEFAULT_IMAGES,
    allow_test_images: bool = False,
    unpaired: bool = False,
    seed: int = 0,
    track: Track = silent,
) -> SensitivityReport:
    """Calibrate a float32 bundle, then measure what each of its layers costs in int8 and choose, see `analyse`.

    Args:
        bundle: the bundle's folder.
        calib: calibration images, or the root of `dataset`.
        options: None = the defaults.
        dataset: benchmark that `calib` holds; mAP is measured with it only, if it has identities.
        out: folder to write to and to resume in; None = <bundle>.sensitivity beside the bundle.
        images, calib_images: numbers of samples to measure on, and to calibrate with.
        allow_test_images, unpaired, seed: as for `calibration_images`.
        track: shows progress.

    Raises:
        InputError, SetupError, ArtifactError: see `calibration_images`, `calibrate` and `analyse`.
    """
    require_pictures()
    opened = Bundle.open(bundle)
    metadata = opened.metadata.ranged()
    folder = out or beside(bundle, ".sensitivity")
    require_outside(folder)
    warn_of_other_benchmark(metadata, dataset)
    chosen = calibration_images(
        calib,
        metadata.preprocessing,
        dataset,
        count=calib_images,
        seed=seed,
        insist=allow_test_images,
        unpaired=unpaired,
        modalities=metadata.modalities,
        track=track,
    )
    with opened.named_copy(MODEL) as model:
        table = calibrate(model, metadata, chosen, cache=folder / "scales", track=track).table
        benchmark = None if dataset is None else read_benchmark(dataset, calib)
        if benchmark is None or not benchmark.junk:
            # without identities there is no mAP
            material = folder_material(chosen, metadata, images, track)
        else:
            material = benchmark_material(benchmark, metadata, images, seed, track)
        return analyse(model, table, material, folder, options, track)
