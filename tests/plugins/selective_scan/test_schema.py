"""The contract: shapes and types are ruled in one place."""

from __future__ import annotations

import pytest
from mambapro.errors import InputError
from mambapro.plugins.selective_scan.schema import INPUTS, check_shapes, check_types
from scan_cases import Case, inputs


class TestContract:
    def test_sizes_come_from_shapes(self) -> None:
        """The five sizes are read off u and B."""
        shapes = {name: array.shape for name, array in inputs(Case(2, 7, 12, 3, 4)).items()}

        assert check_shapes(shapes) == (2, 7, 12, 3, 4)

    @pytest.mark.parametrize(
        ("name", "shape", "message"),
        [
            ("u", (2, 7), "u must be"),
            ("delta", (2, 7, 11), "delta must have shape"),
            ("A", (4, 12), "A must have shape"),
            ("B", (2, 7, 5, 4), "groups of equal size"),
            ("C", (2, 7, 1, 4), "C must have shape"),
            ("D", (1,), "D must have shape"),
        ],
    )
    def test_a_wrong_shape_is_named(self, name: str, shape: tuple[int, ...], message: str) -> None:
        """InputError says which input, what it is and what it should be."""
        shapes = {key: array.shape for key, array in inputs(Case(2, 7, 12, 3, 4)).items()}

        with pytest.raises(InputError, match=message):
            check_shapes({**shapes, name: shape})

    @pytest.mark.parametrize(("name", "kind"), [("u", "int8"), ("B", "float16"), ("A", "float16"), ("D", "float64")])
    def test_a_wrong_type_is_named(self, name: str, kind: str) -> None:
        """InputError for mixed or unknown types."""
        types = dict.fromkeys(INPUTS, "float32")

        with pytest.raises(InputError, match=name):
            check_types({**types, name: kind})

    @pytest.mark.parametrize("state", [1, 64])
    def test_one_to_64_states(self, state: int) -> None:
        """1 and 64 are allowed, 0 and 65 are not."""
        shapes = {name: array.shape for name, array in inputs(Case(2, 7, 12, 3, state)).items()}

        assert check_shapes(shapes).state == state

    @pytest.mark.parametrize("state", [0, 65])
    def test_no_state_and_too_many(self, state: int) -> None:
        """The limits are told."""
        shapes = {name: array.shape for name, array in inputs(Case(2, 7, 12, 3, state)).items()}

        with pytest.raises(InputError, match=f"state must be 1 to 64, got {state}"):
            check_shapes(shapes)

    @pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64"])
    def test_types_that_go_together(self, kind: str) -> None:
        """u, delta, B and C are of one type; A, D and the bias float32, float64 beside float64."""
        types = dict.fromkeys(INPUTS, kind)
        parameter = "float64" if kind == "float64" else "float32"

        assert check_types({**types, **dict.fromkeys(("A", "D", "delta_bias"), parameter)}) == kind

    @pytest.mark.parametrize("kind", ["float16", "bfloat16"])
    @pytest.mark.parametrize("name", ["A", "D", "delta_bias"])
    def test_parameters_are_never_half(self, name: str, kind: str) -> None:
        """Rates, skip and bias are float32 beside half-precision input too; each one is looked at."""
        types = {**dict.fromkeys(INPUTS, kind), "A": "float32", "D": "float32", "delta_bias": "float32"}

        with pytest.raises(InputError, match=f"{name} is {kind}; beside {kind} input it must be float32"):
            check_types({**types, name: kind})

    @pytest.mark.parametrize("name", ["delta", "B", "C"])
    def test_one_type_for_the_others(self, name: str) -> None:
        """delta, B and C are of u's type; each one is looked at."""
        types = {**dict.fromkeys(INPUTS, "float16"), "A": "float32", "D": "float32", "delta_bias": "float32"}

        with pytest.raises(InputError, match=f"{name} is float32 but u is float16"):
            check_types({**types, name: "float32"})
