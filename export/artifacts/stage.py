"""Files of artifacts in a stage, the linked copy of a bundle in which an artifact is built and gated."""

from __future__ import annotations

from pathlib import Path

from ...common.files.atomic import json_text, sha256_of
from ...runtime.bundle.artifact import Sidecar
from ...runtime.bundle.catalog import is_artifact_file
from ...runtime.bundle.checksums import SUMS, read_sums, sums_text


def files_of(stage: Path, name: str) -> list[Path]:
    """Return the files of an artifact except its manifest, `<name>.json`."""
    paths = (path for path in stage.iterdir() if _belongs(path.name, name))
    return sorted(path for path in paths if path.name != f"{name}.json")


def make_room(stage: Path, name: str) -> dict[str, str]:
    """Remove the links to an artifact and the list of files: a new artifact is written under its names.

    Without its list the stage is no bundle, and may be written into. Returns the other files by name, with their
    SHA-256, for `list_artifact`.
    """
    sums = {file: sha256 for file, sha256 in read_sums(stage).items() if not _belongs(file, name)}
    for path in [*files_of(stage, name), stage / f"{name}.json", stage / SUMS]:
        path.unlink(missing_ok=True)
    return sums


def list_artifact(stage: Path, artifact: Sidecar, others: dict[str, str]) -> None:
    """Write the manifest of an artifact and list its files beside `others`, which makes a bundle of the stage again."""
    manifest = stage / f"{artifact.stem}.json"
    manifest.write_text(json_text(artifact.to_json()), encoding="utf-8")
    new = {path.name: sha256_of(path) for path in (*files_of(stage, artifact.stem), manifest)}
    (stage / SUMS).write_text(sums_text({**others, **new}), encoding="utf-8")


def _belongs(file: str, name: str) -> bool:
    return is_artifact_file(file) and file.split(".")[0] == name
