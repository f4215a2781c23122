"""Pictures of an attribute model with captions, alternative texts and tables."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from ....common.figures import shortened
from ....runtime.data.preprocess import Preprocessing
from ....runtime.evaluation.attributes.label_strip_picture import draw_label_strip
from ....runtime.evaluation.attributes.label_strips import LabelStrip
from .page import Picture, Table
from .plot_attribute_maps import AttributeMap, MappedImage, plot_attributes, plot_samples

_HOW = (
    "Bright patches raise the attribute's logit, uncovered ones do not or lower it; every map is scaled to its own "
    "largest value. The gradient is taken at {}. p is the probability."
)


def attributes_picture(images: Sequence[MappedImage], name: str, place: str, file: str) -> Picture:
    """Draw each attribute in the image of the test part where the model is surest of it."""
    rows = tuple((one.maps[0].attribute, one.sample.name, *_numbers(one.maps[0])) for one in images)
    return Picture(
        name=file,
        png=plot_attributes(images, f"Evidence for each attribute, {shortened(name)}"),
        heading=f"Each attribute: {name}",
        alt=f"{len(images)} pairs of an image and a gray copy, one pair for each attribute. On the copy the "
        "patches with evidence for the attribute are bright.",
        caption="Each attribute in the image, of those that have it if there are any, with the largest probability, by "
        f"{name}. {_HOW.format(place)}",
        table=Table(
            "Probabilities of the attributes in these images.",
            ("attribute", "image", "probability", "decision"),
            rows,
        ),
        photo=True,
    )


def samples_picture(images: Sequence[MappedImage], name: str, place: str, file: str) -> Picture:
    """Draw several attributes in each of some images."""
    rows = tuple((one.sample.name, found.attribute, *_numbers(found)) for one in images for found in one.maps)
    return Picture(
        name=file,
        png=plot_samples(images, f"Attributes of some images, {shortened(name)}"),
        heading=f"Some images: {name}",
        alt=f"{len(images)} rows, each with an image and gray copies on which the patches with evidence for an "
        "attribute are bright.",
        caption=f"The likeliest attributes of {len(images)} images, by {name}: those farthest above their thresholds. "
        f"{_HOW.format(place)}",
        table=Table(
            "Probabilities of the attributes shown.",
            ("image", "attribute", "probability", "decision"),
            rows,
        ),
        photo=True,
    )


def strips_picture(
    strips: Sequence[LabelStrip], name: str, preprocessing: Preprocessing, count: int, file: str
) -> Picture:
    """Draw the surest right and wrong decisions of each attribute, one below the other."""
    drawn = [draw_label_strip(strip, shortened(name), preprocessing, count) for strip in strips]
    sheet = Image.new("RGB", (drawn[0].width, sum(one.height for one in drawn)), "white")
    top = 0
    for one in drawn:
        sheet.paste(one, (0, top))
        top += one.height
    content = io.BytesIO()
    sheet.save(content, format="PNG")
    rows = tuple(
        (strip.label, *(str(n) for n in (strip.positives, strip.found, strip.negatives, strip.false)))
        for strip in strips
    )
    return Picture(
        name=file,
        png=content.getvalue(),
        heading=f"Right and wrong: {name}",
        alt=f"{len(strips)} rows, one for each attribute: images of right decisions with green frames and ticks, then "
        "images of wrong ones with dashed red frames and crosses.",
        caption=f"The surest decisions of {name} on each attribute, farthest from the threshold: right ones at the "
        "left, those of images that have the attribute first, and wrong ones at the right. Over an image stand the "
        "probability and the true label.",
        table=Table(
            "Decisions on all samples.",
            ("attribute", "have it", "of these found", "have it not", "of these assigned"),
            rows,
        ),
        photo=True,
    )


def _numbers(found: AttributeMap) -> tuple[str, str]:
    return f"{found.probability:.3f}", found.verdict
