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
