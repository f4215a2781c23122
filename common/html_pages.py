"""Self-contained HTML pages from jinja2 templates: foreign text escaped, pictures embedded, no script."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from ..errors import InputError
from .foreign_text import shown_message

#: Largest page, so that it can be sent by mail.
MOST_BYTES = 5_000_000
#: JPEG qualities tried in turn for the photographs of a page that would be too large.
QUALITIES = (92, 84, 74, 62, 50)
#: Pictures are drawn at 150 dots per inch, and shown at 96.
SCALE = 0.64
#: Base page, macros and style that all pages share.
SHARED = Path(__file__).parent / "pages"


def page_text(folder: Path, advice: str, **values: object) -> str:
    """Render `page.html` of a folder of templates with its photographs in the best quality that fits MOST_BYTES.

    Args:
        folder: templates; those of SHARED are available to them.
        advice: ends the error message; says how to make the page smaller.
        values: variables of the template.

    Raises:
        InputError: too large even with photographs as JPEG of the lowest quality.
    """
    template = _environment(folder).get_template("page.html")
    for quality in (None, *QUALITIES):
        text = template.render(quality=quality, **values)
        if len(text.encode()) < MOST_BYTES:
            return text
    raise InputError(f"The pictures are too large for a page of {MOST_BYTES / 1e6:.0f} MB. {advice}")


def image_tag(png: bytes, alt: str, quality: int | None = None, scale: float = SCALE) -> Markup:
    """Embed a PNG at `scale`, as JPEG if `quality` is given."""
    kind = "png"
    with Image.open(io.BytesIO(png)) as image:
        width, height = (round(side * scale) for side in image.size)
        if quality is not None:
            kind, file = "jpeg", io.BytesIO()
            # without `optimize`: Pillow's encoder then needs a buffer that noise overflows
            image.convert("RGB").save(file, "JPEG", quality=quality, subsampling=0)
            png = file.getvalue()
    source = f"data:image/{kind};base64,{base64.b64encode(png).decode()}"
    tag = Markup('<img src="{}" width="{}" height="{}" alt="{}">')
    return tag.format(Markup(source), width, height, shown_message(alt))


def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else shown_message(value),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["image"] = image_tag
    return environment
