"""Counts the functions that a command passes, and how often control comes back to a file that it had left.

    python benchmarks/walks.py --ckpt best.pth --bundle best-fp32.mambapro [--tree]

Runs `mambapro build --target onnxruntime --precision fp16`, `mambapro export` and `mambapro check` on copies in this
process, and follows the calls of the main thread. Another commit is counted by the interpreter of its environment.

The walk is that of a reader who opens every file of the command's own path, and takes everything below it by its name:

* A function counts once, at its first call, if it calls another function of the package: a leaf is a detail of its
  caller. So are properties, which are read like fields, special methods but `__init__`, lambdas and comprehensions, and
  what runs at import.
* `common/`, `plugins/` and the terminal of `cli/` are vocabulary: they count for nothing, and a function that calls
  nothing else is a leaf. Callbacks that they call do count.
* A function of a service (data, bundle format, sessions and their backends, graph passes, models, calibration) counts
  where it is called. Its own calls do not, and its file is not opened: `Extractor(bundle)` is known from the README.
* A return is a change to a file that was left before, by a call or by the end of one, between functions of the path.

The columns in brackets count as well: properties, functions that call common/ alone, and each call of a service as a
change of the file and a return. There a session is no service: opening and running an artifact is followed down to
the backend. They are the numbers that the first version of this script counted.
"""

from __future__ import annotations

import functools
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import click
import mambapro
from mambapro.cli.main import export, run

ROOT = Path(mambapro.__file__).parent
#: The first line of each is this layout, the others are that of edba7a3.
PASSED = (
    *("common/", "plugins/", "errors.py", "cli/main", "cli/entry", "cli/terminal", "cli/options"),
    *("runtime/files", "runtime/strict_json", "runtime/progress", "runtime/exchange", "runtime/free_memory"),
)
SERVICES = (
    *("runtime/data/", "runtime/bundle", "runtime/backends/", "graph/", "train/models/", "synthetic/", "calib/"),
    *("runtime/metadata", "runtime/sidecar", "runtime/artifacts", "runtime/preprocess", "runtime/modalities"),
    *("runtime/limits", "runtime/samples", "export/typed", "export/type_plan", "export/value_types"),
    "export/onnx_file",
)


#: The runtime's interface: opening an artifact and running it.
SESSION = ("runtime/session", "runtime/extractor", "runtime/selection", "runtime/loader", "runtime/opening")


@dataclass
class Call:
    """A call of a function of the package, and the calls inside of it."""

    file: str
    name: str
    calls: list[Call] = field(default_factory=list)
    is_property: bool = False

    @property
    def short(self) -> str:
        """The function's own name."""
        return self.name.rpartition(".")[2]

    def counted(self, strict: bool = False) -> Iterator[Call]:
        """The calls that count as made by this one; with `strict` those of the columns in brackets."""
        for call in self.calls:
            if call.name == "<module>":
                continue
            if call.file.startswith(PASSED) or call.short.startswith("<"):
                yield from call.counted(strict)
            elif call.short != "__init__" and (call.short.startswith("__") or (call.is_property and not strict)):
                continue
            elif call.calls if strict else call.calls_others():
                yield call

    def calls_others(self) -> bool:
        """Tell whether it calls anything of the package but common/ and the like, directly or through them."""
        return any(
            call.calls_others() if call.file.startswith(PASSED) or call.short.startswith("<") else not call.is_property
            for call in self.calls
        )


@functools.cache
def is_property(module: str, name: str) -> bool:
    """Tell whether a function of a module is behind a property."""
    value: Any = sys.modules.get(module)
    for part in name.split("."):
        value = vars(value).get(part) if isinstance(value, type | ModuleType) else None
    return isinstance(value, property | functools.cached_property)


def recorded(arguments: list[str], command: Any = None) -> Call:
    """The calls of a command, below a root of no name."""
    root = Call("", "")
    stack = [root]

    def profile(frame: FrameType, event: str, argument: object) -> None:
        path, depth = frame.f_code.co_filename, len(str(ROOT)) + 1
        if event not in ("call", "return") or not path.startswith(f"{ROOT}/") or "/site-packages/" in path:
            return
        if event == "call":
            name = frame.f_code.co_qualname
            call = Call(path[depth:], name, is_property=is_property(frame.f_globals["__name__"], name))
            stack[-1].calls.append(call)
            stack.append(call)
        elif len(stack) > 1:
            stack.pop()

    sys.setprofile(profile)
    try:
        code = run(arguments) if command is None else run(arguments, command, "mambapro-export")
    finally:
        sys.setprofile(None)
    if code != 0:
        raise SystemExit(f"{' '.join(arguments)} ended with code {code}")
    return root


def walk(root: Call, strict: bool = False) -> tuple[list[str], list[str]]:
    """(lines of the functions in the order of their first calls, files in the order in which they are open)."""
    lines: list[str] = []
    files: list[str] = []
    seen: set[tuple[str, str]] = set()

    def follow(call: Call, depth: int) -> None:
        for inner in call.counted(strict):
            if (inner.file, inner.name) in seen:
                continue
            seen.add((inner.file, inner.name))
            lines.append(f"{'  ' * depth}{inner.file} {inner.name}")
            is_service = inner.file.startswith(SERVICES if strict else (*SERVICES, *SESSION))
            if is_service and not strict:
                continue
            files.append(inner.file)
            if not is_service:
                follow(inner, depth + 1)
            files.append(call.file or inner.file)

    follow(root, 0)
    return lines, [file for i, file in enumerate(files) if i == 0 or file != files[i - 1]]


@click.command()
@click.option("--ckpt", type=click.Path(exists=True), required=True, help="A checkpoint.")
@click.option("--bundle", type=click.Path(exists=True), required=True, help="A float32 bundle.")
@click.option("--tree", is_flag=True, help="Print the functions too.")
def main(ckpt: str, bundle: str, tree: bool) -> None:
    """Count the walks of build, export and check."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(bundle, Path(folder) / "copy.mambapro")
        walks = {
            "check": recorded(["check", str(copy), "--device", "cpu"]),
            "build": recorded(["build", str(copy), "--target", "onnxruntime", "--precision", "fp16"]),
            "export": recorded(["--ckpt", ckpt, "--output", f"{folder}/new.mambapro"], export),
        }
    for name, root in walks.items():
        lines, files = walk(root)
        every, opened = walk(root, strict=True)
        returns, all_returns = (len(order) - len(set(order)) for order in (files, opened))
        rows.append(f"{name:8}  {len(lines):9}  {len(set(files)):5}  {returns:7}  ({len(every)} / {all_returns})")
        if tree:
            click.echo("\n".join([f"\n{name}", *lines]))
    click.echo("\n".join(["\ncommand   functions  files  returns  (with services and details)", *rows]))


if __name__ == "__main__":
    main()
