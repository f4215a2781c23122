"""ONNX Runtime backend that verifies its provider: a model requested on a GPU never runs on the CPU unnoticed."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ...common.foreign_text import escaped
from ...common.machine.cpus import usable_threads
from ...common.machine.memory_budget import bounded
from ...common.machine.time_budget import Deadline, first_run_seconds, loading_seconds, too_long, within
from ...errors import ArtifactError, InputError, MambaProError, SetupError
from ...plugins.cuda.memory import gpu
from .process import ProcessBound, never_free

CPU_PROVIDER, CUDA_PROVIDER = "CPUExecutionProvider", "CUDAExecutionProvider"
DEVICES = ("auto", "cpu", "cuda")

#: The library prints errors verbatim, names in the model included; each is also raised, and logged then.
_FATAL_ONLY = 4
#: Both packages install the folder onnxruntime: uninstalling one removes files of the other.
_REINSTALL = (
    "Uninstall both, then install one: pip uninstall -y onnxruntime onnxruntime-gpu, then pip install "
    "--force-reinstall --no-deps onnxruntime-gpu for an NVIDIA GPU, or onnxruntime for the CPU."
)
#: TF32 rounds the inputs of float32 products to ten bits: the results would differ from PyTorch's.
_CUDA_OPTIONS = {"use_tf32": "0"}

logger = logging.getLogger("mambapro")


class OnnxRuntimeBackend(ProcessBound):
    """ONNX model in ONNX Runtime.

    Args:
        model: path of the ONNX file, or its bytes.
        device: "cpu", "cuda", or "auto": CUDA if the installed ONNX Runtime supports it and the driver has a GPU, else
            the CPU.
        threads: threads of one operator, at most one for each CPU; None leaves it to ONNX Runtime.
        allow_fallback: if CUDA cannot be used, warn and run on the CPU instead of raising an error.
        custom_operators: shared libraries to register. They are code.
        weights: initializers stored outside the model's file.
        spinning: let idle threads spin while waiting for the next operator. It takes five times the processor time at
            five calls a second, without a gain measurable by benchmarks/onnxruntime_spinning.py.

    Raises:
        InputError: an unknown device or a thread count below 1.
        SetupError: ONNX Runtime is missing, or runs on another provider than requested.
        ArtifactError: ONNX Runtime cannot load the model.
    """

    name = "onnxruntime"

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        device: str = "auto",
        threads: int | None = None,
        allow_fallback: bool = False,
        custom_operators: Sequence[Path] = (),
        weights: Mapping[str, np.ndarray] | None = None,
        spinning: bool = False,
    ) -> None:
        if device not in DEVICES:
            raise InputError(f"device must be one of {', '.join(DEVICES)}, not {device!r}.")
        threads = usable_threads(threads)
        library = import_onnxruntime()
        offered = library.get_available_providers()
        asked = CUDA_PROVIDER if device == "cuda" or (device == "auto" and _has_cuda(offered)) else CPU_PROVIDER
        options = _options(library, threads, custom_operators, spinning)
        # the session reads them in place
        self._weights = {name: library.OrtValue.ortvalue_from_numpy(value) for name, value in (weights or {}).items()}
        if self._weights:
            options.add_external_initializers(list(self._weights), list(self._weights.values()))
        providers: list[Any] = [CPU_PROVIDER]
        missing = _why_no_gpu() if asked == CUDA_PROVIDER and asked in offered else None
        if asked == CUDA_PROVIDER and asked in offered and missing is None:
            _preload(library)
            providers = [(CUDA_PROVIDER, _CUDA_OPTIONS), CPU_PROVIDER]
        self.called = "the model in memory" if isinstance(model, bytes) else os.fspath(model)
        self._size = len(model) if isinstance(model, bytes) else _file_size(model)
        self._size += sum(value.nbytes for value in (weights or {}).values())
        self._has_run = False
        session = _session(library, model, self._size, options, providers, asked)
        self.provider: str = session.get_providers()[0]
        if self.provider != asked:
            _report_fallback(asked, self.provider, offered, missing, allow_fallback)
        self.threads = threads
        self.inputs = tuple(node.name for node in session.get_inputs())
        self.outputs = tuple(node.name for node in session.get_outputs())
        self._session: Any = session
        self.bind()

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the model. ONNX Runtime releases the GIL meanwhile, and several threads may call at once.

        Returns:
            outputs by name, (batch, ...) each.

        Raises:
            InputError: the backend is closed.
            ArtifactError: the graph does not take these inputs.
            SetupError: ONNX Runtime failed, for example for lack of memory.
        """
        self.require_own_process()
        session = self._session
        if session is None:
            raise InputError("The model is closed. Open it again to use it.")
        try:
            values = self._values(session, feeds)
        except MambaProError:
            # an InputError is a ValueError too
            raise
        except _library_errors() as error:
            if type(error).__name__ == "InvalidArgument":
                raise ArtifactError(
                    f"The model refuses its inputs: {error}. Is its metadata of another model?"
                ) from error
            raise SetupError(
                f"ONNX Runtime failed on {self.provider} with a batch of {_batch(feeds)}: {error}. "
                "Where memory is short a smaller batch size helps."
            ) from error
        return dict(zip(self.outputs, values, strict=True))

    def _values(self, session: Any, feeds: Mapping[str, np.ndarray]) -> Any:
        """Return the session's outputs, with a time limit until one run has completed."""
        if self._has_run:
            return session.run(self.outputs, dict(feeds))
        options = import_onnxruntime().RunOptions()
        # the reason is logged below
        options.log_severity_level = _FATAL_ONLY
        batch, what = _batch(feeds), f"The first run of {self.called}"
        seconds = first_run_seconds(self._size, batch)
        with Deadline(lambda: setattr(options, "terminate", True), seconds) as deadline:
            try:
                with _bounded(self.provider, self._size, batch, what):
                    values = session.run(self.outputs, dict(feeds), options)
            except _library_errors() as error:
                if deadline.passed:
                    raise too_long(what, seconds) from error
                raise
        self._has_run = True
        return values

    def close(self) -> None:
        """Free the session."""
        self._session = None
        self._weights = {}

    def after_fork(self) -> None:
        """Keep the session untouched in a child, where its threads do not exist."""
        never_free([self._session, *self._weights.values()])
        self._session, self._weights = None, {}


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime.

    Raises:
        SetupError: it is not installed, cannot be loaded, or only remains of an uninstalled package are there.
    """
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        raise SetupError(
            f"ONNX Runtime cannot be imported ({error}). "
            'Install it: pip install "mambapro[cpu]", or "mambapro[gpu]" for an NVIDIA GPU.'
        ) from error
    needed = ("InferenceSession", "SessionOptions", "get_available_providers")
    if not all(hasattr(onnxruntime, name) for name in needed):
        raise SetupError(
            "The installed ONNX Runtime is broken: its module has no InferenceSession. onnxruntime and onnxruntime-gpu "
            f"are one folder, and uninstalling either takes files of the other. {_REINSTALL}"
        )
    return onnxruntime


def _bounded(provider: str, size: int, batch: int, what: str) -> contextlib.AbstractContextManager[None]:
    """Return a memory limit on the processor; CUDA's libraries allocate memory independent of the graph."""
    return bounded(size, batch, what) if provider == CPU_PROVIDER else contextlib.nullcontext()


def _has_cuda(offered: list[str]) -> bool:
    """Return True if ONNX Runtime supports CUDA and the driver has a GPU: its GPU package lists CUDA everywhere."""
    missing = _why_no_gpu() if CUDA_PROVIDER in offered else "not offered"
    if CUDA_PROVIDER in offered and missing is not None:
        logger.debug("ONNX Runtime offers CUDA, but the model runs on the CPU: %s", missing)
    return missing is None


def _why_no_gpu() -> str | None:
    """Return the reason why the driver has no GPU, None if it has; ONNX Runtime would print it in color."""
    try:
        gpu()
    except MambaProError as error:
        return str(error)
    return None


def _library_errors() -> tuple[type[Exception], ...]:
    # They have no common base class but Exception, and which there are depends on the version.
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception))
    return (*own, RuntimeError, ValueError)


def _options(library: ModuleType, threads: int | None, custom_operators: Sequence[Path], spinning: bool) -> Any:
    options = library.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    # The scan decays into denormal numbers, which make a processor up to a hundred times slower. This is about ONNX
    # Runtime's own threads; for the thread that opens the session see _session.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "1" if spinning else "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    for path in custom_operators:
        try:
            options.register_custom_ops_library(str(path))
        except _library_errors() as error:
            raise ArtifactError(f"ONNX Runtime cannot load the operator library {escaped(path)}: {error}.") from error
    return options


def _preload(library: ModuleType) -> None:
    """Load CUDA and cuDNN from wheels; ONNX Runtime itself searches only the system's folders."""
    preload = getattr(library, "preload_dlls", None)
    if preload is None:
        return
    # it reports missing libraries on standard output, which is for results
    with contextlib.redirect_stdout(io.StringIO()) as output:
        preload()
    logger.debug("onnxruntime.preload_dlls said: %s", output.getvalue())


def _file_size(model: str | os.PathLike[str]) -> int:
    path = Path(model)
    if not path.is_file():
        raise ArtifactError(f"There is no model file {escaped(path)}.")
    return path.stat().st_size


def _session(
    library: ModuleType,
    model: str | os.PathLike[str] | bytes,
    size: int,
    options: Any,
    providers: list[Any],
    asked: str,
) -> Any:
    source: bytes | str
    if isinstance(model, bytes):
        source, name = model, "the model in memory"
    else:
        source = name = os.fspath(model)
    try:
        # In a thread of its own: the first session of a process that counts denormal numbers as zero leaves the thread
        # that opens it in this mode permanently, which would change the user's own arithmetic.
        with _bounded(asked, size, 0, f"The loading of {name}"):
            session = within(
                # Without enable_fallback=0 the Python wrapper retries on the CPU by itself, printing to stdout.
                lambda: library.InferenceSession(source, options, providers=providers, enable_fallback=0),
                loading_seconds(size),
                f"The loading of {name}",
            )
    except MambaProError:
        # an InputError is a ValueError too
        raise
    except _library_errors() as error:
        if type(error).__name__ == "EPFail":
            raise SetupError(f"ONNX Runtime cannot use {asked}: {error}. {_advice(asked)}") from error
        raise ArtifactError(
            f"ONNX Runtime {library.__version__} cannot load {name}: {error}. "
            "The file is damaged, or needs a newer ONNX Runtime."
        ) from error
    session.disable_fallback()
    return session


def _report_fallback(asked: str, got: str, offered: list[str], missing: str | None, allow_fallback: bool) -> None:
    why = f" {missing}" if missing else ""
    text = f"ONNX Runtime runs the model on {got}, not on {asked} as asked; it offers {', '.join(offered)}.{why}"
    if not allow_fallback:
        raise SetupError(
            f'{text} {_advice(asked)} To run on the CPU, say so: device="cpu" (--device cpu), or allow the fallback '
            "(allow_fallback=True, --allow-fallback)."
        )
    logger.warning("%s Going on, since the fallback is allowed.", text)


def _advice(provider: str) -> str:
    if provider != CUDA_PROVIDER:
        return _REINSTALL
    return (
        f"CUDA needs onnxruntime-gpu alone (mambapro[gpu]), not beside onnxruntime. {_REINSTALL} It needs an NVIDIA "
        'driver, and CUDA and cuDNN of the versions that it wants (pip install "onnxruntime-gpu[cuda,cudnn]" brings '
        "them as wheels); `mambapro env` shows what there is."
    )


def _batch(feeds: Mapping[str, np.ndarray]) -> int:
    return max((len(value) for value in feeds.values()), default=0)
