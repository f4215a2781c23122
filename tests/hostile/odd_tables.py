"""Tables of scales, states and results in JSON that nest, claim or are long."""

from __future__ import annotations

import functools
import json
from pathlib import Path

_ENTRIES = 60_000


@functools.cache
def contents(schema: str = "mambapro.scales/2") -> dict[str, str]:
    """Texts that are no such file, by what is odd about them."""

    def entry(number: int, **more: object) -> dict[str, object]:
        observed = {"low": -1.0, "high": 1.0}
        return {"modules": [f"a.{number}"], "algorithm": "mse", "threshold": 1.0, "observed": observed, **more}

    def table(**fields: object) -> str:
        whole = {
            "schema": schema,
            "activations": [entry(0)],
            "samples": 1,
            "model": "",
            "data": "",
            "algorithm": "auto",
        }
        return json.dumps({**whole, "feature_space": "", **fields})

    return {
        "nested": "[" * 100_000,
        "nested_objects": '{"schema": ' * 100_000,
        "digits": '{"schema": ' + "9" * 1_000_000 + "}",
        "digits_in_field": table(samples=0).replace('"samples": 0', '"samples": ' + "9" * 5000),
        "many_modules": table(activations=[entry(i) for i in range(_ENTRIES)]),
        "many_constants": table(constant=[f"b.{i}" for i in range(_ENTRIES)]),
        "many_wrong": table(activations=["x"] * 500_000),
        "many_unknown": table(**{f"x{i}": 1 for i in range(_ENTRIES)}),
        "same_module": table(activations=[entry(0)] * 5000),
        "nan": table(samples=float("nan")),
        "infinite": table(activations=[entry(0, threshold=1e999)]),
        "denormal": table(activations=[entry(0, threshold=5e-324)]),
        "escapes": table(**{"\x1b[31mx": 1}),
        "long_word": table(algorithm=5, data="x" * 1_000_000),
        "surrogate": table(**{"\ud800": 1}),
        "another_schema": table(schema="\x1b[2J" + "x" * 100_000),
        "schema_of_list": table(schema=[[]]),
        "list": "[]",
        "text": '"text"',
        "null": "null",
        "nothing": "",
        "cut": table()[:-20],
    }


def write_all(folder: Path, schema: str = "mambapro.scales/2") -> list[Path]:
    """A file of each kind, some that are no text, and one of four gigabytes that takes no room."""
    paths = []
    for name, text in contents(schema).items():
        path = folder / f"{name}.json"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        paths.append(path)
    for name, content in {"not_utf8": b'{"a": "\xff"}', "utf16": '{"a": 1}'.encode("utf-16")}.items():
        path = folder / f"{name}.json"
        path.write_bytes(content)
        paths.append(path)
    large = folder / "large.json"
    with large.open("wb") as file:
        file.truncate(2**32)
    return [*paths, large]
