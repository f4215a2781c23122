"""mambapro find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..options.images import image_options
from ..options.shared import PATH, json_option, overwrite_option, run_options
from ..terminal.console import emit, needs


@click.command()
@click.argument("records", type=PATH)
@click.option("--where", help="Condition, such as 'backpack and not hat' or '\"short sleeve\" > 0.7 or skirt'.")
@click.option("--like", help="Crop to compare with: an RGB image, or a record by name or number.")
@click.option("--bundle", type=PATH, help="Embeds the image of --like: the bundle that wrote the records.")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Hits to show at most.")
@click.option("--show", type=PATH, help="HTML page of the hits to write.")
@run_options
@overwrite_option
@image_options
@json_option
def find(
    records: Path,
    where: str | None,
    like: str | None,
    bundle: Path | None,
    top: int,
    show: Path | None,
    running: dict[str, Any],
    overwrite: bool,
    as_json: bool,
) -> None:
    """Search crops by their attributes and by likeness.

    RECORDS is a file of `mambapro extract --attributes` or `mambapro attributes`. A label alone is true where it is
    assigned, with <, <=, > or >= where its probability is; `and`, `or`, `not` and parentheses combine them, and labels
    with spaces are quoted. Records without an RGB image fulfill no condition. With --like those that do are ranked by
    the cosine of their embeddings, else by how certain they are.
    """
    from ...common.files.atomic import write_atomically
    from ...common.files.targets import require_free
    from ...runtime.extractor import Extractor
    from ...runtime.search import find as search

    if show is not None:
        with needs("analysis"):
            from ...runtime.records.attribute_page import AttributePage

        require_free(show, overwrite)
    content = search.read_for(records, where, like)
    row = None if like is None else search.row_of(content, like)
    if bundle is not None and (like is None or row is not None):
        raise click.UsageError("--bundle embeds an image of --like. Leave it out.")
    if where is not None:
        search.parse_condition(where, content.labels or ())
    query = None if row is None else search.query_of(content, row)
    if like is not None and query is None:
        if bundle is None:
            raise click.UsageError(f"{like!r} is no record. For an image, give --bundle.")
        with Extractor(bundle, **running) as extractor:
            query = search.query_image(content, like, extractor)
    report = search.find_records(content, where, query, top, like)
    if show is not None:
        asked = tuple((name, text) for name, text in (("where", where), ("like", like)) if text is not None)
        page = AttributePage(show, f"Found in {records.name}", (*asked, ("records that fit", str(report.matching))))
        search.draw_hits(page, report, content, query, None if like is None else Path(like))
        write_atomically(show, lambda path: path.write_text(page.text(), encoding="utf-8"), overwrite=overwrite)
        report = replace(report, page=str(show))
    emit(report, as_json)
