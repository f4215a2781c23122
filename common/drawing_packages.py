"""The optional packages that draw: matplotlib and scikit-learn, the extra `analysis`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import SetupError

PACKAGES = {"matplotlib": "matplotlib", "sklearn": "scikit-learn"}


@contextmanager
def analysis() -> Iterator[None]:
    """Imports in the block belong to the extra `analysis`.

    Raises:
        SetupError: one of its packages is not installed; says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").split(".")[0]
        if name not in PACKAGES:
            raise
        raise SetupError(
            f'The pictures need {PACKAGES[name]}, which is not installed: pip install "mambapro[analysis]".'
        ) from error


def require_analysis() -> None:
    """Raise SetupError unless everything that draws is installed: better before the computing than after it."""
    with analysis():
        import matplotlib  # noqa: F401
        import sklearn  # noqa: F401
