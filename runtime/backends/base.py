"""What a backend must offer. A protocol, so that a test or an application can pass anything that fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class Backend(Protocol):
    """A loaded model. `run` may be called by several threads at once.

    Attributes:
        name: the library, like "onnxruntime".
        provider: where it really runs, in the library's own words.
        inputs, outputs: names of the graph's tensors, in order.
        threads: threads asked for, None = the library's choice.
    """

    name: str
    provider: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    threads: int | None

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs by name."""
        ...

    def close(self) -> None:
        """Free the model; `run` must not be called any more."""
        ...
