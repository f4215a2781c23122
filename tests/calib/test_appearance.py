"""What counts as dark, coloured and grey."""

from __future__ import annotations

from pathlib import Path

import pytest
from mambapro.calib.appearance import COLORED, DARK, GRAY, Look, look_at, swapped
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.data.preprocess import Preprocessing
from mambapro.runtime.data.sample import ImageSource, Sample
from PIL import Image

SMALL = Preprocessing(64, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def image_of(folder: Path, *colours: tuple[int, int, int] | None) -> Sample:
    """A sample whose images have one colour each."""
    sources = {}
    for modality, colour in zip(MODALITIES, colours, strict=True):
        if colour is not None:
            sources[modality] = ImageSource(folder / f"{modality}.png")
            Image.new("RGB", (32, 64), colour).save(sources[modality].path)
    return Sample("name", sources)


def test_brightness_is_of_rgb_and_colour_of_all(tmp_path: Path) -> None:
    """Brightness is the mean of the RGB image, colour the distance of the channels, of the sensors that are there."""
    look = look_at(image_of(tmp_path, (10, 40, 70), (200, 200, 200), None), SMALL)

    assert look.brightness == pytest.approx(40.0)
    assert look.color == {"rgb": pytest.approx(60.0), "nir": pytest.approx(0.0)}


def test_without_rgb(tmp_path: Path) -> None:
    """A sample without an RGB image is neither dark nor light."""
    look = look_at(image_of(tmp_path, None, (0, 0, 0), (0, 0, 0)), SMALL)

    assert (look.brightness, look.dark) == (None, None)


def test_dark_is_below_the_limit() -> None:
    """At the limit an image is not dark."""
    assert Look(DARK - 0.1, {}).dark is True
    assert Look(DARK, {}).dark is False


@pytest.mark.parametrize(
    ("look", "strange"),
    [
        (Look(200.0, {"rgb": 0.0}), "rgb"),
        (Look(200.0, {"rgb": GRAY}), None),
        # by night RGB has no colour
        (Look(20.0, {"rgb": 0.0}), None),
        (Look(200.0, {"rgb": 90.0, "nir": COLORED + 0.1, "tir": COLORED}), "nir"),
        # what JPEG makes of grey
        (Look(200.0, {"rgb": 90.0, "nir": 5.0, "tir": 5.0}), None),
        (Look(20.0, {"rgb": 1.0, "nir": 1.0, "tir": 90.0}), "tir"),
    ],
)
def test_strange_images(look: Look, strange: str | None) -> None:
    """Grey RGB by day and colour in NIR or TIR, by day and night, are strange; nothing between the limits is."""
    assert swapped([look]) == {modality: int(modality == strange) for modality in ("rgb", "nir", "tir")}
