"""The toy task can be imported by its tests, and is registered while they run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import toy

#: The import registers it; tests of other folders in the same process find the product's own entries.
ENTRIES = [(registry, registry.pop("toy")) for registry in (toy.BENCHMARKS, toy.KINDS, toy.TASKS)]


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    """Register the toy task."""
    for registry, entry in ENTRIES:
        registry["toy"] = entry
    yield
    for registry, _ in ENTRIES:
        del registry["toy"]
