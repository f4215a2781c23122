"""Writing of a drawn attribute set to disk, in the folders, file names and annotation format of the real one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..common.files.atomic import staged_folder
from ..common.foreign_text import escaped
from ..common.progress import Track, silent
from ..common.records import Report
from . import settings
from .attributes.annotation_files import require_packages, write_annotation
from .attributes.attribute_sets import PARTS, PlannedSet, plan_set
from .attributes.image_names import image_names
from .attributes.portrait import draw_portrait
from .drawn_folder import is_drawn, write_marks
from .part_map import ATTRIBUTE_STREAM, IDENTITY_STREAM, generator

DEFAULT_IMAGES, DEFAULT_NOISE = 2000, 0.05


@dataclass(frozen=True)
class DrawnAttributes(Report):
    """Result of drawing an attribute set; `train`, `val` and `test` count images, the shares of noise wrong labels."""

    dataset: str
    path: str
    seed: int
    version: int
    images: int
    attributes: int
    train: int
    val: int
    test: int
    label_noise: float
    test_label_noise: float

    def __str__(self) -> str:
        head = (
            f"{self.dataset}, drawn with seed {self.seed}, in {escaped(self.path)}: {self.attributes} labels per image"
        )
        counts = zip(PARTS, (self.train, self.val, self.test), strict=True)
        return "\n".join([head, f"{'part':<8} {'images':>8}", *(f"{part:<8} {count:>8}" for part, count in counts)])


def draw_attribute_set(
    out: str | os.PathLike[str],
    name: str,
    *,
    seed: int = 0,
    images: int = DEFAULT_IMAGES,
    label_noise: float = DEFAULT_NOISE,
    test_label_noise: float = 0.0,
    overwrite: bool = False,
    track: Track = silent,
) -> DrawnAttributes:
    """Draw an attribute set into the new folder `out`, which can then be read as the data folder of `name`.

    `images` are divided into parts in the published proportions. The noise is the share of wrong labels, of training
    and of validation and test, see `plan_set`. The same arguments draw the same bytes (with the same Pillow). Nothing
    is left behind on failure.

    Raises:
        InputError: unknown name, numbers out of range, `out` exists and `overwrite` is false.
        SetupError: SciPy is missing for a MATLAB file; no room or no permission.
    """
    planned = plan_set(name, seed=seed, images=images, label_noise=label_noise, test_label_noise=test_label_noise)
    require_packages(name)
    report = DrawnAttributes(
        dataset=name,
        path=str(out),
        seed=seed,
        version=settings.VERSION,
        images=images,
        attributes=len(planned.attributes),
        **{part: len(rows) for part, rows in planned.parts.items()},
        label_noise=label_noise,
        test_label_noise=test_label_noise,
    )
    folder, names = image_names(name, images)
    with staged_folder(out, overwrite=overwrite, replaceable=is_drawn) as stage:
        (stage / folder).mkdir()
        for row, file in enumerate(track(names, f"Drawing {planned.kind.title}", len(names))):
            _draw_image(planned, row, stage / folder / file)
        write_annotation(planned, stage)
        content = f"{images} persons with {report.attributes} attributes."
        write_marks(stage, planned.kind.title, content, report, seed=seed, version=settings.VERSION)
    return report


def _draw_image(planned: PlannedSet, row: int, path: Path) -> None:
    number = planned.kind.number
    rng = generator(planned.seed, ATTRIBUTE_STREAM, number, row)
    look = generator(planned.seed, IDENTITY_STREAM, number, int(planned.identities[row]), 1)
    image = Image.fromarray(draw_portrait(rng, planned.seed, planned.persons[row], look))
    if path.suffix == ".png":
        image.save(path, compress_level=1, compress_type=3)  # run lengths: fastest, and no larger on noise
    else:
        image.save(path, quality=int(rng.integers(*settings.ATTRIBUTE_QUALITY)))
