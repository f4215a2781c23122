"""Writes what the real Python bindings of a TensorRT offer, as the JSON that the fakes are held to.

    pip download --no-deps --dest wheels tensorrt_cu12_bindings==10.3.0
    python -m zipfile -e wheels/tensorrt_cu12_bindings-10.3.0-*.whl unpacked
    python tests/fake_tensorrt/list_surface.py unpacked tests/fake_tensorrt/surfaces/tensorrt-10.3.json

The wheel of the bindings is a megabyte and needs none of the libraries: tensorrt_on_stubs.py puts stand-ins in their
place. TensorRT-RTX, whose libraries are a wheel too, is listed as it is installed: `installed` in place of the folder.

For each class: its bases, the values of an enumeration, and its members. A method is the list of its signatures as its
docstring tells them, such as ["name, dtype=", "*args"]: a name with `=` has a default; a property is null.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))


def surface(trt: Any) -> dict[str, Any]:
    """The listing of a module tensorrt or tensorrt_rtx."""
    public = {name: getattr(trt, name) for name in sorted(dir(trt)) if not name.startswith("_")}
    classes = {name: value for name, value in public.items() if isinstance(value, type)}
    functions = {name: signatures(value) for name, value in public.items() if type(value).__name__ in CALLABLE}
    return {
        "module": trt.__name__,
        "version": trt.__version__,
        "others": sorted(set(public) - set(classes) - set(functions)),
        "functions": functions,
        "classes": {name: class_surface(kind) for name, kind in classes.items()},
    }


CALLABLE = ("function", "builtin_function_or_method", "instancemethod", "method_descriptor", "staticmethod")


def class_surface(kind: type) -> dict[str, Any]:
    """Bases, values and members of a class; of its bases' members only those that it has itself too."""
    found: dict[str, Any] = {"bases": [base.__name__ for base in kind.__bases__ if base.__name__ not in BASES]}
    values = {**getattr(kind, "__members__", {})}
    if values:
        found["values"] = {name: _number(value) for name, value in values.items()}
    members: dict[str, list[str] | None] = {}
    for name in sorted(dir(kind)):
        made = name == "__init__" and name in vars(kind) and not values
        if name in values or (name.startswith("_") and not made):
            continue
        value = getattr(kind, name)
        members[name] = signatures(value) if callable(value) and not isinstance(value, type) else None
    found["members"] = members
    return found


BASES = ("pybind11_object", "object")


def signatures(value: Any) -> list[str]:
    """Parameters of every form of a bound function, without `self` and types."""
    text = value.__doc__ or ""
    name = re.escape(getattr(value, "__name__", ""))
    lines = [line.strip() for line in text.splitlines()]
    forms = [line for line in lines if re.match(rf"(\d+\. )?{name}\(.*\)( -> .*)?$", line)]
    # the first line of an overloaded function is a general one
    forms = forms[1:] if len(forms) > 1 else forms
    return [_parameters(form[form.index("(") + 1 : form.rindex(")")]) for form in forms] or ["*args, **kwargs"]


def _parameters(text: str) -> str:
    text = re.sub(r"<[^<>]*(<[^<>]*>)?[^<>]*>", "_", text)
    parts, depth, part = [], 0, ""
    for character in text:
        depth += (character in "[({") - (character in "])}")
        if character == "," and depth == 0:
            parts, part = [*parts, part], ""
        else:
            part += character
    names = [piece.split(":")[0].strip() + ("=" if "=" in piece else "") for piece in [*parts, part] if piece.strip()]
    return ", ".join(name for name in names if name != "self")


def _number(value: Any) -> int | str:
    try:
        return int(value)
    except (TypeError, ValueError):
        return str(value)


@click.command()
@click.argument("source")
@click.argument("target", type=click.Path(path_type=Path))
def main(source: str, target: Path) -> None:
    """List the bindings in the folder SOURCE, or the `installed` TensorRT-RTX, into TARGET."""
    if source == "installed":
        from mambapro.plugins.tensorrt.rtx import import_tensorrt_rtx

        found = surface(import_tensorrt_rtx())
    else:
        from tensorrt_on_stubs import import_tensorrt

        sys.path.insert(0, source)
        with tempfile.TemporaryDirectory() as folder:
            found = surface(import_tensorrt(Path(folder)))
    classes = found.pop("classes")
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in classes.items())
    head = json.dumps(found, indent=1)[:-2]
    target.write_text(f'{head},\n "classes": {{\n{lines}\n}}\n}}\n', encoding="utf-8")
    click.echo(f"{found['module']} {found['version']}: {len(classes)} classes")


if __name__ == "__main__":
    main()
