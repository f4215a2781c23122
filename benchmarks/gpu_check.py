"""Everything an NVIDIA GPU can verify about the selective scan: `make gpu-check`, or

    python benchmarks/gpu_check.py [--out benchmarks/results] [--part kernels --part pytorch ...]

Parts, each a script of benchmarks/gpu in a process of its own: check.cu (kernels), the package's PTX through the
driver (driver), the TensorRT plugin library's enqueue through a host program (library), the PyTorch operator with
mamba-ssm beside it (pytorch), engines of TensorRT and TensorRT-RTX (engines). What a part needs and does not find
skips it, with the reason; only a part that finds no GPU is wrong, for there is one. Writes one JSON file named after
the GPU and the day, and prints a table.

Exit codes: 0 nothing is wrong; 1 something is; 3 there is no GPU, and nothing was written.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

FOLDER = Path(__file__).parent / "gpu"
PARTS = ("kernels", "driver", "library", "pytorch", "engines")
PACKAGES = ("python", "mambapro", "torch", "mamba-ssm", "tensorrt", "tensorrt-rtx", "numpy")
WRONG, NO_GPU = 1, 3
#: What a part says that finds no GPU (part.NoGpu).
SEES_NO_GPU = "no gpu"
#: A part that hangs a GPU should not hang the check.
SECONDS = 900


def find_gpu() -> dict[str, Any]:
    """The first GPU; ends the program with NO_GPU where there is none."""
    sys.path.insert(0, str(FOLDER))
    from device import describe
    from mambapro.errors import SetupError

    try:
        return describe()
    except SetupError as error:
        click.echo(f"no GPU: {error}\nNothing was checked and nothing written.", err=True)
        raise SystemExit(NO_GPU) from None


def run_part(name: str) -> dict[str, Any]:
    """One part in a process of its own; a crash is a failure, and so is one that does not see the GPU."""
    start = time.monotonic()
    command = [sys.executable, str(FOLDER / f"{name}.py")]
    try:
        code, output, errors = run_to_the_end(command)
        found = json.loads(output.splitlines()[-1])
    except subprocess.TimeoutExpired:
        found = {"status": "failed", "reason": f"took longer than {SECONDS} s"}
    except (ValueError, IndexError):
        found = {"status": "failed", "reason": f"ended with {code}: {(errors or output)[-800:]}"}
    if found["status"] == SEES_NO_GPU:
        found |= {"status": "failed", "reason": f"finds no GPU, but the driver has one: {found['reason']}"}
    return {"part": name, **found, "seconds": round(time.monotonic() - start, 1)}


def run_to_the_end(command: list[str]) -> tuple[int, str, str]:
    """Exit code, output and errors of a command; when it takes too long it ends with all that it has started."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=SECONDS)
        except BaseException:
            # its own session gets no Ctrl-C either
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output, errors


def versions() -> dict[str, str]:
    """Versions of what the results depend on, where installed."""
    from mambapro.common.machine.packages import installed_versions

    return installed_versions(PACKAGES)


def table(report: dict[str, Any]) -> str:
    """The report for reading."""
    lines = [f"{report['gpu']}, compute capability {report['compute_capability']}, {report['date']}", ""]
    for part in report["parts"]:
        worst = f"largest error {100 * part['worst']:.0f} % of its limit" if part.get("count") else ""
        lines.append(f"{part['part']:10} {part['status']:8} {part.get('count', 0):6} checks  {worst}")
        if part["reason"]:
            lines.append(f"           {part['reason']}")
    times = [row for part in report["parts"] for row in part.get("times", ())]
    return "\n".join([*lines, "", *map(time_line, times)])


def time_line(row: dict[str, Any]) -> str:
    """One measured time."""
    sizes = " ".join(f"{key} {row[key]}" for key in ("batch", "length", "channels", "groups", "state") if key in row)
    more = f" lanes {row['lanes']}{' chosen' if row['chosen'] else ''}" if "lanes" in row else ""
    if "exponential_limit_percent" in row:
        more += f"  {row['gb_per_s']:.0f} GB/s  {row['exponential_limit_percent']:.0f} % of the exponential limit"
    if "times_mamba_ssm" in row:
        more += f"  {row['times_mamba_ssm']:.2f} times as fast as mamba-ssm"
    return f"{row['by']:20} {row['what']:20} {row['type']:9} {sizes}  {row['ms']:.4f} ms{more}"


def compare_with_mamba_ssm(times: list[dict[str, Any]]) -> None:
    """Adds to our times how many times as fast they are as mamba-ssm's on the same input."""

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in ("what", "type", "batch", "length", "channels", "groups", "state"))

    theirs = {key(row): row["ms"] for row in times if row["by"] == "mamba-ssm"}
    for row in times:
        if row["by"] == "mambapro" and key(row) in theirs:
            row["times_mamba_ssm"] = theirs[key(row)] / row["ms"]


def write(report: dict[str, Any], folder: Path) -> Path:
    """The report as JSON, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    gpu = re.sub(r"\W+", "-", report["gpu"]).strip("-").lower()
    path = folder / f"gpu-check-{gpu}-{report['date']}.json"
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".part", delete=False, encoding="utf-8") as file:
        json.dump(report, file, indent=1)
        file.write("\n")
    Path(file.name).chmod(0o644)
    os.replace(file.name, path)
    return path


@click.command(help=(__doc__ or "").split("\n", 1)[0])
@click.option("--out", type=click.Path(path_type=Path), default=Path(__file__).parent / "results", help="Folder.")
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="Only these parts.")
def main(out: Path, parts: tuple[str, ...]) -> None:
    gpu = find_gpu()
    results = []
    for name in parts or PARTS:
        click.echo(f"{name} ...", err=True)
        results.append(run_part(name))
        compare_with_mamba_ssm(results[-1].get("times", []))
    command = shlex.join(["python", "benchmarks/gpu_check.py", *(word for part in parts for word in ("--part", part))])
    report = {"date": datetime.date.today().isoformat(), "command": command, **gpu, "versions": versions()}
    report["parts"] = results
    click.echo(table(report))
    click.echo(f"\nwritten: {write(report, out)}")
    if any(part["status"] == "failed" for part in results):
        raise SystemExit(WRONG)


if __name__ == "__main__":
    main()
