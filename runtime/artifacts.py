"""The loadable files of a bundle: which there are, which one to take, and how one is added without a torn state.

`SHA256SUMS` decides what belongs to a bundle. An artifact enters in three steps, each atomic: it is taken off the list,
its files are put in place, and it is listed. A process killed between them leaves a bundle without the artifact.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import ArtifactError, InputError, SetupError
from .bundle import SUMS, Bundle, files_below, read_sums, sums_text
from .files import PARTIAL, json_text, sha256_of, write_atomically
from .held import RANDOM, held_folder
from .metadata import ONNXRUNTIME, PRECISIONS, one_of
from .sidecar import NEVER_BUILT, TARGETS, TENSORRT, TENSORRT_RTX, Build, Sidecar, read_sidecar, stem

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


def base_artifact(bundle: Bundle) -> Sidecar:
    """The exported model itself as an artifact: it has no file beside it, the bundle's metadata say what it is."""
    metadata = bundle.metadata
    entry = next((item for item in metadata.artifacts if item.target == ONNXRUNTIME), None)
    if entry is None or entry.file not in bundle.sums:
        raise ArtifactError(f"{bundle.folder} lists no model for {ONNXRUNTIME}. Export the bundle again.")
    return Sidecar(
        file=entry.file,
        target=ONNXRUNTIME,
        precision=metadata.precision.label,
        state=entry.state,
        sha256=bundle.sums[entry.file],
        onnx=entry.file,
        build=Build(0.0, (bundle.folder / entry.file).stat().st_size),
        max_departure=bundle.parity_limit(),
        max_map_drop=0.0,
    )


def artifacts_of(bundle: Bundle) -> tuple[Sidecar, ...]:
    """The exported model, then every artifact built from it that can be used, by name."""
    return read_artifacts(bundle)[0]


def read_artifacts(bundle: Bundle) -> tuple[tuple[Sidecar, ...], dict[str, ArtifactError]]:
    """The exported model and the artifacts, and by name why others cannot be used: one that is damaged hides none."""
    built, broken = [], {}
    for name in sorted(_STEMS):
        if f"{name}.json" not in bundle.sums:
            continue
        try:
            built.append(_read_artifact(bundle, name))
        except ArtifactError as error:
            broken[name] = error
    return (base_artifact(bundle), *built), broken


def _read_artifact(bundle: Bundle, name: str) -> Sidecar:
    """An artifact from its sidecar.

    Raises:
        ArtifactError: the sidecar cannot be read, or is not of the files that the bundle lists.
    """
    sidecar, where = read_sidecar(bundle.file(f"{name}.json")), bundle.folder / f"{name}.json"
    if sidecar.stem != name:
        raise ArtifactError(f"{where} is the sidecar of {sidecar.stem}. Build it again.")
    for file in (sidecar.file, sidecar.onnx):
        if file not in bundle.sums:
            raise ArtifactError(f"{where} names {file}, which {SUMS} does not list. Build it again.")
    if bundle.sums[sidecar.file] != sidecar.sha256:
        raise ArtifactError(f"{where} is of another {sidecar.file} than the bundle's. Build it again.")
    if sidecar.target in (TENSORRT, TENSORRT_RTX) and sidecar.engine is None:
        raise ArtifactError(f"{where} does not say what its engine needs. Build it again.")
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
    every, broken = read_artifacts(bundle)
    found = tuple(a for a in every if target in (None, a.target) and precision in (None, a.precision))
    named = [error for name, error in broken.items() if name in stems(target, precision)]
    if not found and named:
        raise named[0]
    if not found:
        asked = " ".join(word for word in (target, precision) if word)
        raise InputError(
            f"{bundle.folder} has nothing for {asked}, only {', '.join(a.stem for a in every)}."
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
        raise SetupError(f"Cannot build in {bundle.folder}: no permission to write there and in {parent}.")
    with held_folder(parent, f".{bundle.folder.name[:100]}.", ".build") as folder:
        yield folder


@contextlib.contextmanager
def scratch_copy(bundle: Bundle) -> Iterator[Path]:
    """A copy of a bundle beside it that takes no room: its files are links to the same content.

    Files of a bundle are only ever replaced, never written into, so neither of the two can change the other. What is
    copied is what the bundle lists now, which another build may have changed since `bundle` was opened.
    """
    with scratch_folder(bundle) as folder:
        with _locked(bundle.folder):
            for name in (*read_sums(bundle.folder), SUMS):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(bundle.folder / name, folder / name)
                except OSError:
                    # some file systems have no links
                    shutil.copyfile(bundle.folder / name, folder / name)
        yield folder


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time changes the list of a bundle."""
    # not on Windows, where a folder cannot be locked this way
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def add_artifact(folder: Path, sidecar: Sidecar, files: Mapping[str, Path], *, overwrite: bool = True) -> None:
    """Move files into a bundle and list them with their sidecar.

    Args:
        folder: the bundle.
        sidecar: names `sidecar.file` and `sidecar.onnx`, each in `files` or in the bundle already.
        files: name in the bundle -> file to move there, on the same file system.
        overwrite: replace an artifact of the same name; it may have been built meanwhile.

    Raises:
        InputError: a name that is no artifact's, or the bundle has the artifact.
        SetupError: no room or no permission.
    """
    foreign = [name for name in files if name.startswith(".") or not is_artifact_file(name)]
    if foreign:
        raise InputError(f"{', '.join(foreign)} is no name for a file of an artifact, such as {sidecar.stem}.onnx.")
    with _locked(folder):
        if not overwrite and f"{sidecar.stem}.json" in read_sums(folder):
            raise has_already(folder, sidecar.stem)
        _list(folder, _without(read_sums(folder), sidecar.stem))
        for name in files_below(folder):
            if is_artifact_file(name) and name not in read_sums(folder):
                (folder / name).unlink()
        for name, path in files.items():
            os.replace(path, folder / name)
        _put(folder / f"{sidecar.stem}.json", json_text(sidecar.to_json()))
        new = {name: sha256_of(folder / name) for name in (*files, f"{sidecar.stem}.json")}
        _list(folder, {**read_sums(folder), **new})


def update_sidecar(folder: Path, sidecar: Sidecar) -> None:
    """Replace the sidecar of an artifact that stays as it is.

    Raises:
        ArtifactError: the bundle does not list it.
    """
    name = f"{sidecar.stem}.json"
    with _locked(folder):
        sums = read_sums(folder)
        if name not in sums:
            raise ArtifactError(f"{folder} has no artifact {sidecar.stem} whose state could change.")
        _list(folder, {key: value for key, value in sums.items() if key != name})
        _put(folder / name, json_text(sidecar.to_json()))
        _list(folder, {**sums, name: sha256_of(folder / name)})


def _without(sums: dict[str, str], name: str) -> dict[str, str]:
    return {file: value for file, value in sums.items() if not (is_artifact_file(file) and file.split(".")[0] == name)}


def _list(folder: Path, sums: dict[str, str]) -> None:
    _put(folder / SUMS, sums_text(sums))


def _put(file: Path, text: str) -> None:
    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8", newline="\n")

    write_atomically(file, write, in_bundle=True)


def has_already(folder: Path, name: str) -> InputError:
    """The error of an artifact that is there and may not be replaced."""
    return InputError(f"{folder} has {name} already. Replace it with --overwrite.")
