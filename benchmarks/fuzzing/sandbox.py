"""Command lines of mambapro, each in a forked child that is watched: exit code, seconds, memory, programs started.

The process that forks has imported what the commands import and opened nothing, so that a case costs a fork in place
of seconds of imports.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from mambapro.common.children import tie_to_parent

#: Python's audit events of a program that is started.
_PROGRAMS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.startfile", "pty.spawn")
_TRACEBACK = "Traceback (most recent call last)"
_LOOK = 0.01


@dataclass(frozen=True)
class Outcome:
    """The end of one command.

    Attributes:
        code: exit code; negative: the signal that ended it; None: it was still running after the time it had.
        seconds: wall time.
        memory: bytes at its peak, beyond those it began with.
        programs: what it started, from within Python; "a child" stands for one that a library started.
        said: the end of what it printed.
    """

    code: int | None
    seconds: float
    memory: int
    programs: tuple[str, ...]
    said: str

    def faults(self, codes: Sequence[int], seconds: float, memory: int) -> list[str]:
        """Name the promises it broke, of allowed exit codes, seconds, and bytes of memory."""
        found = []
        if self.code is None or self.seconds > seconds:
            found.append(f"hang ({self.seconds:.1f} s)")
        elif self.code not in codes:
            found.append(f"exit code {self.code}")
        if _TRACEBACK in self.said:
            found.append("traceback")
        if self.memory > memory:
            found.append(f"memory ({self.memory / (1 << 20):,.0f} MiB)")
        if self.programs:
            found.append(f"program started ({', '.join(self.programs)})")
        if any(not c.isprintable() and c not in "\n\t" for c in self.said):
            found.append("control characters printed")
        return found


def warm_up() -> None:
    """Import what the commands import; nothing may be opened, started or computed here."""
    import mambapro.calib.calibrate_bundle
    import mambapro.cli.main
    import mambapro.export.pipeline
    import mambapro.export.report.write_report
    import mambapro.runtime.data.preprocess
    import mambapro.runtime.extractor
    import mambapro.train.engine.loop  # noqa: F401
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    from PIL import Image

    Image.init()


def watched(arguments: Sequence[str], folder: str, seconds: float) -> Outcome:
    """Run `mambapro ARGUMENTS` in `folder`, killed after `seconds`."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as notes:
        started, parent = time.monotonic(), os.getpid()
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            tie_to_parent(parent)
            _run(arguments, folder, said, notes)
        status, usage = _wait(child, started + seconds)
        took = time.monotonic() - started
        # children that outlived it
        _kill(child)
        said.seek(0)
        text = said.read().decode("utf-8", "backslashreplace")
        notes.seek(0)
        before, *programs = notes.read().decode("utf-8", "replace").splitlines() or ["0"]
        code = None if status is None else os.waitstatus_to_exitcode(status)
        return Outcome(code, took, max(0, usage.ru_maxrss * 1024 - int(before)), tuple(programs), text[-4000:])


def _wait(child: int, deadline: float) -> tuple[int | None, resource.struct_rusage]:
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return status, usage
        if time.monotonic() > deadline:
            _kill(child)
            _, _, usage = os.wait4(child, 0)
            return None, usage
        time.sleep(_LOOK)


def _kill(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        return


def _run(arguments: Sequence[str], folder: str, said: BinaryIO, notes: BinaryIO) -> NoReturn:
    """The child: becomes the command and never returns."""
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        # the peak counts from here
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        with open("/proc/self/statm") as file:
            before = int(file.read().split()[1]) * resource.getpagesize()
        os.write(notes.fileno(), f"{before}\n".encode())
        code = _command(arguments, notes.fileno())
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _command(arguments: Sequence[str], notes: int) -> int:
    from mambapro.cli.main import run

    def note(event: str, values: tuple[object, ...]) -> None:
        if event in _PROGRAMS:
            os.write(notes, f"{event} {str(values[0])[:100]!r}\n".encode())

    sys.addaudithook(note)
    code = run(arguments)
    if resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss:
        os.write(notes, b"a child\n")
    return code
