"""Policies of int8 that reference, nest, claim or are another file."""

from __future__ import annotations

from pathlib import Path

_LINES = 60_000

TEXTS = {
    "aliases": "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]\n" for i in range(12)),
    "alias_of_itself": "modules: &a {a.b: *a}\n",
    "anchor": "default: &here int8\n",
    "merge": "base: &base {a: int8}\nmodules:\n  <<: *base\n",
    "tag": "default: !!python/object/apply:os.getcwd []\n",
    "timestamp": "default: 2001-01-01\n",
    "sexagesimal": "default: 190:20:30\n",
    "long_number": "default: " + "9" * 100_000 + "\n",
    "long_word": "default: " + "x" * 100_000 + "\n",
    "long_pattern": 'modules:\n  "' + "a" * 50_000 + '": int8\n',
    "many_lines": "modules:\n" + "".join(f"  layer.{i}: int8\n" for i in range(_LINES)),
    "same_lines": "modules:\n" + "  layer: int8\n" * 5000,
    "comments": "#\n" * _LINES,
    "colons": "a:\n" * _LINES,
    "brackets": "[" * 50_000,
    "dashes": "- " * 50_000,
    "braces": "modules: " + "{a: " * 5000,
    "list": "- int8\n",
    "number": "5\n",
    "nothing": "",
    "escapes": 'default: "\\e[31mint8"\n',
    "key_of_escapes": '"\\e[2J": int8\n',
    "list_as_choice": "modules:\n  a.b: [int8]\n",
    "list_as_name": "? [a, b]\n: int8\n",
    "two_documents": "default: int8\n---\ndefault: float\n",
    "control": "default: int8\0\n",
}


def write_all(folder: Path) -> list[Path]:
    """A file of each kind, and some that are no text."""
    contents = {name: text.encode() for name, text in TEXTS.items()}
    contents |= {"not_utf8": b"default: \xff\xfe\n", "binary": bytes(range(256)) * 40}
    paths = []
    for name, content in contents.items():
        path = folder / f"{name}.yaml"
        path.write_bytes(content)
        paths.append(path)
    return paths
