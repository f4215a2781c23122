"""Policies of int8 that nest, repeat, claim or are another file; some in YAML, as they were before."""

from __future__ import annotations

from pathlib import Path

_LINES = 60_000

TEXTS = {
    "nested_tables": "[modules.a.b]\nc = 'int8'\n",
    "dotted_name": "modules.backbone.layers.1 = 'int8'\n",
    "dotted_key": ".".join("a" * 20_000) + " = 1\n",
    "tables_in_lines": "".join(f"[{'.'.join('a' * 400)}.b{i}]\n" for i in range(150)),
    "array_of_tables": "[[modules]]\na = 'int8'\n",
    "inline_tables": "modules = " + "{a = " * 150 + "\n",
    "field_twice": "default = 'int8'\ndefault = 'float'\n",
    "pattern_twice": "[modules]\n'a.b' = 'int8'\n\"a.b\" = 'int8'\n",
    "table_twice": "[modules]\n[modules]\n",
    "date": "default = 2001-01-01\n",
    "time": "default = 07:32:00\n",
    "not_finite": "default = nan\n",
    "long_number": "default = " + "9" * 900 + "\n",
    "hexadecimal": "default = 0x" + "f" * 900 + "\n",
    "long_word": "default = '" + "x" * 100_000 + "'\n",
    "long_text": "default = '''" + "x\n" * 50_000 + "'''\n",
    "long_pattern": "[modules]\n'" + "a" * 900 + "' = 'int8'\n",
    "many_lines": "[modules]\n" + "".join(f"'layer.{i}' = 'int8'\n" for i in range(_LINES)),
    "many_patterns": "[modules]\n" + "".join(f"'layer.{i}' = 'int8'\n" for i in range(5000)),
    "same_lines": "[modules]\n" + "layer = 'int8'\n" * 5000,
    "comments": "#\n" * _LINES,
    "brackets": "a = " + "[" * 900 + "\n",
    "brackets_in_lines": "a = " + "[\n" * 50_000,
    "list": "modules = ['int8']\n",
    "nothing": "",
    "escapes": 'default = "\\u001b[31mint8"\n',
    "key_of_escapes": '"\\u001b[2J" = "int8"\n',
    "table_as_choice": "[modules]\n'a.b' = {x = 'int8'}\n",
    "list_as_choice": "[modules]\n'a.b' = ['int8']\n",
    "control": "default = 'int8\0'\n",
    "yaml_aliases": "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]\n" for i in range(12)),
    "yaml_merge": "base: &base {a: int8}\nmodules:\n  <<: *base\n",
    "yaml_tag": "default: !!python/object/apply:os.getcwd []\n",
    "yaml_escapes": 'modules:\n  "\x1b[2J": int8\n',
    "yaml_many_lines": "modules:\n" + "".join(f"  a{i}: int8\n" for i in range(8000)),
    "yaml_spaces": "modules:\n" + " " * 60_000 + "\n" + "a" * 60_000,
    "yaml_colons": "a:\n" * 30_000,
    "yaml_number": "5\n",
    "yaml_two_documents": "default: int8\n---\ndefault: float\n",
    "yaml_policy": "default: int8\nmodules:\n  '*.mlp': float\n",
}


def write_all(folder: Path) -> list[Path]:
    """A file of each kind, and some that are no text."""
    contents = {name: text.encode() for name, text in TEXTS.items()}
    contents |= {"not_utf8": b"default = '\xff\xfe'\n", "binary": bytes(range(256)) * 40}
    paths = []
    for name, content in contents.items():
        path = folder / f"{name}.toml"
        path.write_bytes(content)
        paths.append(path)
    return paths
