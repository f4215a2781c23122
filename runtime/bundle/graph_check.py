"""Safety check of an ONNX file: no external files, and a bounded amount of work."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from ...common.foreign_text import shown_text
from ...errors import ArtifactError
from ...plugins.selective_scan.schema import DOMAIN
from .onnx_wire import Body, Structure, WireError, read_structure

#: Most nodes of a model with inlined functions; a full-size model of ours has 10,000.
MOST_NODES = 200_000
#: Deepest chain of function calls.
_DEEPEST_CALLS = 32
#: Operators that repeat or select a graph. The selective scan is one Scan, in a function of our own.
LOOPS = ("Loop", "If", "SequenceMap", "Scan")
#: If 1, graphs with other loops or branches than ours are accepted.
VARIABLE = "MAMBAPRO_FOREIGN_GRAPHS"


def require_safe_file(path: Path, called: Path | str) -> None:
    """Check a file with unchangeable content as `require_safe_graph`."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            require_safe_graph(b"", called)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            require_safe_graph(content, called)


def require_safe_graph(content: bytes | mmap.mmap, called: Path | str) -> None:
    """Reject an ONNX file with external data, exploding functions, or loops that our models do not have.

    Args:
        content: the file's bytes.
        called: its name in messages.

    Raises:
        ArtifactError: not ONNX; tensors outside of the file; functions that call themselves or come to more than
            MOST_NODES nodes; a Loop, If or SequenceMap, or a Scan elsewhere than in a function of ours.
    """
    with memoryview(content) as view:
        try:
            structure = read_structure(view)
        except WireError as error:
            raise ArtifactError(
                f"{shown_text(called)} is not an ONNX file that is read here: {error}. Copy or export it again."
            ) from error
    if structure.external:
        names = shown_text(", ".join(structure.external[:5]))
        raise ArtifactError(
            f"{shown_text(called)} keeps {len(structure.external)} of its tensors in other files ({names}), which are "
            "never read: a bundle's model is one file. Save it with its weights inside, or export it again."
        )
    _require_bounded(structure, called)
    if os.environ.get(VARIABLE, "") != "1":
        _require_familiar(structure, called)


def _require_bounded(structure: Structure, called: Path | str) -> None:
    sizes: dict[tuple[str, str], int] = {}
    path: list[tuple[str, str]] = []

    def size(body: Body) -> int:
        """Return the number of nodes of a body with its functions and branches."""
        total = body.nodes + sum(size(inner) for _, inner in body.inner)
        return total + sum(times * called_size(key) for key, times in body.operators.items())

    def called_size(key: tuple[str, str]) -> int:
        """Return the number of nodes of a function."""
        if key not in structure.functions:
            return 0
        if key in path or len(path) > _DEEPEST_CALLS:
            raise ArtifactError(
                f"{shown_text(called)} defines the function {shown_text(key[1])}, which calls itself or others too "
                "deep: it never ends. Export the bundle again."
            )
        if key not in sizes:
            path.append(key)
            sizes[key] = max(size(body) for body in structure.functions[key])
            path.pop()
        return sizes[key]

    # unused functions are checked too: libraries inline them all the same
    total = max([sum(size(body) for body in structure.graphs), *(called_size(key) for key in structure.functions)])
    if total > MOST_NODES:
        raise ArtifactError(
            f"{shown_text(called)} comes to {total:,} nodes when its functions and branches are unfolded; at most "
            f"{MOST_NODES:,} are run. Export the bundle again."
        )


def _require_familiar(structure: Structure, called: Path | str) -> None:
    bodies = [(body, False) for body in structure.graphs]
    bodies += [(body, key[0] == DOMAIN) for key, variants in structure.functions.items() for body in variants]
    for body, ours in bodies:
        inside = [inner for _, inner in body.inner]
        strange = {operator for operator, _ in body.inner if not (ours and operator == "Scan")}
        strange |= {name for _, name in body.operators if name in LOOPS and not (ours and name == "Scan")}
        strange |= {name for inner in inside for _, name in inner.operators if name in LOOPS}
        strange |= {name for inner in inside for name, _ in inner.inner}
        # a function may contain loops as well, which would nest
        strange |= {key[1] for inner in inside for key in inner.operators if key in structure.functions}
        if strange:
            raise ArtifactError(
                f"{shown_text(called)} holds {shown_text(', '.join(sorted(strange)))}, which loops or branches in a "
                "way that no model exported here does, and nothing can tell whether it ends. Where you made the file "
                f"yourself and trust it, set {VARIABLE}=1."
            )
