"""Options of every command that reads images: the range of 16-bit values, and limits of decoding."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import click

from .shared import all_of

SENSORS = ("rgb", "nir", "tir")


class SixteenBitRange(click.ParamType):
    """Parameter type LOW:HIGH of all sensors, or SENSOR=LOW:HIGH."""

    name = "[SENSOR=]LOW:HIGH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, tuple[int, int]]:
        """Convert "tir=7000:9000" to {"tir": (7000, 9000)}."""
        if isinstance(value, dict):
            return value
        match = re.fullmatch(r"(?:([a-z]+)=)?([0-9]{1,5}):([0-9]{1,5})", str(value))
        if match is None or match[1] not in (None, *SENSORS) or not int(match[2]) < int(match[3]) <= 65535:
            self.fail(
                f"{value!r} is no range of 16-bit values; write 0 <= LOW < HIGH <= 65535 as LOW:HIGH, or for one "
                f"sensor ({', '.join(SENSORS)}) such as tir=7000:9000.",
                param,
                ctx,
            )
        return dict.fromkeys(SENSORS if match[1] is None else (match[1],), (int(match[2]), int(match[3])))


unpaired_option = click.option(
    "--unpaired",
    is_flag=True,
    help="Take sensors whose file names have nothing in common; each image is a sample of its own.",
)
skip_bad_option = click.option(
    "--skip-bad", is_flag=True, help="Leave out samples with an image that cannot be used, and list them."
)


def _set(ctx: click.Context, **values: Any) -> None:
    from ...runtime.data.image_settings import image_settings, set_image_settings

    before = image_settings()
    ctx.call_on_close(lambda: set_image_settings(before))
    set_image_settings(replace(before, **values))


def _set_range(ctx: click.Context, _: click.Parameter, ranges: tuple[dict[str, tuple[int, int]], ...]) -> None:
    if ranges:
        # a range of one sensor overrides that of all
        ordered = sorted(ranges, key=len, reverse=True)
        _set(ctx, sixteen_bit_range={name: value for part in ordered for name, value in part.items()})


def _set_pixels(ctx: click.Context, _: click.Parameter, pixels: int | None) -> None:
    if pixels is not None:
        _set(ctx, max_pixels=pixels)


def _set_truncated(ctx: click.Context, _: click.Parameter, accepted: bool) -> None:
    if accepted:
        _set(ctx, accept_truncated=True)


#: How images are decoded in this process, see `runtime.data.image_settings`; set back when the command is over.
image_options = all_of(
    (
        click.option(
            "--sixteen-bit-range",
            type=SixteenBitRange(),
            multiple=True,
            expose_value=False,
            callback=_set_range,
            help="Values of 16-bit images that become 0 and 255, of all sensors or of one (tir=7000:9000); repeat it. "
            "Default: the model's own, else 0:65535.",
        ),
        click.option(
            "--max-image-pixels",
            type=click.IntRange(1),
            expose_value=False,
            callback=_set_pixels,
            help="Pixels of an image at most; larger ones are refused by their header. "
            "Default: 67108864 (8192 x 8192).",
        ),
        click.option(
            "--accept-truncated",
            is_flag=True,
            expose_value=False,
            callback=_set_truncated,
            help="Take what can be decoded of damaged or cut image files; the rest is black.",
        ),
    )
)
