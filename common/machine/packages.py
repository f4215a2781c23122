"""Versions of Python and of installed packages, read from their metadata; nothing is imported."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib import metadata


def installed_version(distribution: str) -> str | None:
    """Return the version of a distribution, None where it is not installed; "python" is the interpreter."""
    if distribution == "python":
        return platform.python_version()
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def installed_versions(distributions: Iterable[str]) -> dict[str, str]:
    """Return the versions of those distributions that are installed."""
    return {name: version for name in distributions if (version := installed_version(name))}
