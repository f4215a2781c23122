"""One HTML page with every picture inside: no other file, no script, nothing from a network."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ....common.foreign_text import in_html
from ....errors import InputError
from ....runtime.data.image_files import image_size, open_image

#: A page is never larger, so that it can be sent by mail.
MOST_BYTES = 5_000_000
#: Pictures are drawn at 150 dots per inch, and shown at 96.
_SCALE = 0.64
#: Photographs go into a page that would be too large as JPEG, with the first of these qualities that fits.
_QUALITIES = (92, 84, 74, 62, 50)

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem; color: #1a1a1a; background: #fff;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .75rem; }
h2 { font-size: 1.2rem; margin: 3rem 0 .75rem; padding-top: 1.5rem; border-top: 1px solid #d5d5d5; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption { margin-top: .75rem; max-width: 46rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.25rem; margin: 1rem 0 0; }
dt { color: #5a5a5a; }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1.25rem 0 0; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: #5a5a5a; padding-bottom: .4rem; }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; white-space: nowrap; }
thead th { border-bottom: 1px solid #8a8a8a; }
tbody th, .text { text-align: left; font-weight: normal; }
""".strip()

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Table:
    """The numbers of a picture as text; the first cell of a row is its head."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Picture:
    """A picture and what is said about it. `name` is its file's; `photo`: it shows photographs."""

    name: str
    png: bytes
    heading: str
    alt: str
    caption: str
    table: Table
    photo: bool = False


def page_text(title: str, facts: Sequence[tuple[str, str]], pictures: Sequence[Picture]) -> str:
    """The page as HTML; pictures stand in it as data URIs.

    Raises:
        InputError: too much for one page even as JPEG.
    """

    def page(quality: int | None) -> str:
        listed = "\n".join(f"<dt>{in_html(name)}</dt><dd>{in_html(value)}</dd>" for name, value in facts)
        figures = "\n".join(_figure(picture, quality) for picture in pictures)
        return document(title, _STYLE, f"<h1>{in_html(title)}</h1>\n<dl>\n{listed}\n</dl>\n{figures}")

    return fitting(page, "Give fewer --rows or fewer --ckpt, or leave pictures out with --only.")


def fitting(page: Callable[[int | None], str], advice: str) -> str:
    """The best of `page(quality)` that fits into MOST_BYTES; None leaves photographs as they are.

    Raises:
        InputError: too much even as JPEG; `advice` says what to leave out.
    """
    for quality in (None, *_QUALITIES):
        text = page(quality)
        if len(text.encode()) < MOST_BYTES:
            return text
    raise InputError(f"The pictures are too large for a page of {MOST_BYTES / 1e6:.0f} MB. {advice}")


def document(title: str, style: str, body: str) -> str:
    """A whole page around HTML that is written out already; a browser loads nothing for it from anywhere."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{in_html(title)}</title>
<style>
{style}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _figure(picture: Picture, quality: int | None) -> str:
    return f"""<section>
<h2>{in_html(picture.heading)}</h2>
<figure>
{image_tag(picture.png, picture.alt, picture.photo, quality)}
<figcaption>{in_html(picture.caption)}</figcaption>
</figure>
{_table(picture.table)}
</section>"""


def image_tag(png: bytes, alt: str, photo: bool, quality: int | None, scale: float = _SCALE) -> str:
    """A PNG inside the page, shown at `scale`; as JPEG where it is a photograph and `quality` is given."""
    kind, data, (width, height) = _encoded(png, photo, quality, scale)
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" width="{width}" height="{height}" alt="{in_html(alt)}">'


def _encoded(png: bytes, photo: bool, quality: int | None, scale: float) -> tuple[str, bytes, tuple[int, int]]:
    """(kind, bytes, width and height in CSS pixels)."""
    width, height = image_size(png)
    size = (round(width * scale), round(height * scale))
    if quality is None or not photo:
        return "png", png, size
    file = io.BytesIO()
    # without `optimize`: for it Pillow's encoder needs a buffer that noise overflows
    open_image(png).convert("RGB").save(file, "JPEG", quality=quality, subsampling=0)
    return "jpeg", file.getvalue(), size


def _table(table: Table) -> str:
    kinds = [' class="text"' if any(char.isalpha() for char in cell) else "" for cell in table.rows[0]]
    head = "".join(
        f'<th scope="col"{kind}>{in_html(cell)}</th>' for cell, kind in zip(table.header, kinds, strict=True)
    )
    rows = "\n".join(_table_row(row, kinds) for row in table.rows)
    return f"""<div class="wide"><table>
<caption>{in_html(table.caption)}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>"""


def _table_row(row: Sequence[str], kinds: Sequence[str]) -> str:
    cells = "".join(f"<td{kind}>{in_html(cell)}</td>" for cell, kind in zip(row[1:], kinds[1:], strict=True))
    return f'<tr><th scope="row">{in_html(row[0])}</th>{cells}</tr>'
