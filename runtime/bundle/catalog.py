"""Artifacts of a bundle: list, selection by name, and atomic addition.

`SHA256SUMS` determines the files of a bundle. An artifact is added together with its list entries, see
`publication.py`: after a failure the bundle is unchanged.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...common.files.atomic import PARTIAL, clear_leftovers, json_text
from ...common.files.locks import RANDOM
from ...common.foreign_text import escaped, shown_text
from ...errors import ArtifactError, InputError
from .artifact import NEVER_BUILT, TARGETS, TENSORRT, TENSORRT_RTX, Build, Sidecar, parse_sidecar, stem
from .check_record import as_checked, read_record
from .checksums import CARD, LARGEST_TEXT, MODEL, SUMS, BundleReplacedError, files_below, read_sums
from .field_checks import one_of
from .folder import BundleFolder
from .metadata_parts import ONNXRUNTIME, PRECISIONS
from .model_card import card_of, is_own_card
from .publication import locked, publish

if TYPE_CHECKING:
    from .bundle import Bundle

#: Suffixes of an artifact's files.
SUFFIXES = (".json", ".onnx", ".engine", ".so")
_STEMS = {stem(target, precision) for target in TARGETS for precision in PRECISIONS}


def is_artifact_file(name: str) -> bool:
    """Return True if a file of this name belongs to an artifact, or remains of an interrupted build."""
    if re.fullmatch(rf"\.{SUMS}\.{RANDOM}", name):
        return True
    # a scratch folder of a killed process
    partial = re.fullmatch(rf"\.(.+)\.{RANDOM}{re.escape(PARTIAL)}", name)
    if partial is not None:
        return partial[1] == SUMS or is_artifact_file(partial[1])
    path = Path(name.removeprefix("."))
    owner, suffix = path.name.split(".")[0], path.suffix
    return "/" not in name and ((suffix in SUFFIXES and owner in _STEMS) or f"{owner}{suffix}" == CARD)


def is_leftover(files: BundleFolder, name: str) -> bool:
    """Return True if an unlisted file remains of an interrupted build: a model card only if it is this product's."""
    return is_artifact_file(name) and (name != CARD or is_own_card(files))


def require_own_card(files: BundleFolder, sums: Mapping[str, str]) -> None:
    """Raise InputError if the folder of a bundle holds a model card that is somebody else's."""
    if CARD not in sums and files.has(CARD) and not is_own_card(files):
        raise InputError(
            f"{shown_text(files.path / CARD)} was not written by mambapro, and its place is that of the bundle's own "
            "model card: nothing was written. Move it away, then build again."
        )


def belongs(file: str, name: str) -> bool:
    """Tell whether a file of a bundle is one of the artifact `name`."""
    return is_artifact_file(file) and file.split(".")[0] == name


def exported_model(bundle: Bundle) -> Sidecar:
    """Return the exported model as an artifact: it has no manifest, the bundle's metadata describe it."""
    metadata = bundle.metadata
    entry = next((item for item in metadata.artifacts if item.target == ONNXRUNTIME), None)
    if entry is None or entry.file not in bundle.sums:
        raise ArtifactError(f"{escaped(bundle.folder)} lists no model for {ONNXRUNTIME}. Export the bundle again.")
    return Sidecar(
        file=entry.file,
        target=ONNXRUNTIME,
        precision=metadata.precision.label,
        state=entry.state,
        sha256=bundle.sums[entry.file],
        onnx=entry.file,
        build=Build(0.0, bundle.size(entry.file)),
        max_departure=bundle.parity_limit(),
        max_map_drop=0.0,
    )


def built_artifacts(bundle: Bundle) -> tuple[tuple[Sidecar, ...], dict[str, ArtifactError]]:
    """Return the artifacts built from the model, by name, and the errors of unusable ones."""
    built, broken, record = [], {}, read_record(bundle.files)
    for name in sorted(_STEMS):
        if f"{name}.json" not in bundle.sums:
            continue
        try:
            built.append(as_checked(built_artifact(bundle, name), bundle.sums[f"{name}.json"], record))
        except BundleReplacedError:
            raise
        except ArtifactError as error:
            broken[name] = error
    return tuple(built), broken


def built_artifact(bundle: Bundle, name: str) -> Sidecar:
    """Return the manifest of a built artifact by its stem, as built.

    Raises:
        ArtifactError: it cannot be read, or belongs to other files than the bundle lists.
    """
    path = bundle.folder / f"{name}.json"
    sidecar = parse_sidecar(bundle.read(path.name, LARGEST_TEXT), path)
    if sidecar.stem != name:
        raise ArtifactError(f"{shown_text(path)} is of {sidecar.stem}, not of {name}. Build it again.")
    for file in (sidecar.file, sidecar.onnx):
        if file not in bundle.sums:
            raise ArtifactError(
                f"{shown_text(path)} names {shown_text(file)}, which {SUMS} does not list. Build it again."
            )
    if bundle.sums[sidecar.file] != sidecar.sha256:
        raise ArtifactError(
            f"{shown_text(path)} is of another {shown_text(sidecar.file)} than the bundle's. Build it again."
        )
    if sidecar.source not in (None, bundle.sums[MODEL]):
        raise ArtifactError(f"{shown_text(path)} was built from another {MODEL} than the bundle's. Build it again.")
    if sidecar.target in (TENSORRT, TENSORRT_RTX) and sidecar.engine is None:
        raise ArtifactError(f"{shown_text(path)} does not say what its engine needs. Build it again.")
    return sidecar


def matching(bundle: Bundle, target: str | None, precision: str | None) -> tuple[Sidecar, ...]:
    """Return the artifacts of a target and a precision, None = any.

    Raises:
        InputError: an unknown name, or the bundle has none; the message lists its artifacts.
        ArtifactError: the matching ones are damaged.
    """
    if target is not None:
        one_of("target", target, TARGETS)
    if precision is not None:
        one_of("precision", precision, PRECISIONS)
    artifacts, broken = bundle.artifacts, bundle.damaged
    found = tuple(a for a in artifacts if target in (None, a.target) and precision in (None, a.precision))
    named = [error for name, error in broken.items() if name in stems(target, precision)]
    if not found and named:
        raise named[0]
    if not found:
        asked = " ".join(word for word in (target, precision) if word)
        raise InputError(
            f"{escaped(bundle.folder)} has nothing for {asked}, only {', '.join(a.stem for a in artifacts)}."
            + _how_to_build(bundle, target or artifacts[0].target, precision)
        )
    return found


def stems(target: str | None, precision: str | None) -> set[str]:
    """Return the names of artifacts of a target and a precision, None = any."""
    targets = TARGETS if target is None else (target,)
    return {stem(one, other) for one in targets for other in (PRECISIONS if precision is None else (precision,))}


def _how_to_build(bundle: Bundle, target: str, precision: str | None) -> str:
    if (target, precision) in NEVER_BUILT:
        return f" {target} has no {precision}: {NEVER_BUILT[target, precision or '']}."
    asked = f" --precision {precision}" if precision else ""
    return f" Build it: mambapro build {bundle.folder} --target {target}{asked}."


def add_artifact(folder: Path, sidecar: Sidecar, files: Mapping[str, Path], *, overwrite: bool = True) -> None:
    """Move files into a bundle and list them with their manifest; write the model card anew.

    After a failure the bundle is unchanged, including the artifact to replace.

    Args:
        folder: the bundle.
        sidecar: names `sidecar.file` and `sidecar.onnx`, each in `files` or already in the bundle.
        files: name in the bundle -> file to move there, on the same file system.
        overwrite: replace an artifact of the same name; it may have been built meanwhile.

    Raises:
        InputError: a name that is no artifact's, the bundle has the artifact, or a model card of somebody else.
        BundleReplacedError: the artifact was built from another model.
        SetupError: the disk is full or permission is missing.
    """
    foreign = [name for name in files if name.startswith(".") or name == CARD or not is_artifact_file(name)]
    if foreign:
        raise InputError(f"{', '.join(foreign)} is no name for a file of an artifact, such as {sidecar.stem}.onnx.")
    with locked(folder) as bundle:
        sums = read_sums(bundle)
        if not overwrite and f"{sidecar.stem}.json" in sums:
            raise has_already(folder, sidecar.stem)
        if sidecar.source not in (None, sums.get(MODEL)):
            raise BundleReplacedError(
                f"{shown_text(folder)} was replaced while {sidecar.stem} was built from the {MODEL} before: nothing "
                "was added. Build it again."
            )
        require_own_card(bundle, sums)
        for name in files_below(bundle):
            if is_artifact_file(name) and name not in sums:
                os.unlink(name, dir_fd=bundle.handle)
        clear_leftovers(folder, (SUMS, f"{sidecar.stem}.json"))
        listed = {stem: sums[f"{stem}.json"] for stem in _STEMS if f"{stem}.json" in sums}
        texts = {CARD: card_of(bundle, listed, sidecar), f"{sidecar.stem}.json": json_text(sidecar.to_json())}
        new: dict[str, Path | str] = {**files, **texts}
        publish(bundle, new, [name for name in sums if belongs(name, sidecar.stem)])


def update_sidecar(folder: Path, sidecar: Sidecar) -> None:
    """Replace the manifest of an unchanged artifact.

    Raises:
        ArtifactError: the bundle does not list it.
        SetupError: the disk is full or permission is missing; nothing has changed.
    """
    name = f"{sidecar.stem}.json"
    with locked(folder) as bundle:
        if name not in read_sums(bundle):
            raise ArtifactError(f"{shown_text(folder)} has no artifact {sidecar.stem} whose state could change.")
        publish(bundle, {name: json_text(sidecar.to_json())}, [name])


def has_already(folder: Path, name: str) -> InputError:
    """Return the error for an existing artifact that may not be replaced."""
    return InputError(f"{folder} has {name} already. Replace it with --overwrite.")
