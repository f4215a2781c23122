"""OpenVINO backend on the processor: latency or throughput mode, float32 or a shorter type where supported."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ...common.files.atomic import make_folder
from ...common.foreign_text import escaped
from ...common.machine.cpus import usable_threads
from ...errors import ArtifactError, InputError, SetupError
from ...plugins.private_folder import require_private
from ...plugins.selective_scan.openvino import extension
from .process import ProcessBound, never_free

DEVICE = "CPU"
F32, BF16, F16 = "f32", "bf16", "f16"
HINTS = (F32, BF16, F16)
LATENCY, THROUGHPUT = "latency", "throughput"
MODES = (LATENCY, THROUGHPUT)

logger = logging.getLogger("mambapro")


class _Port(NamedTuple):
    """Input of the model: its NumPy type, its sizes (None = any), and both as text."""

    dtype: np.dtype
    sizes: tuple[int | None, ...]
    words: str


class OpenVinoBackend(ProcessBound):
    """ONNX model, with or without Q/DQ nodes, in OpenVINO. `run` may be called by several threads.

    Attributes:
        precision: the type that OpenVINO really uses; a warning is logged if it is not `hint`.
        why_precision: reason why it is not `hint`, None if it is.
        streams: number of batches that run in parallel.
        from_cache: whether the compiled model came from `cache`.

    Args:
        model: path of the ONNX file, or its bytes.
        hint: type of the multiplications: "f32", "bf16" or "f16". Q/DQ nodes in the model select int8 under any hint.
        mode: "latency": one batch uses all threads; "throughput": OpenVINO creates several streams, and a batch is
            split over them.
        threads: threads in all, at most one for each CPU; None leaves it to OpenVINO.
        cache: folder of OpenVINO's compiled models for the next start. Its content is loaded and trusted, so it must
            not be writable by others.

    Raises:
        InputError: an unknown hint or mode, a thread count below 1, or a cache that cannot be a folder.
        SetupError: OpenVINO is missing, cannot compile the model here, or others may write into the cache.
        ArtifactError: OpenVINO cannot read the model.
    """

    name = "openvino"

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        hint: str = F32,
        mode: str = LATENCY,
        threads: int | None = None,
        cache: Path | None = None,
    ) -> None:
        _check_choices(hint, mode)
        self.threads = usable_threads(threads)
        library = import_openvino()
        with _alone_at_first():
            self._open(library, model, hint, mode, cache)
        self._idle: list[Any] = []
        self._lock = threading.Lock()
        self.bind()

    def _open(
        self, library: ModuleType, model: str | os.PathLike[str] | bytes, hint: str, mode: str, cache: Path | None
    ) -> None:
        core = library.Core()
        network, inlined = _read(library, core, model)
        self.why_precision: str | None = None
        if inlined and hint != F32:
            # the function stores the scan's state in the type of the hint, and it accumulates over all tokens
            self.why_precision = "the extension with the selective scan cannot be compiled"
            logger.warning("OpenVINO computes in f32, not in %s as asked: %s.", hint, self.why_precision)
            hint = F32
        compiled = _compile(library, core, network, _options(hint, mode, self.threads, cache))
        self.provider: str = ",".join(compiled.get_property("EXECUTION_DEVICES"))
        self.streams = int(compiled.get_property("NUM_STREAMS"))
        self.from_cache = cache is not None and bool(compiled.get_property("LOADED_FROM_CACHE"))
        self.precision = _precision(library, compiled)
        if self.precision != hint:
            self.why_precision = f"this processor has no {hint}"
            _report_precision(core, hint, self.precision)
        self.inputs = tuple(port.get_any_name() for port in compiled.inputs)
        self.outputs = tuple(port.get_any_name() for port in compiled.outputs)
        self._taken = {port.get_any_name(): _port(library, port) for port in compiled.inputs}
        for port in compiled.outputs:
            _port(library, port)
        self._compiled: Any = compiled
        # The extension in it must outlive the model.
        self._core: Any = core

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the model.

        Returns:
            outputs by name, (batch, ...) each.

        Raises:
            InputError: the backend is closed.
            ArtifactError: the graph does not take these inputs.
            SetupError: OpenVINO failed, for example for lack of memory.
        """
        self.require_own_process()
        if self._compiled is None:
            raise InputError("The model is closed. Open it again to use it.")
        batch = self._check(feeds)
        cuts = np.linspace(0, batch, min(self.streams, batch) + 1).astype(int)
        parts = [{name: np.ascontiguousarray(x[a:b]) for name, x in feeds.items()} for a, b in pairwise(cuts)]
        requests = [self._borrow() for _ in parts]
        try:
            _run_all(requests, parts)
        except RuntimeError as error:
            # A failed request is not returned to the pool.
            raise SetupError(
                f"OpenVINO failed with a batch of {batch}: {_words(error)}. "
                "Where memory is short a smaller batch size helps."
            ) from error
        found = {
            name: np.concatenate([request.get_output_tensor(i).data for request in requests])
            for i, name in enumerate(self.outputs)
        }
        with self._lock:
            if self._compiled is not None:
                self._idle += requests
        return found

    def close(self) -> None:
        """Free the model."""
        with self._lock:
            # freed outside the lock: the last reference waits for OpenVINO's own threads
            dropped = [*self._idle, self._compiled]
            self._idle.clear()
            self._compiled = None
        del dropped

    def after_fork(self) -> None:
        """Keep all OpenVINO objects in a child: freeing them would wait for its threads forever."""
        never_free([*self._idle, self._compiled, self._core])
        self._idle, self._compiled, self._core = [], None, None
        self._lock = threading.Lock()

    def _borrow(self) -> Any:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if self._compiled is None:
                raise InputError("The model is closed. Open it again to use it.")
            return self._compiled.create_infer_request()

    def _check(self, feeds: Mapping[str, np.ndarray]) -> int:
        """Return the batch size of valid feeds; OpenVINO itself casts, accepts any shape and reuses missing inputs."""
        wrong = sorted(set(feeds) ^ set(self._taken))
        if wrong:
            raise ArtifactError(
                f"The model takes {', '.join(self.inputs)}, not {', '.join(feeds)}: {', '.join(wrong)} "
                "should not be there or is missing. Is its metadata of another model?"
            )
        for name, port in self._taken.items():
            value = feeds[name]
            if value.dtype != port.dtype or not _fits(port.sizes, value.shape):
                raise ArtifactError(
                    f"The model takes {name} as {port.words}, not {value.dtype} {list(value.shape)}. "
                    "Is its metadata of another model?"
                )
        lengths = {name: len(value) for name, value in feeds.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            sizes = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ArtifactError(f"The inputs must all hold the same number of samples, 1 or more, not {sizes}.")
        return next(iter(lengths.values()))


def import_openvino() -> ModuleType:
    """Import OpenVINO.

    Raises:
        SetupError: it is not installed or cannot be loaded.
    """
    try:
        import openvino
    except (ImportError, OSError) as error:
        raise SetupError(
            f'OpenVINO cannot be imported ({error}). Install it: pip install "mambapro[openvino]".'
        ) from error
    if not hasattr(openvino, "Core"):
        raise SetupError(
            f"The installed openvino is broken: it has no Core ({getattr(openvino, '__path__', 'no folder')}). Install "
            "it again: pip uninstall -y openvino, then pip install --force-reinstall --no-deps openvino."
        )
    return openvino


def prepare() -> None:
    """Import OpenVINO and compile the scan's extension, which takes half a minute the first time.

    Raises:
        SetupError: OpenVINO is not installed or cannot be loaded.
    """
    import_openvino()
    # reading the model says what is missing
    with suppress(SetupError):
        extension.build()


_first = threading.Lock()
_opened_before = False


@contextmanager
def _alone_at_first() -> Iterator[None]:
    """Let only one thread use OpenVINO until the first model of this process is open.

    OpenVINO's bindings fill tables on first use and release the interpreter's lock meanwhile, where two threads can
    deadlock. All tables are filled once a model is open.
    """
    global _opened_before
    if _opened_before:
        yield
        return
    with _first:
        yield
        _opened_before = True


def _new_lock() -> None:
    """Replace the lock in a child of fork(), where the thread that held it does not exist."""
    global _first
    _first = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


def _port(library: ModuleType, port: Any) -> _Port:
    """Return a model's input or output in NumPy's terms; this fills the bindings' tables of types."""
    dtype = np.dtype(port.element_type.to_dtype())
    # a round trip through a tensor, which looks the type up in both directions
    np.asarray(library.Tensor(np.zeros(1, dtype)).data)
    sizes = tuple(None if axis.is_dynamic else axis.get_length() for axis in port.partial_shape)
    return _Port(dtype, sizes, f"{dtype} {port.partial_shape}")


def _check_choices(hint: str, mode: str) -> None:
    if hint not in HINTS:
        raise InputError(f"hint must be one of {', '.join(HINTS)}, not {hint!r}.")
    if mode not in MODES:
        raise InputError(f"mode must be one of {', '.join(MODES)}, not {mode!r}.")


def _options(hint: str, mode: str, threads: int | None, cache: Path | None) -> dict[str, str]:
    options = {"INFERENCE_PRECISION_HINT": hint}
    if mode == LATENCY:
        options["NUM_STREAMS"] = "1"
    else:
        options["PERFORMANCE_HINT"] = "THROUGHPUT"
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    if cache is not None:
        if not cache.is_dir():
            make_folder(cache)
            cache.chmod(0o700)
        require_private(cache)
        options["CACHE_DIR"] = str(cache)
    return options


def _read(library: ModuleType, core: Any, model: str | os.PathLike[str] | bytes) -> tuple[Any, bool]:
    where = "the model in memory" if isinstance(model, bytes) else os.fspath(model)
    if not isinstance(model, bytes) and not Path(model).is_file():
        raise ArtifactError(f"There is no model file {escaped(where)}.")
    try:
        return extension.read_either(core, model)
    except RuntimeError as error:
        raise ArtifactError(
            f"OpenVINO {library.__version__} cannot read {escaped(where)}: {_words(error)}. "
            "The file is damaged, or needs a newer OpenVINO."
        ) from error


def _compile(library: ModuleType, core: Any, network: Any, options: dict[str, str]) -> Any:
    try:
        return core.compile_model(network, DEVICE, options)
    except RuntimeError as error:
        raise SetupError(
            f"OpenVINO {library.__version__} cannot compile the model for this processor with {options}: "
            f"{_words(error)}. The hint f32 works on every processor; a newer OpenVINO may know this one better."
        ) from error


def _precision(library: ModuleType, compiled: Any) -> str:
    kinds = {library.Type.f32: F32, library.Type.bf16: BF16, library.Type.f16: F16}
    found = compiled.get_property("INFERENCE_PRECISION_HINT")
    return kinds.get(found, str(found))


def _report_precision(core: Any, hint: str, found: str) -> None:
    offered = " ".join(sorted(core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")))
    logger.warning(
        "OpenVINO computes in %s, not in %s as asked: this processor (%s) offers %s. Its numbers and speed are %s's.",
        found,
        hint,
        core.get_property(DEVICE, "FULL_DEVICE_NAME").strip(),
        offered,
        found,
    )


def _run_all(requests: list[Any], parts: list[dict[str, np.ndarray]]) -> None:
    """Run the parts in parallel and wait for all of them, then raise the first error, if any.

    Raises:
        RuntimeError: OpenVINO's.
    """
    errors: list[RuntimeError] = []
    started = []
    for request, part in zip(requests, parts, strict=True):
        try:
            request.start_async(part)
            started.append(request)
        except RuntimeError as error:
            errors.append(error)
    for request in started:
        try:
            request.wait()
        except RuntimeError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _fits(wanted: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    """Return True if a shape matches `wanted`."""
    pairs = zip(wanted, shape, strict=False)
    return len(wanted) == len(shape) and all(size is None or size == found for size, found in pairs)


def _words(error: Exception) -> str:
    """Return the library's message on one line, without locations in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = [line for line in lines if not line.startswith("Exception from")]
    return " ".join(message or lines).rstrip(".")
