"""Loading of the artifacts of a bundle by their runtimes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..common.foreign_text import shown_text
from ..common.machine.memory_budget import bounded
from ..common.machine.time_budget import loading_seconds, within
from ..errors import ArtifactError, MambaProError, SetupError
from .backends.base import Backend
from .backends.onnxruntime import OnnxRuntimeBackend
from .bundle.artifact import OPENVINO, TENSORRT, Sidecar
from .bundle.bundle import Bundle
from .bundle.checksums import BundleReplacedError
from .bundle.graph_check import require_safe_file, require_safe_graph
from .bundle.metadata_parts import ONNXRUNTIME
from .run_options import RunOptions
from .selection import NO_ENGINE_SECTION, candidates

log = logging.getLogger("mambapro")


def open_fastest(bundle: Bundle, options: RunOptions) -> tuple[Sidecar, Backend]:
    """Return the first of `candidates` that can be loaded; failures are logged as warnings.

    If a target was requested, nothing of another target is loaded in its place.

    Raises:
        InputError, ArtifactError: as `candidates`.
        SetupError, ArtifactError: none can be loaded; the reason of each.
    """
    usable = candidates(bundle, options)
    failed: list[tuple[str, MambaProError]] = []
    for number, sidecar in enumerate(usable):
        try:
            backend = open_backend(bundle, sidecar, options)
        except BundleReplacedError:
            # all of them belong to a bundle that is gone
            raise
        except (SetupError, ArtifactError) as error:
            failed.append((sidecar.stem, error))
            if number + 1 < len(usable):
                log.warning("%s cannot be loaded here, %s is next: %s", sidecar.stem, usable[number + 1].stem, error)
            continue
        if options.target is None and len(bundle.artifacts) > 1:
            log.info("running %s of %s", sidecar.stem, bundle.folder)
        return sidecar, backend
    if len(failed) == 1:
        raise failed[0][1]
    lines = "\n  ".join(f"{name}: {error}" for name, error in failed)
    kind = SetupError if all(isinstance(error, SetupError) for _, error in failed) else ArtifactError
    raise kind(f"{bundle.folder} holds nothing that can be loaded here:\n  {lines}")


def open_backend(bundle: Bundle, sidecar: Sidecar, options: RunOptions) -> Backend:
    """Load an artifact of a bundle: exactly the bytes whose hashes were compared.

    Raises:
        SetupError: its library is missing or does not run on the requested device.
        ArtifactError: the file is damaged, needs other files or may never end, its library rejects it, or its inputs
            and outputs differ from the metadata.
    """
    if sidecar.target == OPENVINO:
        backend = _openvino(bundle, sidecar, options)
    elif sidecar.target == ONNXRUNTIME:
        backend = _onnxruntime(bundle, sidecar, options)
    else:
        backend = _engine(bundle, sidecar, options)
    takes, returns = ({tensor.name for tensor in side} for side in (bundle.metadata.inputs, bundle.metadata.outputs))
    if set(backend.inputs) != takes or not returns <= set(backend.outputs):
        backend.close()
        raise ArtifactError(
            f"{bundle.folder}: the model takes {sorted(backend.inputs)} and returns {sorted(backend.outputs)}; "
            f"its metadata says {sorted(takes)} and {sorted(returns)}. Export the bundle again."
        )
    return backend


def _onnxruntime(bundle: Bundle, sidecar: Sidecar, options: RunOptions) -> Backend:
    with ExitStack() as copies:
        file = copies.enter_context(_loadable(bundle, sidecar.file))
        require_safe_file(file, bundle.folder / sidecar.file)
        names = bundle.custom_operators() if options.load_plugins else ()
        libraries = tuple(copies.enter_context(_loadable(bundle, name)) for name in names)
        backend = OnnxRuntimeBackend(file, options.device, options.threads, options.allow_fallback, libraries)
        backend.called = shown_text(bundle.folder / sidecar.file)
        return backend


def _openvino(bundle: Bundle, sidecar: Sidecar, options: RunOptions) -> Backend:
    from .backends.openvino import OpenVinoBackend, prepare

    content = bundle.read(sidecar.file)
    require_safe_graph(content, bundle.folder / sidecar.file)
    prepare()
    what = "The loading of the model in memory"
    with _called("the model in memory", bundle.folder / sidecar.file), bounded(len(content), 0, what):
        return within(
            lambda: OpenVinoBackend(
                content,
                hint=sidecar.hint or "f32",
                mode=options.mode,
                threads=options.threads,
                cache=options.cache_folder,
            ),
            loading_seconds(len(content)),
            what,
        )


def _engine(bundle: Bundle, sidecar: Sidecar, options: RunOptions) -> Backend:
    from .backends.tensorrt.backend import TensorRtBackend

    if sidecar.engine is None:
        raise ArtifactError(f"{bundle.folder / sidecar.stem}.json {NO_ENGINE_SECTION}. Build it again.")
    plugin, trusted = sidecar.engine.plugin, options.load_plugins
    library = "tensorrt" if sidecar.target == TENSORRT else "tensorrt_rtx"
    with ExitStack() as copies:
        file, external = copies.enter_context(_loadable(bundle, sidecar.file)), None
        if trusted and plugin.kind == "external" and plugin.file is not None:
            external = copies.enter_context(_loadable(bundle, plugin.file))
        return TensorRtBackend(file, sidecar, library, plugin_library=external, host_code=trusted)


@contextmanager
def _loadable(bundle: Bundle, name: str) -> Iterator[Path]:
    """Yield a path of a bundle's file for libraries; their messages show its name in the bundle."""
    with bundle.loadable(name) as copy, _called(str(copy.path), bundle.folder / name):
        yield copy.path


@contextmanager
def _called(name: str, path: Path) -> Iterator[None]:
    """Replace `name` by `path` in the messages of errors."""
    try:
        yield
    except MambaProError as error:
        if name not in str(error):
            raise
        raise type(error)(str(error).replace(name, shown_text(path))) from error
