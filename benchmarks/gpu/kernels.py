"""check.cu: every kernel against double precision, milliseconds, GB/s and the share of the exponential unit's limit."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from part import NoGpu, Record, Skipped, finish

CSRC = Path(__file__).parents[2] / "plugins" / "selective_scan" / "cuda" / "csrc"
#: Exit codes of check.cu.
NO_GPU, DRIVER_TOO_OLD = 3, 4
_NUMBERS = ("batch", "length", "channels", "groups", "state")
_SIZES = r"(?P<type>\w+) " + " ".join(rf"{name} (?P<{name}>\d+)" for name in _NUMBERS)
_CHECK = re.compile(rf"check (?P<name>{_SIZES} .*) error (?P<error>\S+) limit (?P<limit>\S+) ")
_TIME = re.compile(
    rf"time {_SIZES} lanes (?P<lanes>\d+)(?P<chosen> \(chosen\))? ms (?P<ms>\S+) GB/s (?P<gb_s>\S+) exp (?P<exp>\S+) %"
)


def compile_check(folder: Path, architecture: str = "native") -> Path:
    """check.cu and the kernels as a program.

    Raises:
        Skipped: no nvcc here, or no CUDA headers for it.
    """
    from mambapro.errors import SetupError
    from mambapro.plugins.cuda import compiler as cuda_compiler

    try:
        nvcc = str(cuda_compiler.nvcc())
    except SetupError as error:
        raise Skipped(str(error)) from None
    sources = sorted(map(str, (CSRC / "check.cu", *CSRC.glob("scan_*.cu"))))
    program = folder / "check"
    command = [nvcc, "-std=c++17", "-O3", f"-arch={architecture}", "-o", str(program), *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"check.cu does not compile:\n{done.stderr}")
    return program


def read(text: str, record: Record) -> None:
    """The lines of check.cu into a record."""
    for line in text.splitlines():
        if found := _CHECK.match(line):
            record.check(found["name"], float(found["error"]), float(found["limit"]))
        elif found := _TIME.match(line):
            sizes = {key: int(found[key]) for key in (*_NUMBERS, "lanes")}
            record.times.append(
                {"what": "forward", "by": "kernel", "type": found["type"], **sizes}
                | {"chosen": bool(found["chosen"]), "ms": float(found["ms"])}
                | {"gb_per_s": float(found["gb_s"]), "exponential_limit_percent": float(found["exp"])}
            )


def run(record: Record) -> None:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([compile_check(Path(folder))], capture_output=True, text=True, check=False)
    said = f"{done.stdout}{done.stderr}".strip()
    if done.returncode == NO_GPU:
        raise NoGpu(said)
    if done.returncode == DRIVER_TOO_OLD:
        record.hold(said, False)
        return
    read(done.stdout, record)
    record.hold(f"check ended with {done.returncode}: {done.stdout[-300:]}{done.stderr[-300:]}", done.returncode == 0)


if __name__ == "__main__":
    finish(run)
