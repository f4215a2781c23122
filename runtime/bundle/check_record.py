"""What `mambapro check` found on this machine, in a file beside the artifacts that no hash and no signature covers.

The sidecar of an artifact says what was true when it was built. What a check proves or disproves later stands in
checks.json, by the hash of the sidecar that it speaks of: a rebuilt artifact starts anew.
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
from .metadata_parts import UNVERIFIED, VERIFIED
from .publication import locked

if TYPE_CHECKING:
    from .bundle import Bundle

SCHEMA = "mambapro.checks/1"

log = logging.getLogger("mambapro")


@dataclass(frozen=True)
class Checked:
    """What is known of one artifact beyond its sidecar, whose SHA-256 is `sidecar`; None = as the sidecar says."""

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
    """checks.json: artifacts by their stems."""

    artifacts: dict[str, Checked]
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        one_of("schema", self.schema, (SCHEMA,))


def read_record(bundle: Bundle) -> dict[str, Checked]:
    """What checks found of the artifacts, by their stems. A record that cannot be read counts for nothing, and a
    warning says so."""
    try:
        return decode(CheckRecord, parse_json(bundle.files.read(CHECKS, LARGEST_TEXT))).artifacts
    except FileNotFoundError:
        return {}
    except (ArtifactError, ValueError) as error:
        log.warning("%s is ignored: %s", shown_text(bundle.folder / CHECKS), shown_text(error))
        return {}


def as_checked(bundle: Bundle, sidecar: Sidecar, record: dict[str, Checked]) -> Sidecar:
    """A sidecar with what a check found later."""
    found = record.get(sidecar.stem)
    if found is None or found.sidecar != bundle.sums.get(f"{sidecar.stem}.json"):
        return sidecar
    return replace(
        sidecar,
        state=found.state,
        cosine=found.cosine or sidecar.cosine,
        accuracy=found.accuracy or sidecar.accuracy,
        speed=found.speed or sidecar.speed,
        verified_on=found.verified_on or sidecar.verified_on,
    )


def write_record(bundle: Bundle, sidecar: Sidecar) -> None:
    """Write down what a check found of an artifact, as its sidecar would say it. The artifact's files stay untouched.

    Raises:
        BundleReplacedError: the bundle is another one by now.
        SetupError: no room, or no permission in the bundle; checks.json is as before.
    """
    bundle.require_current()
    found = Checked(
        bundle.sums[f"{sidecar.stem}.json"],
        sidecar.state,
        sidecar.cosine,
        sidecar.accuracy,
        sidecar.speed,
        sidecar.verified_on,
    )
    # another check may write down another artifact meanwhile
    with locked(bundle.folder):
        bundle.require_current()
        known = {stem: item for stem, item in read_record(bundle).items() if f"{stem}.json" in bundle.sums}
        content = {"schema": SCHEMA, **encode(CheckRecord({**known, sidecar.stem: found}))}

        def write(path: Path) -> None:
            path.write_text(json_text(content), encoding="utf-8", newline="\n")

        write_atomically(bundle.folder / CHECKS, write, in_bundle=True)
    bundle.forget_artifacts()
