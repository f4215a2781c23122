"""Reproducible choice of calibration images, never from the test set."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..common.files.atomic import sha256_of
from ..common.foreign_text import escaped
from ..common.progress import Track, silent
from ..errors import InputError
from ..runtime.data.image_files import SUFFIXES
from ..runtime.data.modalities import MODALITIES, NIR, RGB, TIR
from ..runtime.data.pairing import paired_files
from ..runtime.data.preprocess import Preprocessing
from ..runtime.data.range_survey import survey, tell_ranges
from ..runtime.data.readers.benchmarks import read_benchmark
from ..runtime.data.readers.listing import shown
from ..runtime.data.sample import UNKNOWN, Benchmark, ImageSource, Sample
from ..runtime.extraction import camera_from_name
from .appearance import Look, look_at, swapped
from .sampling import balanced

log = logging.getLogger("mambapro")

DEFAULT_IMAGES = 256
FEWEST, ENOUGH = 8, 128
#: Samples whose darkness is measured before the choice, as a multiple of the number that is chosen.
_POOL = 4
#: Share of images that may look swapped without a warning.
_STRANGE = 0.05


@dataclass(frozen=True)
class CalibrationImages:
    """Chosen calibration images with their statistics.

    Attributes:
        images: in the order that they are run.
        looks: appearance of each sample.
        hashes: SHA-256 of each image's files, by modality; None where it is missing.
        offered: how many samples there were to choose from.
        source: where they are from, in words.
        modalities: of the model.
    """

    images: tuple[Sample, ...]
    looks: tuple[Look, ...]
    hashes: tuple[tuple[str | None, ...], ...]
    offered: int
    source: str
    modalities: tuple[str, ...] = MODALITIES

    @cached_property
    def sha256(self) -> str:
        """Hash of the list: content, box and camera of every sample, in order. Names and places do not count."""
        lines = (
            f"{image.camera} "
            + " ".join(f"{sha}{_box(image.sources.get(m))}" for sha, m in zip(hashes, MODALITIES, strict=True))
            for image, hashes in zip(self.images, self.hashes, strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def listing(self) -> list[dict[str, object]]:
        """Return the list for a JSON file: name, identity, camera, and of each sensor the hash of its file."""
        return [
            {
                "name": image.name,
                "identity": image.identity,
                "camera": image.camera,
                "sha256": dict(zip(MODALITIES, hashes, strict=True)),
            }
            for image, hashes in zip(self.images, self.hashes, strict=True)
        ]


def _box(source: ImageSource | None) -> str:
    return f"@{source.box}" if source is not None and source.box is not None else ""


def calibration_images(
    folder: str | os.PathLike[str],
    preprocessing: Preprocessing,
    dataset: str | None = None,
    data: str | os.PathLike[str] | None = None,
    *,
    count: int = DEFAULT_IMAGES,
    seed: int = 0,
    camera_pattern: str | None = None,
    first_camera: int = 0,
    insist: bool = False,
    unpaired: bool = False,
    modalities: Sequence[str] = MODALITIES,
    track: Track = silent,
) -> CalibrationImages:
    """Choose `count` samples for calibration: from a folder, or from a benchmark's training split.

    Args:
        folder: holds rgb/, nir/ and tir/ (one at least) with equal file names for one sample; or is the root of the
            benchmark `dataset`; or holds the images themselves for a model of RGB alone.
        preprocessing: the model's.
        dataset: name of a benchmark.
        data: root of `dataset` where `folder` holds images: query and gallery images are not taken.
        count: samples to choose; all where there are fewer.
        seed: of the choice.
        camera_pattern, first_camera: camera numbers in the file names of a folder, see `camera_from_name`.
        insist: take query and gallery images too, with a warning.
        unpaired: take sensors' folders whose names have nothing in common, see `paired_files`.
        modalities: of the model.
        track: shows the hashing.

    Raises:
        InputError: nothing to choose from, fewer than FEWEST samples, test images among them, an unreadable image.
    """
    if count < FEWEST:
        raise InputError(f"Calibration needs at least {FEWEST} images, not {count}; {ENOUGH} or more are better.")
    folder = Path(folder)
    if data is not None and dataset is None:
        raise InputError(f"{escaped(data)} needs the name of the benchmark that it holds (--dataset).")
    if dataset is not None and not holds_images(folder, data):
        offered = _of_training(read_benchmark(dataset, folder), insist)
        source = f"training split of {dataset}"
    else:
        offered = _of_folder(folder, modalities, camera_pattern, first_camera, unpaired)
        source = "folder"
        if dataset is not None and data is not None:
            _refuse_tested(offered, read_benchmark(dataset, data, test_only=True), insist)
    _require_enough(len(offered), folder)
    pool = balanced(offered, [None] * len(offered), min(count * _POOL, len(offered)), seed)
    candidates = [offered[i] for i in pool]
    # before they are looked at: a range that does not fit makes images unusable one by one
    tell_ranges({modality: survey(_paths(candidates, modality)) for modality in MODALITIES}, preprocessing)
    looks = [look_at(image, preprocessing) for image in track(candidates, "Looking at images", len(candidates))]
    chosen = balanced(candidates, [look.dark for look in looks], min(count, len(candidates)), seed)
    images = tuple(candidates[i] for i in chosen)
    hashes = tuple(sample_hashes(image) for image in track(images, "Hashing images", len(images)))
    if len(images) < ENOUGH:
        log.warning(
            "Only %d calibration images; %d or more are better: rare values decide the ranges.", len(images), ENOUGH
        )
    seen = tuple(looks[i] for i in chosen)
    _warn_of_swapped(seen)
    return CalibrationImages(images, seen, hashes, len(offered), source, tuple(modalities))


def require_samples(
    folder: Path,
    dataset: str | None,
    unpaired: bool = False,
    modalities: Sequence[str] = MODALITIES,
    data: str | os.PathLike[str] | None = None,
) -> None:
    """Check that there are enough samples, without opening an image; arguments as for `calibration_images`.

    Raises:
        InputError: nothing to choose from, or fewer than FEWEST samples.
    """
    if dataset is not None and not holds_images(folder, data):
        _require_enough(len(read_benchmark(dataset, folder).train), folder)
    else:
        _require_enough(len(_of_folder(folder, modalities, None, 0, unpaired)), folder)


def _require_enough(count: int, folder: Path) -> None:
    if count < FEWEST:
        raise InputError(
            f"{escaped(folder)} holds {count} sample(s) to calibrate with; at least {FEWEST} are needed, {ENOUGH} or "
            "more are better. A range seen on a handful of images is not the range of the next one."
        )


def _warn_of_swapped(looks: tuple[Look, ...]) -> None:
    counts = swapped(looks)
    what = {RGB: "RGB images are gray by daylight", NIR: "NIR images are in color", TIR: "TIR images are in color"}
    strange = [f"{count} of {len(looks)} {what[m]}" for m, count in counts.items() if count > _STRANGE * len(looks)]
    if strange:
        log.warning("%s. Were the sensors' folders swapped?", "; ".join(strange))


def _of_training(benchmark: Benchmark, insist: bool) -> list[Sample]:
    """Return the training split; refuse identities of query and gallery."""
    tested = {sample.identity for sample in (*benchmark.query, *benchmark.gallery)} - {UNKNOWN}
    both = sorted({sample.identity for sample in benchmark.train} & tested)
    if both:
        _complain(
            f"{len(both)} identities of the training split of {benchmark.name} are in its query or gallery as well: "
            f"{shown([str(identity) for identity in both])}.",
            insist,
        )
    return list(benchmark.train)


def _complain(what: str, insist: bool) -> None:
    if not insist:
        raise InputError(
            f"{what} Scales chosen on test images make the accuracy measured on them worthless. Give other images, or "
            "insist (--allow-test-images) where no accuracy will be measured on that benchmark."
        )
    log.warning(
        "%s Going on, since it was insisted on: accuracy on that benchmark proves nothing for this model.", what
    )


def _is_plain(folder: Path) -> bool:
    return any((folder / modality).is_dir() for modality in MODALITIES)


def holds_images(folder: Path, data: str | os.PathLike[str] | None) -> bool:
    """Return True if a folder is one of images, not the root of a benchmark; `data` is that root where it is known."""
    elsewhere = data is not None and Path(data).resolve() != folder.resolve()
    return _is_plain(folder) or (elsewhere and is_flat(folder))


def is_flat(folder: Path) -> bool:
    """Return True if a folder has no folders of sensors and holds images itself."""
    return (
        not _is_plain(folder) and folder.is_dir() and any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())
    )


def _of_folder(
    folder: Path, modalities: Sequence[str], pattern: str | None, first: int, unpaired: bool = False
) -> list[Sample]:
    folders = {modality: folder / modality for modality in MODALITIES if (folder / modality).is_dir()}
    if tuple(modalities) == (RGB,) and is_flat(folder):
        folders = {RGB: folder}
    if not folders:
        raise InputError(
            f"{escaped(folder)} {'has no folder' if folder.is_dir() else 'is no folder with'} rgb, nir or "
            "tir. Calibration "
            "reads rgb/, nir/ and tir/ with the same file name for the same sample, or a benchmark that is named "
            "(--dataset)."
        )
    paired = paired_files(folders, unpaired)
    camera = None if pattern is None else camera_from_name(pattern, first)
    nothing = (None,) * len(paired.names)
    return [
        Sample(
            name,
            {m: ImageSource(path) for m in MODALITIES if (path := paired.files.get(m, nothing)[i]) is not None},
            camera=UNKNOWN if camera is None else camera(name),
        )
        for i, name in enumerate(paired.names)
    ]


def _paths(images: Sequence[Sample], modality: str) -> list[Path]:
    return [image.sources[modality].path for image in images if modality in image.sources]


def _refuse_tested(offered: Sequence[Sample], benchmark: Benchmark, insist: bool) -> None:
    """Refuse query and gallery images, by path and by content."""
    tested = _files((*benchmark.query, *benchmark.gallery))
    sizes = {path.stat().st_size for path in tested}
    mine = _files(offered)
    same = [path for path in mine if path in tested]
    alike = [path for path in mine - tested if path.stat().st_size in sizes]
    if alike:
        wanted = {path.stat().st_size for path in alike}
        content = {sha256_of(path) for path in tested if path.stat().st_size in wanted}
        same += [path for path in alike if sha256_of(path) in content]
    if same:
        _complain(
            f"{len(same)} of the calibration images are query or gallery images of {benchmark.name}: "
            f"{shown(sorted(str(path) for path in same))}.",
            insist,
        )


def _files(samples: Sequence[Sample]) -> set[Path]:
    return {source.path.resolve() for sample in samples for source in sample.sources.values()}


def sample_hashes(sample: Sample) -> tuple[str | None, ...]:
    """Return the SHA-256 of a sample's files in the order of MODALITIES; None where the image is missing."""
    hashes = {path: sha256_of(path) for path in {source.path for source in sample.sources.values()}}
    return tuple(hashes[sample.sources[m].path] if m in sample.sources else None for m in MODALITIES)
