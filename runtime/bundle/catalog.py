"""The loadable files of a bundle: which there are, which one to take, and how one is added without a torn state.

`SHA256SUMS` decides what belongs to a bundle. An artifact enters with its list, see `publication.py`: where anything
fails, the bundle is as before.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...common.files.atomic import PARTIAL, clear_leftovers, json_text
from ...common.files.locks import RANDOM, held_folder
from ...common.foreign_text import escaped, shown_text
from ...errors import ArtifactError, InputError, SetupError
from .artifact import NEVER_BUILT, TARGETS, TENSORRT, TENSORRT_RTX, Build, Sidecar, parse_sidecar, stem
from .check_record import as_checked, read_record
from .checksums import LARGEST_TEXT, MODEL, SUMS, BundleReplacedError, files_below, read_sums, replaced
from .field_checks import one_of
from .metadata_parts import ONNXRUNTIME, PRECISIONS
from .publication import locked, publish

if TYPE_CHECKING:
    from .bundle import Bundle

#: What a file of an artifact may end in.
SUFFIXES = (".json", ".onnx", ".engine", ".so")
_STEMS = {stem(target, precision) for target in TARGETS for precision in PRECISIONS}


def is_artifact_file(name: str) -> bool:
    """Whether a file of this name belongs to an artifact, or is left of one whose making was interrupted."""
    if re.fullmatch(rf"\.{SUMS}\.{RANDOM}", name):
        return True
    # a scratch folder that a killed process left
    partial = re.fullmatch(rf"\.(.+)\.{RANDOM}{re.escape(PARTIAL)}", name)
    if partial is not None:
        return partial[1] == SUMS or is_artifact_file(partial[1])
    path = Path(name.removeprefix("."))
    return "/" not in name and path.suffix in SUFFIXES and path.name.split(".")[0] in _STEMS


def exported_model(bundle: Bundle) -> Sidecar:
    """The exported model itself as an artifact: it has no file beside it, the bundle's metadata say what it is."""
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
    """The artifacts built from the model, by name, and why others cannot be used: one that is damaged hides none."""
    built, broken, record = [], {}, read_record(bundle)
    for name in sorted(_STEMS):
        if f"{name}.json" not in bundle.sums:
            continue
        try:
            built.append(as_checked(bundle, built_artifact(bundle, name), record))
        except BundleReplacedError:
            raise
        except ArtifactError as error:
            broken[name] = error
    return tuple(built), broken


def built_artifact(bundle: Bundle, name: str) -> Sidecar:
    """The sidecar of a built artifact by its stem, as it was built.

    Raises:
        ArtifactError: it cannot be read, or is of other files than the bundle lists.
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
    """The artifacts of a target and a precision, None = any.

    Raises:
        InputError: an unknown name, or the bundle has none; says which it has.
        ArtifactError: those that it has are damaged.
    """
    if target is not None:
        one_of("target", target, TARGETS)
    if precision is not None:
        one_of("precision", precision, PRECISIONS)
    every, broken = bundle.artifacts, bundle.damaged
    found = tuple(a for a in every if target in (None, a.target) and precision in (None, a.precision))
    named = [error for name, error in broken.items() if name in stems(target, precision)]
    if not found and named:
        raise named[0]
    if not found:
        asked = " ".join(word for word in (target, precision) if word)
        raise InputError(
            f"{escaped(bundle.folder)} has nothing for {asked}, only {', '.join(a.stem for a in every)}."
            + _how_to_build(bundle, target or every[0].target, precision)
        )
    return found


def stems(target: str | None, precision: str | None) -> set[str]:
    """Names of artifacts of a target and a precision, None = any."""
    targets = TARGETS if target is None else (target,)
    return {stem(one, other) for one in targets for other in (PRECISIONS if precision is None else (precision,))}


def _how_to_build(bundle: Bundle, target: str, precision: str | None) -> str:
    if (target, precision) in NEVER_BUILT:
        return f" {target} has no {precision}: {NEVER_BUILT[target, precision or '']}."
    asked = f" --precision {precision}" if precision else ""
    return f" Build it: mambapro build {bundle.folder} --target {target}{asked}."


@contextlib.contextmanager
def scratch_folder(bundle: Bundle) -> Iterator[Path]:
    """An empty folder beside a bundle, on its file system, that is gone afterwards.

    Raises:
        SetupError: no permission in the bundle or beside it.
    """
    parent = bundle.folder.absolute().parent
    if not os.access(parent, os.W_OK) or not os.access(bundle.folder, os.W_OK):
        raise SetupError(f"Cannot build in {escaped(bundle.folder)}: no permission to write there and in {parent}.")
    with held_folder(parent, f".{bundle.folder.name[:100]}.", ".build") as folder:
        yield folder


@contextlib.contextmanager
def scratch_copy(bundle: Bundle) -> Iterator[Path]:
    """A copy of a bundle beside it that takes no room: its files are links to the same content.

    Files of a bundle are only ever replaced, never written into, so neither of the two can change the other. What is
    copied is what the bundle lists now, which another build may have changed since `bundle` was opened.

    Raises:
        BundleReplacedError: another bundle has its place by now.
        SetupError: no room or no permission.
    """
    with scratch_folder(bundle) as folder:
        with locked(bundle.folder) as files:
            if not bundle.files.is_still_there():
                raise replaced(bundle.folder)
            for name in (*read_sums(files), SUMS):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(name, folder / name, src_dir_fd=files.handle)
                except OSError:
                    # some file systems have no links
                    with files.open(name) as source, open(folder / name, "wb") as target:
                        shutil.copyfileobj(source, target)
        yield folder


def add_artifact(folder: Path, sidecar: Sidecar, files: Mapping[str, Path], *, overwrite: bool = True) -> None:
    """Move files into a bundle and list them with their sidecar.

    Where it fails, the bundle is as before, the artifact that was to be replaced included.

    Args:
        folder: the bundle.
        sidecar: names `sidecar.file` and `sidecar.onnx`, each in `files` or in the bundle already.
        files: name in the bundle -> file to move there, on the same file system.
        overwrite: replace an artifact of the same name; it may have been built meanwhile.

    Raises:
        InputError: a name that is no artifact's, or the bundle has the artifact.
        BundleReplacedError: the bundle's model is not the one that the artifact was built from.
        SetupError: no room or no permission.
    """
    foreign = [name for name in files if name.startswith(".") or not is_artifact_file(name)]
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
        for name in files_below(bundle):
            if is_artifact_file(name) and name not in sums:
                os.unlink(name, dir_fd=bundle.handle)
        clear_leftovers(folder, (SUMS, f"{sidecar.stem}.json"))
        new: dict[str, Path | str] = {**files, f"{sidecar.stem}.json": json_text(sidecar.to_json())}
        publish(bundle, new, [name for name in sums if _belongs(name, sidecar.stem)])


def update_sidecar(folder: Path, sidecar: Sidecar) -> None:
    """Replace the sidecar of an artifact that stays as it is.

    Raises:
        ArtifactError: the bundle does not list it.
        SetupError: no room or no permission; nothing has changed.
    """
    name = f"{sidecar.stem}.json"
    with locked(folder) as bundle:
        if name not in read_sums(bundle):
            raise ArtifactError(f"{shown_text(folder)} has no artifact {sidecar.stem} whose state could change.")
        publish(bundle, {name: json_text(sidecar.to_json())}, [name])


def _belongs(file: str, name: str) -> bool:
    return is_artifact_file(file) and file.split(".")[0] == name


def has_already(folder: Path, name: str) -> InputError:
    """The error of an artifact that is there and may not be replaced."""
    return InputError(f"{folder} has {name} already. Replace it with --overwrite.")
