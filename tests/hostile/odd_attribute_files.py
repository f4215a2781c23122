"""attributes.json that nests, claims, is long or leaves its folder."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any


def write_all(folder: Path) -> list[Path]:
    """Every odd file below `folder`."""
    paths = []
    for name, content in contents().items():
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(content, encoding="utf-8", errors="surrogatepass")
    return paths


@functools.cache
def contents() -> dict[str, str]:
    """The texts, by what is odd about them."""

    def file(**changes: Any) -> str:
        whole = {
            "format": "mambapro.attributes/1",
            "name": "odd",
            "attributes": ["hat", "boots"],
            "images": ["a.jpg", "b.jpg"],
            "labels": ["01", "10"],
            "partitions": {"train": [0], "val": [], "test": [1]},
        }
        return json.dumps({**whole, **changes})

    return {
        "nested": "[" * 100_000,
        "nested_objects": '{"labels": ' * 100_000,
        "digits": file().replace("[0]", "[" + "9" * 100_000 + "]"),
        "large_row": file(partitions={"train": [2**62], "val": [], "test": [1]}),
        "negative_row": file(partitions={"train": [-1], "val": [], "test": [1]}),
        "many_images": file(images=[f"{n}.jpg" for n in range(300_000)], labels=["01"] * 300_000),
        "same_images": file(images=["a.jpg"] * 100_000, labels=["01"] * 100_000),
        "many_attributes": file(attributes=[str(n) for n in range(100_000)]),
        "long_name": file(attributes=["hat", "b" * 1_000_000]),
        "long_labels": file(labels=["0" * 1_000_000, "1"]),
        "wide_letters": file(labels=["\U0001f600\U0001f600", "10"]),
        "surrogates": file(images=["\ud800.jpg", "b.jpg"]),
        "no_name": file(attributes=["", "boots"]),
        "nan": file().replace("[0]", "[NaN]"),
        "outside": file(images=["../../../etc/passwd", "b.jpg"]),
        "absolute": file(images=["/etc/passwd", "b.jpg"]),
        "root_of_all": file(root="/"),
        "root_of_devices": file(root="/dev", images=["zero", "stdin"]),
        "nul": file(images=["a\0.jpg", "b.jpg"]),
        "root_with_nul": file(root="a\0b"),
        "escape": file(name="\x1b[2Jred", images=["\x1b[31m.jpg", "b\u202e.jpg"]),
        "groups": file(exclusive=[["hat", "boots"]] * 50_000),
        "numbers_for_labels": file(labels=[[0.5, 1], [1, 0]]),
        "no_partition": file(partitions={}),
    }
