"""Comparison of the files of a bundle with its list, SHA256SUMS."""

from __future__ import annotations

from dataclasses import replace

from ...common.files.litter import is_litter
from ...common.foreign_text import shown_text
from ...common.progress import Track, silent
from ...common.records import first_lines
from ...errors import ArtifactError
from ..bundle.bundle import Bundle
from ..bundle.catalog import is_leftover
from ..bundle.checksums import SUMS, BundleReplacedError, files_below


def verify_files(bundle: Bundle, track: Track = silent) -> None:
    """Compare the hash of every listed file, and refuse files that are not listed.

    Raises:
        ArtifactError: names what is changed, missing, not listed, or a link out of the bundle.
    """
    strays = [name for name in files_below(bundle.files) if name not in bundle.sums]
    problems = [f"{shown_text(name)} is not listed in {SUMS}{_leftover(bundle, name)}" for name in strays]
    strict = replace(bundle, verify=True)
    for name in track(list(bundle.sums), "Hashing files", len(bundle.sums)):
        try:
            strict.file(name)
        except BundleReplacedError:
            raise
        except ArtifactError as error:
            problems.append(str(error))
    if problems:
        lines = "\n  ".join(first_lines(problems))
        raise ArtifactError(f"{shown_text(bundle.folder)} is not the bundle that was exported:\n  {lines}")


def ignored_files(bundle: Bundle) -> tuple[str, ...]:
    """List the files that a file manager or a file system left in the bundle."""
    return tuple(name for name in bundle.files.files() if name not in bundle.sums and is_litter(name))


def _leftover(bundle: Bundle, name: str) -> str:
    if is_leftover(bundle.files, name):
        return ": left by a build that was interrupted, build it again or delete the file"
    return ": it is not the bundle's and is never read; move it elsewhere"
