"""Results of `mambapro check` on this machine, in a file next to the artifacts that is neither hashed nor signed.

The manifest of an artifact describes it as built. Later results of checks are stored in checks.json, keyed by the hash
of the manifest: a rebuilt artifact starts without results.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...common.files.atomic import json_text, write_atomically
from ...common.foreign_text import shown_text
from ...common.formats.json_files import parse_json
from ...common.records import decode, encode
from ...errors import ArtifactError
from .artifact import AccuracyGate, CosineGate, Sidecar, SpeedGate
from .checksums import CHECKS, LARGEST_TEXT
from .field_checks import one_of
from .folder import BundleFolder
from .metadata_parts import UNVERIFIED, VERIFIED
from .publication import locked

if TYPE_CHECKING:
    from .bundle import Bundle

SCHEMA = "mambapro.checks/1"

log = logging.getLogger("mambapro")


@dataclass(frozen=True)
class Checked:
    """Results for one artifact, whose manifest has SHA-256 `sidecar`; None = as in the manifest."""

    sidecar: str
    state: str
    cosine: CosineGate | None = None
    accuracy: AccuracyGate | None = None
    speed: SpeedGate | None = None
    verified_on: str | None = None

    def __post_init__(self) -> None:
        one_of("state", self.state, (VERIFIED, UNVERIFIED))


@dataclass(frozen=True)
class CheckRecord:
    """Content of checks.json: artifacts by their stems."""

    artifacts: dict[str, Checked]
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        one_of("schema", self.schema, (SCHEMA,))


def read_record(files: BundleFolder) -> dict[str, Checked]:
    """Return the results of checks by artifact stem; an unreadable record is ignored with a warning."""
    try:
        return decode(CheckRecord, parse_json(files.read(CHECKS, LARGEST_TEXT))).artifacts
    except FileNotFoundError:
        return {}
    except (ArtifactError, ValueError) as error:
        log.warning("%s is ignored: %s", shown_text(files.path / CHECKS), shown_text(error))
        return {}


def as_checked(sidecar: Sidecar, sha256: str, record: dict[str, Checked]) -> Sidecar:
    """Return a manifest, whose file has the hash `sha256`, updated with the results of a check."""
    checked = record.get(sidecar.stem)
    if checked is None or checked.sidecar != sha256:
        return sidecar
    return replace(
        sidecar,
        state=checked.state,
        cosine=checked.cosine or sidecar.cosine,
        accuracy=checked.accuracy or sidecar.accuracy,
        speed=checked.speed or sidecar.speed,
        verified_on=checked.verified_on or sidecar.verified_on,
    )


def write_record(bundle: Bundle, sidecar: Sidecar) -> None:
    """Record the results of a check for an artifact; its files stay unchanged.

    Raises:
        BundleReplacedError: the bundle was replaced.
        SetupError: the disk is full or permission is missing; checks.json is unchanged.
    """
    bundle.require_current()
    checked = Checked(
        bundle.sums[f"{sidecar.stem}.json"],
        sidecar.state,
        sidecar.cosine,
        sidecar.accuracy,
        sidecar.speed,
        sidecar.verified_on,
    )
    # another check may record another artifact meanwhile
    with locked(bundle.folder):
        bundle.require_current()
        known = {stem: item for stem, item in read_record(bundle.files).items() if f"{stem}.json" in bundle.sums}
        content = {"schema": SCHEMA, **encode(CheckRecord({**known, sidecar.stem: checked}))}

        def write(path: Path) -> None:
            """Write the record."""
            path.write_text(json_text(content), encoding="utf-8", newline="\n")

        write_atomically(bundle.folder / CHECKS, write, in_bundle=True)
    bundle.forget_artifacts()
