"""From a bundle to a loaded model: which artifact, in which runtime."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..common.foreign_text import shown_text
from ..common.machine.memory_budget import bounded
from ..common.machine.packages import installed_version
from ..common.machine.time_budget import loading_seconds, within
from ..errors import ArtifactError, MambaProError, SetupError
from ..plugins.cuda.memory import gpu
from .backends.base import Backend
from .backends.onnxruntime import OnnxRuntimeBackend
from .bundle.artifact import OPENVINO, TENSORRT, TENSORRT_RTX, EngineNeeds, Sidecar
from .bundle.bundle import Bundle
from .bundle.catalog import matching
from .bundle.checksums import BundleReplacedError
from .bundle.graph_check import require_safe_file, require_safe_graph
from .bundle.metadata_parts import ONNXRUNTIME, PRECISIONS, VERIFIED
from .run_options import RunOptions

log = logging.getLogger("mambapro")

NO_ENGINE_SECTION = "does not say what its engine needs"

#: Fastest first; a bundle holds only what passed its gates.
_TARGET_ORDER = (TENSORRT, TENSORRT_RTX, OPENVINO, ONNXRUNTIME)
_PRECISION_ORDER = tuple(reversed(PRECISIONS))


def choose(bundle: Bundle, options: RunOptions) -> Sidecar:
    """The artifact to take, as `candidates` puts it first."""
    found = candidates(bundle, options)[0]
    _tell(bundle, found, options)
    return found


def _tell(bundle: Bundle, sidecar: Sidecar, options: RunOptions) -> None:
    if options.target is None and len(bundle.artifacts) > 1:
        log.info("running %s of %s", sidecar.stem, bundle.folder)


def candidates(bundle: Bundle, options: RunOptions) -> list[Sidecar]:
    """The artifacts that may be taken, the one to take first.

    With a target or a precision the fastest of those; without either the fastest verified one that runs here: an
    engine whose verdict is that it fits, then OpenVINO where it is installed, then ONNX Runtime (before OpenVINO where
    it has a GPU), and among these int8 before 16 bits before 32, but an int8 file that was kept though it is slower
    after whatever it is not faster than, and int8 last on ONNX Runtime's GPU, which has no int8 products.
    `device` "cpu" leaves engines out, "cuda" OpenVINO.

    Raises:
        InputError: the bundle has no such artifact.
        ArtifactError: none of them may be used here; gives the reason for each.
    """
    on_gpu = options.device != "cpu" and _onnxruntime_on_gpu()
    ordered = sorted(matching(bundle, options.target, options.precision), key=lambda item: _speed(item, on_gpu))
    if options.target is None and options.precision is None:
        ordered = _slow_ones_later(ordered)
    reasons = [why_not(bundle, sidecar, options) for sidecar in ordered]
    usable = [sidecar for sidecar, reason in zip(ordered, reasons, strict=True) if reason is None]
    if not usable:
        lines = "\n  ".join(f"{sidecar.stem}: {why}" for sidecar, why in zip(ordered, reasons, strict=True))
        raise ArtifactError(f"{bundle.folder} holds nothing that may run here:\n  {lines}")
    for sidecar, reason in zip(ordered, reasons, strict=True):
        if sidecar == usable[0]:
            break
        # engines for other machines are no news
        if sidecar.engine is None:
            log.info("%s is not taken: %s", sidecar.stem, reason)
    return usable


def open_fastest(bundle: Bundle, options: RunOptions) -> tuple[Sidecar, Backend]:
    """The first of `candidates` that can be loaded. One that cannot is told in a warning, and hides no other; where a
    target is asked for by name nothing of another target is taken in its place.

    Raises:
        InputError, ArtifactError: as `candidates`.
        SetupError, ArtifactError: none can be loaded; the reason of each.
    """
    for error in bundle.damaged.values():
        log.warning("%s The bundle's other artifacts are not affected.", error)
    usable = candidates(bundle, options)
    failed: list[tuple[str, MambaProError]] = []
    for number, sidecar in enumerate(usable):
        try:
            backend = _open_checked(bundle, sidecar, options)
        except BundleReplacedError:
            # all of them are of a bundle that is gone
            raise
        except (SetupError, ArtifactError) as error:
            failed.append((sidecar.stem, error))
            if number + 1 < len(usable):
                log.warning("%s cannot be loaded here, %s is next: %s", sidecar.stem, usable[number + 1].stem, error)
            continue
        _tell(bundle, sidecar, options)
        return sidecar, backend
    if len(failed) == 1:
        raise failed[0][1]
    lines = "\n  ".join(f"{name}: {error}" for name, error in failed)
    kind = SetupError if all(isinstance(error, SetupError) for _, error in failed) else ArtifactError
    raise kind(f"{bundle.folder} holds nothing that can be loaded here:\n  {lines}")


def _speed(sidecar: Sidecar, onnxruntime_on_gpu: bool) -> tuple[float, int]:
    """For sorting, fastest first."""
    target, precision = _TARGET_ORDER.index(sidecar.target), _PRECISION_ORDER.index(sidecar.precision)
    if onnxruntime_on_gpu and sidecar.target == ONNXRUNTIME:
        last = len(_PRECISION_ORDER)
        return _TARGET_ORDER.index(OPENVINO) - 0.5, last if sidecar.precision == "int8" else precision
    return target, precision


def _onnxruntime_on_gpu() -> bool:
    """Whether ONNX Runtime would run on a GPU here; told without loading it."""
    if not installed_version("onnxruntime-gpu"):
        return False
    try:
        gpu()
    except MambaProError:
        return False
    return True


def _slow_ones_later(candidates: list[Sidecar]) -> list[Sidecar]:
    """What lost its race, and was kept by force, right behind the last of those that it is not faster than."""
    result = list(candidates)
    for sidecar in candidates:
        faster = _not_beaten(sidecar, result)
        last = max((result.index(other) for other in faster), default=-1)
        if last > result.index(sidecar):
            result.insert(last + 1, sidecar)
            result.remove(sidecar)
    return result


def _not_beaten(sidecar: Sidecar, others: list[Sidecar]) -> list[Sidecar]:
    """The others that an artifact which lost its race is not faster than, as far as that was measured."""
    speed = sidecar.speed
    if speed is None or not speed.slower:
        return []
    known = {speed.other: speed.ratio, **speed.listed}
    if speed.listed or any(other.stem == speed.other for other in others):
        return [other for other in others if other.stem in known and not known[other.stem] > 1]
    # what it lost to is not in the bundle, and it was compared with nothing else: it comes behind all others
    return [other for other in others if other is not sidecar]


def why_not(bundle: Bundle, sidecar: Sidecar, options: RunOptions) -> str | None:
    """Why an artifact is not taken, None if it may be. A target that was asked for by name is not judged by device."""
    unproven = None
    if sidecar.state != VERIFIED and not options.unverified:
        unproven = f"not verified on any machine yet; run mambapro check {bundle.folder} on this one"
    if sidecar.target in (TENSORRT, TENSORRT_RTX) and sidecar.engine is None:
        return f"its sidecar {NO_ENGINE_SECTION}; build it again"
    if sidecar.engine is not None:
        if options.device == "cpu" and options.target is None:
            return "an engine needs a GPU"
        # where it cannot run it cannot be verified either
        return _verdict(sidecar) or unproven or _untrusted(sidecar.engine, options)
    if unproven is not None:
        return unproven
    if sidecar.target == OPENVINO and options.device == "cuda":
        return "OpenVINO runs on the CPU, not on CUDA; leave the device out"
    # asked for by name, it says itself how it is installed
    if sidecar.target == OPENVINO and options.target is None and importlib.util.find_spec("openvino") is None:
        return 'OpenVINO is not installed: pip install "mambapro[openvino]"'
    return None


def _untrusted(needs: EngineNeeds, options: RunOptions) -> str | None:
    if needs.code is None or options.load_plugins:
        return None
    return f"it holds code ({needs.code}); pass load_plugins=True (--load-plugins) where you trust the bundle"


def _verdict(sidecar: Sidecar) -> str | None:
    from .compatibility import machine_of, verdict

    found = verdict(sidecar, machine_of())
    if found.state == "fit":
        return None
    advice = ["Rebuild it: mambapro build with --overwrite."] if found.state == "rebuild" else []
    return " ".join([*found.reasons, *advice])


def _open_checked(bundle: Bundle, sidecar: Sidecar, options: RunOptions) -> Backend:
    """`open_backend`, and ArtifactError where the model is not what the metadata say."""
    backend = open_backend(bundle, sidecar, options)
    try:
        _check_graph(bundle, backend)
    except ArtifactError:
        backend.close()
        raise
    return backend


def open_backend(bundle: Bundle, sidecar: Sidecar, options: RunOptions) -> Backend:
    """Load an artifact of a bundle: the very bytes whose hashes were compared.

    Raises:
        SetupError: its library is missing or does not run where it was asked to.
        ArtifactError: the file is damaged, needs other files or may never end, or its library refuses it.
    """
    with ExitStack() as copies:
        if sidecar.target == OPENVINO:
            return _openvino(bundle, sidecar, options)
        file = copies.enter_context(_loadable(bundle, sidecar.file))
        if sidecar.target == ONNXRUNTIME:
            require_safe_file(file, bundle.folder / sidecar.file)
            names = bundle.custom_operators() if options.load_plugins else ()
            libraries = tuple(copies.enter_context(_loadable(bundle, name)) for name in names)
            backend = OnnxRuntimeBackend(file, options.device, options.threads, options.allow_fallback, libraries)
            backend.called = shown_text(bundle.folder / sidecar.file)
            return backend
        return _engine(bundle, sidecar, options, file, copies)


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


def _engine(bundle: Bundle, sidecar: Sidecar, options: RunOptions, file: Path, copies: ExitStack) -> Backend:
    from .backends.tensorrt.backend import TensorRtBackend

    if sidecar.engine is None:
        raise ArtifactError(f"{bundle.folder / sidecar.stem}.json {NO_ENGINE_SECTION}. Build it again.")
    plugin, trusted = sidecar.engine.plugin, options.load_plugins
    wanted = trusted and plugin.kind == "beside" and plugin.file is not None
    beside = copies.enter_context(_loadable(bundle, plugin.file)) if wanted and plugin.file else None
    library = "tensorrt" if sidecar.target == TENSORRT else "tensorrt_rtx"
    return TensorRtBackend(file, sidecar, library, plugin_library=beside, host_code=trusted)


def _check_graph(bundle: Bundle, backend: Backend) -> None:
    told_in = {tensor.name for tensor in bundle.metadata.inputs}
    told_out = {tensor.name for tensor in bundle.metadata.outputs}
    if set(backend.inputs) != told_in or not told_out <= set(backend.outputs):
        raise ArtifactError(
            f"{bundle.folder}: the model takes {sorted(backend.inputs)} and returns {sorted(backend.outputs)}; "
            f"its metadata says {sorted(told_in)} and {sorted(told_out)}. Export the bundle again."
        )


@contextmanager
def _loadable(bundle: Bundle, name: str) -> Iterator[Path]:
    """A file of the bundle for libraries; messages of theirs name it as it is called in the bundle."""
    with bundle.loadable(name) as copy, _called(str(copy.path), bundle.folder / name):
        yield copy.path


@contextmanager
def _called(name: str, path: Path) -> Iterator[None]:
    """Put `path` for `name` into the messages of errors."""
    try:
        yield
    except MambaProError as error:
        if name not in str(error):
            raise
        raise type(error)(str(error).replace(name, shown_text(path))) from error
