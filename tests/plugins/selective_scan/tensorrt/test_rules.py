"""The rules of TensorRT's plugins, in Python and in C++, against the contract."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mambapro.plugins
import pytest
from mambapro.errors import InputError
from mambapro.plugins.compile import cxx_compiler
from mambapro.plugins.selective_scan.cuda.kernel_table import lanes_for
from mambapro.plugins.selective_scan.schema import INPUTS, MAX_STATE, check_shapes, check_types
from mambapro.plugins.selective_scan.tensorrt.rules import (
    NAME,
    NAMESPACE,
    PLUGIN_VERSION,
    TENSORRT_TYPES,
    check_known_shapes,
    check_tensorrt_types,
    type_allowed,
)

SCAN = Path(mambapro.plugins.__file__).parent / "selective_scan"
CONTRACT = SCAN / "contract"
MAIN = Path(__file__).parent / "csrc" / "contract_main.cpp"
SIZES = [(2, 7, 12, 3, 4), (1, 1, 1, 1, 1), (3, 128, 3072, 3, 16), (1, 9, 10, 2, 17), (1, 9, 10, 5, 64)]
FLOATS = dict.fromkeys(INPUTS, "float32")
PARAMETERS = ("A", "D", "delta_bias")

Shapes = dict[str, tuple[int, ...]]


def shapes(batch: int, length: int, channels: int, groups: int, state: int) -> Shapes:
    """Shapes of the inputs of a scan."""
    u, b = (batch, length, channels), (batch, length, groups, state)
    return {"u": u, "delta": u, "A": (channels, state), "B": b, "C": b, "D": (channels,), "delta_bias": (channels,)}


def wrong_shapes() -> list[Shapes]:
    """Every single size changed, every rank changed, and sizes that cannot be a scan's."""
    good = shapes(2, 7, 12, 3, 4)
    found = [shapes(1, 5, 12, 5, 4), shapes(1, 5, 12, 3, MAX_STATE + 1), shapes(1, 5, 12, 3, 0), shapes(1, 5, 12, 0, 4)]
    for name, shape in good.items():
        found += [{**good, name: (*shape[:i], shape[i] + 1, *shape[i + 1 :])} for i in range(len(shape))]
        found += [{**good, name: (*shape, 1)}, {**good, name: shape[1:]}]
    # a delta of no size at all cannot be written on a line
    return [case for case in found if all(case.values())]


def kinds() -> list[dict[str, str]]:
    """All three types, and types that do not go together."""
    good = [{name: "float32" if name in PARAMETERS else kind for name in INPUTS} for kind in TENSORRT_TYPES.values()]
    wrong = [{**case, name: other} for case in good for name in INPUTS for other in ("float32", "float16", "int8")]
    return good + wrong


def tensorrt_kinds(names: dict[str, str]) -> list[Any]:
    """What tensorrt.DataType's members look like."""
    theirs = {ours: name for name, ours in TENSORRT_TYPES.items()} | {"int8": "INT8"}
    members = {name: SimpleNamespace(name=name) for name in theirs.values()}
    return [members[theirs[names[name]]] for name in INPUTS]


def accepts(rule: Any, *arguments: Any) -> bool:
    """Whether a rule lets something pass."""
    try:
        rule(*arguments)
    except InputError:
        return False
    return True


@pytest.fixture(scope="module")
def in_cpp(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Answers of the C++ rules to a list of (shapes, types)."""
    program = tmp_path_factory.mktemp("rules") / "rules"
    command = [cxx_compiler(), "-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{CONTRACT}", str(MAIN)]
    subprocess.run([*command, str(CONTRACT / "contract.cpp"), "-o", str(program)], check=True)

    def ask(cases: list[tuple[dict[str, Any], dict[str, str]]]) -> list[str]:
        lines = []
        for shape, kind in cases:
            sizes = [",".join("?" if size is None else str(size) for size in shape[name]) for name in INPUTS]
            lines.append(" ".join([*sizes, *(kind[name] for name in INPUTS)]))
        done = subprocess.run([str(program)], input="\n".join(lines), capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    return ask


class TestCpp:
    def test_sizes_and_tactics(self, in_cpp: Any) -> None:
        """Good shapes give the five sizes, and the splits that have a kernel for the state."""
        answers = in_cpp([(shapes(*sizes), FLOATS) for sizes in SIZES])

        wanted = [f"ok {' '.join(map(str, s))} | {' '.join(map(str, lanes_for(s[4])))}" for s in SIZES]
        assert answers == wanted

    def test_refuses_what_the_contract_refuses(self, in_cpp: Any) -> None:
        """Every wrong shape is refused by C++, Python and the contract alike, with the operator's name in front."""
        cases = wrong_shapes()

        assert [case for case in cases if accepts(check_shapes, case)] == []
        assert [case for case in cases if accepts(check_known_shapes, list(case.values()))] == []
        answers = in_cpp([(case, FLOATS) for case in cases])
        assert [answer for answer in answers if not answer.startswith("selective scan: ")] == []
        assert len(answers) == len(cases) > 30

    def test_unknown_sizes_do_not_hide_known_ones(self, in_cpp: Any) -> None:
        """With the batch open, or all of u, what is known must still fit."""
        good = shapes(2, 7, 12, 3, 4)
        open_batch = {name: (None, *shape[1:]) if len(shape) > 2 else shape for name, shape in good.items()}
        open_u = {**good, "u": (None, None, None)}
        nothing = {name: (None,) * len(shape) for name, shape in good.items()}
        right = [open_batch, open_u, nothing]
        wrong = [{**case, "A": (12, 5)} for case in (open_batch, open_u)] + [{**open_batch, "D": (13,)}]

        assert [answer[:3] for answer in in_cpp([(case, FLOATS) for case in right])] == ["ok "] * 3
        assert [accepts(check_known_shapes, list(case.values())) for case in right] == [True] * 3
        assert [answer[:9] for answer in in_cpp([(case, FLOATS) for case in wrong])] == ["selective"] * 3
        assert [accepts(check_known_shapes, list(case.values())) for case in wrong] == [False] * 3

    def test_types(self, in_cpp: Any) -> None:
        """C++ and Python take the same types as the contract."""
        cases = kinds()

        wanted = [accepts(check_types, case) for case in cases]
        answers = in_cpp([(shapes(*SIZES[0]), case) for case in cases])
        assert [answer.startswith("ok") for answer in answers] == wanted
        assert [accepts(check_tensorrt_types, tensorrt_kinds(case)) for case in cases] == wanted
        assert 3 < sum(wanted) < len(cases)

    def test_messages_name_the_input(self, in_cpp: Any) -> None:
        """A refusal says which input, what it is, and what it is measured by."""
        good = shapes(2, 7, 12, 3, 4)

        shape, kind = in_cpp([({**good, "A": (12, 5)}, FLOATS), (good, {**FLOATS, "D": "float16"})])

        assert shape == ("selective scan: A must be (channels, state), got (12, 5), but state is 4 in B (2, 7, 3, 4).")
        assert kind == "selective scan: D is float16; it must be float32 whatever type u has."

    def test_names_are_the_contracts(self) -> None:
        """Name, namespace, version, inputs and the largest state in the C++ sources are the schema's."""
        plugin, rules = (
            (SCAN / name).read_text() for name in ("tensorrt/csrc/tensorrt_plugin.h", "contract/contract.h")
        )

        names = dict(re.findall(r'kPlugin(\w+) = "(.*?)"', plugin))
        inputs = re.findall(r'"(\w+)"', re.search(r"kNames.*", rules)[0])  # type: ignore[index]
        assert names == {"Name": NAME, "Namespace": NAMESPACE, "Version": PLUGIN_VERSION}
        assert (inputs[:-1], inputs[-1]) == (list(INPUTS), "y")
        assert f"kMaxState = {MAX_STATE};" in rules


class TestFormats:
    @pytest.mark.parametrize("position", range(8))
    def test_one_type_for_all_but_the_parameters(self, position: int) -> None:
        """A, D and delta_bias (2, 5, 6) are float32; the others are of u's type."""
        half, single = SimpleNamespace(name="HALF"), SimpleNamespace(name="FLOAT")

        assert type_allowed(position, single, half) == (position in (2, 5, 6))
        assert type_allowed(position, half, half) == (position not in (2, 5, 6))
        assert not type_allowed(position, SimpleNamespace(name="INT8"), SimpleNamespace(name="INT8"))
