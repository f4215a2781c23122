"""A copy of the working tree with an environment of its own, in which one slip at a time is tried (for slips.py)."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from slip_list import ListError

PASSED, FAILED, INTERRUPTED, NOTHING_COLLECTED = 0, 1, 2, 5
SCAN = Path("plugins/selective_scan/cpu")
KERNEL = "libmambapro_scan_cpu.so"
#: As in setup.py, but compiled in a third of the time.
KERNEL_FLAGS = ("-std=c++17", "-O1", "-pthread", "-Wno-psabi", "-fPIC", "-shared")
#: Longest a selection of tests may take without a slip.
LIMIT = 900.0


class Tree:
    """Files of `root` that git knows or would know, copied below `folder`, with an environment that imports them."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.copy, self.folder = folder / "mambapro", folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        libraries = [str(path.relative_to(root)) for path in (root / SCAN).glob("*.so")]
        for name in [*listed.split("\0"), *libraries]:
            if name and (root / name).is_file():
                (self.copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, self.copy / name)
        self.kernel = root / SCAN / KERNEL
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        # the copy comes before the packages of this environment; its editable installation is not looked at, because
        # .pth files are read in an environment's own folder only
        packages = [path for path in sys.path if path.endswith("-packages")]
        (own,) = (folder / "venv" / "lib").glob("python*/site-packages")
        (own / "mambapro_slips.pth").write_text("\n".join([str(folder), *packages]) + "\n", encoding="utf-8")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")},
            "MAMBAPRO_CACHE": str(folder / "cache"),
            "TMPDIR": str(folder / "tmp"),
        }
        (folder / "tmp").mkdir()
        self.writes, self.stopped = 0, False
        self._process: subprocess.Popen[bytes] | None = None
        code = "import mambapro; print(mambapro.__file__)"
        said = subprocess.run(
            [self.python, "-c", code], cwd="/", env=self.environment, capture_output=True, text=True, check=False
        )
        if not said.stdout.startswith(str(self.copy)):
            raise SystemExit(f"the copy is not what is imported: {said.stdout}{said.stderr}")

    def seconds_of(self, tests: Sequence[str]) -> float:
        """Time of tests without a slip; ListError where they do not pass."""
        began = time.monotonic()
        code, output = self._pytest(tests, LIMIT)
        if code != PASSED or " passed" not in output:
            raise ListError(f"without a slip, {' '.join(tests)} do not pass:\n{output[-2000:]}")
        return time.monotonic() - began

    def slipped(self, file: str, old: str, new: str, tests: Sequence[str], limit: float) -> str | None:
        """The test that notices the slip, `no end` where they do not end in `limit` seconds; None: it survives."""
        path = self.copy / file
        whole = path.read_text(encoding="utf-8")
        if whole.count(old) != 1:
            raise ListError(f"the old text occurs {whole.count(old)} times in {file}: {old!r}")
        slipped = whole.replace(old, new)
        if path.suffix == ".py":
            try:
                ast.parse(slipped)
            except SyntaxError as error:
                raise ListError(f"{file} does not compile with the slip: {error}") from error
        try:
            self._write(path, slipped)
            code, output = self._pytest(tests, limit)
        finally:
            self._write(path, whole, slipped=False)
        if code is None:
            return "no end"
        if code not in (PASSED, FAILED, INTERRUPTED):
            # a signal, or a fault of pytest: the process died of the slip
            if code == NOTHING_COLLECTED:
                raise ListError(f"{' '.join(tests)}: pytest ended with {code}:\n{output[-2000:]}")
            return f"ended with {code}"
        if re.search(r"compiling lib\w+\.so failed|error: .*nvcc", output):
            raise ListError(f"{file} does not compile with the slip:\n{output[-2000:]}")
        if code == PASSED:
            return None
        found = re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
        return found[0] if found else "failed"

    def _write(self, path: Path, content: str, slipped: bool = True) -> None:
        """Write a source with a time of its own: byte code is recognized as old by seconds and size alone."""
        path.write_text(content, encoding="utf-8")
        self.writes += 1
        when = time.time() + 10 * self.writes
        os.utime(path, (when, when))
        if path.name.startswith("scan_cpu"):
            self._compile_kernel() if slipped else shutil.copy2(self.kernel, self.copy / SCAN)

    def _compile_kernel(self) -> None:
        """The kernel is part of an installation: its library is made anew from the slipped sources."""
        library = self.copy / SCAN / KERNEL
        library.unlink(missing_ok=True)
        sources = sorted((self.copy / SCAN / "csrc").iterdir())
        fingerprint = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
        command = [os.environ.get("CXX", "c++"), *KERNEL_FLAGS, f'-DMAMBAPRO_SOURCE="{fingerprint}"',
                   str(sources[0]), "-o", str(library)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ListError(f"the kernel does not compile: {done.stderr[-2000:]}")

    def _pytest(self, tests: Sequence[str], limit: float) -> tuple[int | None, str]:
        """Exit code (None: it was ended after `limit` seconds) and output of one run, with all its children ended."""
        temporary, output = self.folder / "run", self.folder / "output"
        arguments = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", f"--basetemp={temporary}", *tests]
        command = [self.python, "-m", "pytest", *arguments]
        with output.open("wb") as said:
            self._process = process = subprocess.Popen(
                command, cwd=self.copy, env=self.environment, stdin=subprocess.DEVNULL, stdout=said,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        code: int | None = None
        try:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(limit)
        finally:
            # whatever the tests left running belongs to their session and goes with them
            self.close()
            shutil.rmtree(temporary, ignore_errors=True)
        return code, output.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End the run in progress, from another thread."""
        self.stopped = True
        self.close()

    def close(self) -> None:
        """End what runs."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
