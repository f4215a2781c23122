"""Interface of the backends; a protocol, so that tests and applications can pass their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class Backend(Protocol):
    """Loaded model. `run` may be called by several threads at once.

    Attributes:
        name: the library, like "onnxruntime".
        provider: the execution device or provider, as the library names it.
        inputs, outputs: names of the graph's tensors, in order.
        threads: requested number of threads, None = the library's choice.
    """

    name: str
    provider: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    threads: int | None

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the model on inputs by name. Returns outputs by name, (batch, ...) each."""
        ...

    def close(self) -> None:
        """Free the model; `run` must not be called any more."""
        ...
