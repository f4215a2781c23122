"""A minute data set of labeled images, in the toolkit's format: bars of three colours, long or short."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("red", "green", "blue", "short")
PARTS = {"train": 96, "val": 32, "test": 32}


def draw(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    """Write images of 40 x 24 pixels with true labels, one of them not judged in every tenth image."""
    random = np.random.default_rng(0)
    count = sum(PARTS.values())
    labels = (random.random((count, 4)) < 0.4).astype(int)
    folder.mkdir(parents=True)
    for number, row in enumerate(labels):
        image = random.integers(0, 60, (40, 24, 3))
        for channel in np.flatnonzero(row[:3]):
            image[2 + 13 * channel : 12 + 13 * channel, 2 : 10 if row[3] else 22, channel] = 230
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{number:03d}.png")
    labels[::10, 0] = 2
    edges = np.cumsum([0, *PARTS.values()])
    rows = {name: list(range(a, b)) for name, a, b in zip(PARTS, edges[:-1].tolist(), edges[1:].tolist(), strict=True)}
    content = {
        "format": "mambapro.attributes/1",
        "name": "toy people",
        "attributes": list(names),
        "images": [f"{number:03d}.png" for number in range(count)],
        "labels": ["".join(map(str, row)) for row in labels.tolist()],
        "partitions": rows,
    }
    (folder / "attributes.json").write_text(json.dumps(content))
    return folder
