"""Warnings where a checkpoint meets images or a benchmark it was not trained for."""

from __future__ import annotations

from pathlib import Path

import pytest
from mambapro.train.models.mambapro.model_config import MambaProConfig
from mambapro.train.models.suited import warn_of_other_benchmark

UPRIGHT, LYING = (256, 128), (128, 256)


def warned(caplog: pytest.LogCaptureFixture, size: tuple[int, int], cameras: int, identities: int, **more: str) -> str:
    """What is said of a model."""
    config = MambaProConfig(image_size=size, cameras=cameras, identities=identities, sie_camera=cameras > 0)
    caplog.clear()
    warn_of_other_benchmark(config, Path("x.pth"), more.get("trained_on"), more.get("used_on"))
    return caplog.text


class TestWarnOfOtherBenchmark:
    @pytest.mark.parametrize(
        ("size", "cameras", "identities", "title", "right"),
        (
            (LYING, 4, 171, "RGBNT201", "256x128"),
            (UPRIGHT, 8, 50, "RGBNT100", "128x256"),
            (UPRIGHT, 8, 155, "MSVR310", "128x256"),
            # of other data with as many cameras
            ((64, 128), 4, 60, "RGBNT201", "128x64"),
            ((128, 64), 8, 60, "RGBNT100 or MSVR310", "64x128"),
        ),
    )
    def test_swapped_sides(
        self,
        size: tuple[int, int],
        cameras: int,
        identities: int,
        title: str,
        right: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Height and width the wrong way round are told, with the benchmark and the right order."""
        text = warned(caplog, size, cameras, identities)

        assert title in text and f"read with {size[0]}x{size[1]}" in text and f"--image-size {right}" in text
        assert warned(caplog, size[::-1], cameras, identities) == ""

    def test_another_benchmark(self, caplog: pytest.LogCaptureFixture) -> None:
        """Identities, cameras or the file's own word against the benchmark in use; both are named."""
        text = warned(caplog, LYING, 8, 50, used_on="msvr310")
        assert "50 identities and 8 cameras, as RGBNT100" in text and "used on MSVR310 (155" in text
        text = warned(caplog, UPRIGHT, 4, 60, used_on="rgbnt100")
        assert "4 cameras, as RGBNT201" in text and "used on RGBNT100" in text
        text = warned(caplog, UPRIGHT, 4, 60, trained_on="rgbnt201", used_on="msvr310")
        assert "was trained on RGBNT201" in text and "used on MSVR310" in text

    @pytest.mark.parametrize(
        ("size", "cameras", "identities", "used_on"),
        (
            (UPRIGHT, 4, 171, "rgbnt201"),
            (LYING, 8, 60, "msvr310"),
            (LYING, 3, 60, "rgbnt201"),
            ((64, 64), 4, 9, "rgbnt201"),
        ),
    )
    def test_what_fits_or_cannot_be_told(
        self, size: tuple[int, int], cameras: int, identities: int, used_on: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nothing is said of a model on its own benchmark, or of one that is of none."""
        assert warned(caplog, size, cameras, identities, used_on=used_on) == ""
