"""Counts the functions that a command passes, and how often control comes back to a file that it had left.

    python benchmarks/walks.py --ckpt best.pth --bundle best-fp32.mambapro [--tree]

Runs `mambapro build --target onnxruntime --precision fp16`, `mambapro export` and `mambapro check` on copies in this
process, and follows the calls of the main thread. Another commit is counted by the interpreter of its environment.

* A function counts once, at its first call, if it calls another function of the package: a leaf is a detail of its
  caller. Special methods but `__init__`, lambdas and comprehensions are details too, and so is what runs at import.
* `common/`, `plugins/` and the terminal of `cli/` are passed through: they count for nothing, their callbacks do.
* A function of a service (data, bundle format, backends, graph passes, models, calibration) counts where it is called;
  its own calls do not: nobody has to follow them to understand the command.
* A return is a change to a file that was left before, by a call or by the end of one, between functions that count.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
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
    *(
        "runtime/limits",
        "runtime/samples",
        "export/typed",
        "export/type_plan",
        "export/value_types",
        "export/onnx_file",
    ),
)


@dataclass
class Call:
    """A call of a function of the package, and the calls inside of it."""

    file: str
    name: str
    calls: list[Call] = field(default_factory=list)

    @property
    def short(self) -> str:
        """The function's own name."""
        return self.name.rpartition(".")[2]

    def counted(self) -> Iterator[Call]:
        """The calls that count as made by this one."""
        for call in self.calls:
            if call.name == "<module>":
                continue
            if call.file.startswith(PASSED) or call.short.startswith("<"):
                yield from call.counted()
            elif call.calls and (call.short == "__init__" or not call.short.startswith("__")):
                yield call


def recorded(arguments: list[str], command: Any = None) -> Call:
    """The calls of a command, below a root of no name."""
    root = Call("", "")
    stack = [root]

    def profile(frame: FrameType, event: str, argument: object) -> None:
        path, depth = frame.f_code.co_filename, len(str(ROOT)) + 1
        if event not in ("call", "return") or not path.startswith(f"{ROOT}/") or "/site-packages/" in path:
            return
        if event == "call":
            call = Call(path[depth:], frame.f_code.co_qualname)
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


def walk(root: Call) -> tuple[list[str], list[str]]:
    """(lines of the functions in the order of their first calls, files in the order in which control is in them)."""
    lines: list[str] = []
    files: list[str] = []
    seen: set[tuple[str, str]] = set()

    def follow(call: Call, depth: int) -> None:
        for inner in call.counted():
            if (inner.file, inner.name) in seen:
                continue
            seen.add((inner.file, inner.name))
            lines.append(f"{'  ' * depth}{inner.file} {inner.name}")
            files.append(inner.file)
            if not inner.file.startswith(SERVICES):
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
        rows.append(f"{name:8}  {len(lines):9}  {len(set(files)):5}  {len(files) - len(set(files)):7}")
        if tree:
            click.echo("\n".join([f"\n{name}", *lines]))
    click.echo("\n".join(["\ncommand   functions  files  returns", *rows]))


if __name__ == "__main__":
    main()
