"""Environment report: versions, processor, GPU, and the real execution device of ONNX Runtime."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import __version__, telemetry
from ..common.machine.cpus import usable_cpus
from ..common.machine.memory import MEMINFO, proc_bytes, proc_fields
from ..common.machine.packages import installed_version
from ..common.records import Report
from ..common.tables import text_table
from ..errors import MambaProError
from .backends.onnxruntime import OnnxRuntimeBackend, import_onnxruntime

CPUINFO = Path("/proc/cpuinfo")
#: Distributions in the report, installed or not. Only their metadata is read, nothing is imported.
PACKAGES = (
    "numpy", "pillow", "click", "rich", "onnxruntime", "onnxruntime-gpu", "torch", "torchvision", "open_clip_torch",
    "safetensors", "onnx", "onnxscript", "onnx-ir", "polygraphy", "tensorrt", "tensorrt-rtx", "openvino", "mamba-ssm",
)  # fmt: skip

#: Instruction sets that determine the speed of int8, fp16 and fp32 kernels.
FLAGS = (
    "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_fp16", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8",
    "amx_bf16", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip


@dataclass(frozen=True)
class EnvironmentReport(Report):
    """Properties of the machine. None or an empty value = missing or unknown. Memory in bytes.

    `provider` is where a one-node model really ran with device "auto", `problem` the reason if it did not run, or not
    there. `telemetry` reports that the usage reports of libraries are off.
    """

    mambapro: str
    python: str
    platform: str
    processor: str
    processor_flags: tuple[str, ...]
    cpus: int
    memory: int | None
    memory_available: int | None
    packages: dict[str, str | None]
    providers: tuple[str, ...]
    provider: str | None
    problem: str | None
    nvidia_driver: str | None
    gpus: tuple[str, ...]
    jetson: str | None
    telemetry: str

    def __str__(self) -> str:
        installed = [f"{name} {version}" for name, version in self.packages.items() if version]
        absent = [name for name, version in self.packages.items() if not version]
        rows = [
            ("mambapro", self.mambapro),
            ("python", self.python),
            ("platform", self.platform),
            ("processor", f"{self.processor}, {self.cpus} usable"),
            ("instructions", " ".join(self.processor_flags) or "unknown"),
            ("memory", f"{_gibibytes(self.memory)}, {_gibibytes(self.memory_available)} available"),
            ("providers", ", ".join(self.providers) or "none"),
            ("runs on", self.provider or "nothing"),
            *([("problem", self.problem)] if self.problem else []),
            ("telemetry", self.telemetry),
            ("NVIDIA driver", self.nvidia_driver or "none"),
            *(("GPU", gpu) for gpu in self.gpus),
            *([("Jetson", self.jetson)] if self.jetson else []),
            *(("installed" if i == 0 else "", text) for i, text in enumerate(installed)),
            ("not installed", ", ".join(absent) or "nothing"),
        ]
        return text_table(rows, "<")


def environment_report() -> EnvironmentReport:
    """Collect the report; missing components never raise."""
    cpu = proc_fields(CPUINFO)
    flags = set(cpu.get("flags", cpu.get("Features", "")).split())
    providers, provider, problem = _onnxruntime()
    driver, gpus = _nvidia()
    return EnvironmentReport(
        mambapro=__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=platform.platform(),
        processor=cpu.get("model name") or platform.processor() or platform.machine(),
        processor_flags=tuple(flag for flag in FLAGS if flag in flags),
        cpus=usable_cpus(),
        memory=proc_bytes(MEMINFO, "MemTotal"),
        memory_available=proc_bytes(MEMINFO, "MemAvailable"),
        packages={name: installed_version(name) for name in PACKAGES},
        providers=providers,
        provider=provider,
        problem=problem,
        nvidia_driver=driver,
        gpus=gpus,
        jetson=_first_line("/etc/nv_tegra_release"),
        telemetry=telemetry.describe(),
    )


def machine_name() -> str:
    """Return a short description of the machine: processor, CPUs, GPUs."""
    cpu = proc_fields(CPUINFO)
    processor = cpu.get("model name") or platform.processor() or platform.machine()
    return ", ".join((f"{processor}, {usable_cpus()} CPUs", *_nvidia()[1]))


def _onnxruntime() -> tuple[tuple[str, ...], str | None, str | None]:
    providers: tuple[str, ...] = ()
    try:
        providers = tuple(import_onnxruntime().get_available_providers())
        backend = OnnxRuntimeBackend(identity_model(), device="auto")
        try:
            backend.run({"x": np.ones(1, np.float32)})
        finally:
            backend.close()
    except MambaProError as error:
        return providers, None, str(error)
    return providers, backend.provider, None


def identity_model() -> bytes:
    """Return an ONNX file of one Identity node, float32 (1,) `x` -> `y`.

    Written in the protobuf wire format by hand, since the package onnx is not part of the runtime. The numbers are the
    field numbers of onnx.proto.
    """
    shape = _message(1, _number(1, 1))
    value_type = _message(1, _number(1, 1) + _message(2, shape))
    x, y = (_message(1, name) + _message(2, value_type) for name in (b"x", b"y"))
    node = _message(1, b"x") + _message(2, b"y") + _message(4, b"Identity")
    graph = _message(1, node) + _message(2, b"identity") + _message(11, x) + _message(12, y)
    return _number(1, 8) + _message(7, graph) + _message(8, _number(2, 13))


def _message(field: int, content: bytes) -> bytes:
    # One byte of length is enough below 128.
    return bytes([field << 3 | 2, len(content)]) + content


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3, value])


def _nvidia() -> tuple[str | None, tuple[str, ...]]:
    query = ["nvidia-smi", "--query-gpu=driver_version,name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return _first_line("/proc/driver/nvidia/version"), ()
    lines = [line.split(", ", 1) for line in answer.splitlines() if ", " in line]
    return (lines[0][0] if lines else None), tuple(line[1] for line in lines)


def _first_line(path: str) -> str | None:
    text = _read(path)
    return text.splitlines()[0].strip() if text.strip() else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _gibibytes(value: int | None) -> str:
    return "unknown" if value is None else f"{value / 2**30:.1f} GiB"
