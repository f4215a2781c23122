"""The page in a real browser: no broken picture, no message on the console, no overflow, not blank."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from mambapro.export.report.bundle_report import BundleReport
from PIL import Image

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium; none is on the PATH")

#: The page in frames of both widths; what the frames hold is measured from outside, since the page allows no script.
_WRAPPER = """<!doctype html><meta charset="utf-8"><title>measure</title>
{frames}
<pre id="found"></pre>
<script>
addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument, root = page.documentElement;
    page.querySelectorAll("details").forEach(part => part.open = true);
    return {{
      width: frame.clientWidth, scroll: root.scrollWidth, height: root.scrollHeight,
      broken: [...page.images].filter(image => !image.complete || !image.naturalWidth).length,
      images: page.images.length,
      cut: [...page.querySelectorAll("h1, h2, h3, p, li, dd, caption span, summary")]
        .filter(part => part.getBoundingClientRect().right > root.clientWidth + 1).map(part => part.textContent),
      clear: getComputedStyle(page.querySelector(".answer")).backgroundColor,
    }};
  }});
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script>
"""


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the browser without a window, with a profile of its own."""
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--v=0", *arguments,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def test_it_fits_and_nothing_is_broken(reported: tuple[BundleReport, Path], tmp_path: Path) -> None:
    """At 1200 and at 400 pixels every picture decodes, no text is cut off, and only tables scroll, in their frames."""
    page = reported[1].read_text(encoding="utf-8")
    widths = (1200, 400)
    frames = "".join(f'<iframe width="{width}" height="800" srcdoc="{html.escape(page)}"></iframe>' for width in widths)
    wrapper = tmp_path / "measure.html"
    wrapper.write_text(_WRAPPER.format(frames=frames), encoding="utf-8")

    done = chromium(tmp_path, "--dump-dom", f"file://{wrapper}")

    dumped = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert dumped is not None, done.stdout[-2000:]
    found = json.loads(html.unescape(dumped[1]))
    assert [case["width"] for case in found] == list(widths)
    for case in found:
        assert case["broken"] == 0 and case["images"] == 4
        assert case["scroll"] <= case["width"] and case["cut"] == []
        assert case["clear"] not in ("", "rgba(0, 0, 0, 0)"), "the style is not applied"
    assert found[1]["height"] > found[0]["height"]
    assert "CONSOLE" not in done.stderr, done.stderr


def test_it_is_not_blank(reported: tuple[BundleReport, Path], tmp_path: Path) -> None:
    """The first screen holds text and the green of a yes; the page is loaded as it is, under its own policy."""
    shot = tmp_path / "shot.png"

    done = chromium(tmp_path, "--window-size=1200,900", f"--screenshot={shot}", reported[1].as_uri())

    with Image.open(shot) as image:
        colours = image.convert("RGB").getcolors(1 << 24)
    assert colours is not None and image.size == (1200, 900)
    drawn = {colour: count for count, colour in colours}
    assert len(drawn) > 100 and drawn.get((228, 244, 234), 0) > 50_000
    assert "CONSOLE" not in done.stderr, done.stderr
