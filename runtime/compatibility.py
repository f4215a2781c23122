"""Check of an artifact's compatibility with this machine without loading it: fit, rebuild it here, or refuse.

`machine_of` inspects the machine; `verdict` is a pure function.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..common.machine.packages import installed_versions
from ..common.records import Report
from ..errors import MambaProError
from ..plugins.cuda.memory import gpu
from ..plugins.tensorrt import importing
from ..plugins.tensorrt.versions import RTX_CAPABILITIES, release, rtx_capabilities, version_problem
from .bundle.artifact import ONNXRUNTIME, OPENVINO, TARGETS, TENSORRT, TENSORRT_RTX, EngineNeeds, Sidecar

FIT, REBUILD, REFUSE = "fit", "rebuild", "refuse"

#: Target -> its module, the distributions that may contain it, and the extra that installs it.
_LIBRARIES = {
    ONNXRUNTIME: ("onnxruntime", ("onnxruntime", "onnxruntime-gpu"), "cpu"),
    OPENVINO: ("openvino", ("openvino",), "openvino"),
    TENSORRT: ("tensorrt", ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"), "tensorrt"),
    TENSORRT_RTX: ("tensorrt_rtx", ("tensorrt-rtx", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13"), "tensorrt-rtx"),
}


@dataclass(frozen=True)
class Machine:
    """Properties of a machine that affect a verdict.

    Attributes:
        platform: operating system and processor, such as "linux-x86_64".
        gpu: name of the GPU, None without one; capability: of it, such as "8.6".
        no_gpu: reason why there is none, if known.
        versions: of the library of each target, None if not installed.
        builder: whether engines can be built here: the requirements besides TensorRT itself.
        rtx_builds: compute capabilities that its TensorRT-RTX can build for, queried only for a GPU that not every
            version supports, else empty.
    """

    platform: str
    gpu: str | None = None
    capability: str | None = None
    no_gpu: str | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)
    builder: bool = False
    rtx_builds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict(Report):
    """State "fit", "rebuild" or "refuse", and the reasons if it is not "fit", in sentences."""

    state: str
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.state if not self.reasons else f"{self.state}: {' '.join(self.reasons)}"


def machine_of(device: int = 0) -> Machine:
    """Inspect this machine with its GPU `device`; missing components never raise."""
    name = capability = reason = None
    try:
        found = gpu(device)
        name, capability = found.name, found.capability
    except MambaProError as error:
        reason = str(error)
    versions = {target: _version(target) for target in TARGETS}
    return Machine(
        platform=f"{sys.platform}-{platform.machine().lower()}",
        gpu=name,
        capability=capability,
        no_gpu=reason,
        versions=versions,
        builder=importlib.util.find_spec("onnx") is not None,
        rtx_builds=_rtx_builds(capability) if versions[TENSORRT_RTX] else (),
    )


def verdict(sidecar: Sidecar, machine: Machine, files: Mapping[str, str] | None = None) -> Verdict:
    """Decide whether `machine` can load an artifact.

    Args:
        sidecar: of the artifact.
        machine: from `machine_of`.
        files: current SHA-256 of the bundle's files by name; None if they are compared on opening.

    Returns:
        "fit"; "rebuild" if the artifact cannot be loaded but can be built here from the ONNX file in the bundle; else
            "refuse"; with all reasons.
    """
    fatal = [reason for reason in (_without_library(sidecar, machine), _without_gpu(sidecar, machine)) if reason]
    fixable = _changed_files(sidecar, files)
    if sidecar.engine is not None and not fatal:
        fixable += _elsewhere(sidecar, sidecar.engine, machine)
    if not fatal and not fixable:
        return Verdict(FIT)
    obstacles = _cannot_build(sidecar, machine, files) if fixable else []
    state = REFUSE if fatal or obstacles else REBUILD
    return Verdict(state, (*fatal, *fixable, *obstacles))


def _without_library(sidecar: Sidecar, machine: Machine) -> str | None:
    version = machine.versions.get(sidecar.target)
    module, _, extra = _LIBRARIES[sidecar.target]
    if version is None:
        return f'{sidecar.target} is not installed: pip install "mambapro[{extra}]".'
    return version_problem(module, version) if sidecar.engine is not None else None


def _without_gpu(sidecar: Sidecar, machine: Machine) -> str | None:
    if sidecar.engine is None or machine.capability is not None:
        return None
    return f"An engine needs an NVIDIA GPU, and there is none here{f' ({machine.no_gpu})' if machine.no_gpu else ''}."


def _changed_files(sidecar: Sidecar, files: Mapping[str, str] | None) -> list[str]:
    if files is None:
        return []
    wanted = {sidecar.file: sidecar.sha256}
    if sidecar.engine is not None and sidecar.engine.plugin.file is not None:
        wanted[sidecar.engine.plugin.file] = sidecar.engine.plugin.sha256 or ""
    return [
        f"{name} is missing."
        if name not in files
        else f"{name} is not the file that {sidecar.stem}.json was written for."
        for name, digest in wanted.items()
        if files.get(name) != digest
    ]


def _elsewhere(sidecar: Sidecar, needs: EngineNeeds, machine: Machine) -> list[str]:
    """Return the differences of the machine from the build target of an engine."""
    reasons = []
    if machine.platform != needs.platform:
        reasons.append(f"It was built for {needs.platform}; this is {machine.platform}.")
    installed = machine.versions[sidecar.target] or ""
    if not _version_fits(needs, installed):
        how = "it and later ones of the same major version" if needs.version_compatible else "it alone"
        reasons.append(f"It was built with {sidecar.target} {needs.library}, for {how}; installed is {installed}.")
    if not _gpu_fits(needs, machine.capability or ""):
        built = ", ".join(needs.compute_capabilities)
        others = ", and all from 8.0" if needs.hardware == "ampere+" else ""
        reasons.append(
            f"It was built for GPUs of compute capability {built}{others}; {machine.gpu} has {machine.capability}."
        )
    elif needs.hardware == "same" and needs.gpu is not None and machine.gpu != needs.gpu:
        reasons.append(f"It was built for the {needs.gpu} alone; this is the {machine.gpu}.")
    return reasons


def _version_fits(needs: EngineNeeds, installed: str) -> bool:
    built, here = release(needs.library), release(installed)
    # some packages have three numbers, some four: only the common ones are compared
    shared = min(len(built), len(here))
    if needs.version_compatible:
        return built[:1] == here[:1] and here[:shared] >= built[:shared]
    return built[:shared] == here[:shared]


def _gpu_fits(needs: EngineNeeds, capability: str) -> bool:
    newer = needs.hardware == "ampere+" and release(capability) >= (8, 0)
    return newer or capability in needs.compute_capabilities


def _cannot_build(sidecar: Sidecar, machine: Machine, files: Mapping[str, str] | None) -> list[str]:
    """Return the reasons why this machine cannot build the artifact again."""
    if sidecar.onnx == sidecar.file:
        return ["There is nothing in the bundle that it could be built from; export the bundle again."]
    reasons = []
    if files is not None and sidecar.onnx not in files:
        reasons.append(f"{sidecar.onnx}, which it was built from, is missing; export the bundle again.")
    if not machine.builder:
        reasons.append('It cannot be rebuilt here: the package onnx is not installed (pip install "mambapro[calib]").')
    if sidecar.target == TENSORRT_RTX and sidecar.engine is not None:
        reasons += _rtx_cannot_build(sidecar.engine, machine)
    return reasons


def _rtx_cannot_build(needs: EngineNeeds, machine: Machine) -> list[str]:
    """Return the reasons why a new build would not run on this GPU either."""
    capability, name = machine.capability, f"TensorRT-RTX {machine.versions[TENSORRT_RTX]}"
    if capability in RTX_CAPABILITIES or not machine.rtx_builds:
        return []
    if capability not in machine.rtx_builds:
        return [
            f"{name} builds for compute capability {', '.join(machine.rtx_builds)} alone, so building it again does not"
            " help; take --target tensorrt, or another artifact of the bundle."
        ]
    if capability in needs.compute_capabilities:
        return []
    known = " whole models are known not to build for it, for lack of a float32 product there;" * (capability == "7.5")
    return [
        f"Built again as before it is for the same GPUs: {name} builds for {capability} only where it is told "
        f"--compute-capability {capability};{known} else take --target tensorrt, or another artifact of the bundle."
    ]


def _rtx_builds(capability: str | None) -> tuple[str, ...]:
    """Return the targets of TensorRT-RTX, if there is a GPU that it may not support."""
    if capability is None or capability in RTX_CAPABILITIES:
        return ()
    try:
        return rtx_capabilities(importing.import_module(_LIBRARIES[TENSORRT_RTX][0]))
    except (MambaProError, ImportError, OSError, AttributeError):
        return ()


def _version(target: str) -> str | None:
    """Return the version of a target's library, imported only if no package metadata has it."""
    module, distributions, _ = _LIBRARIES[target]
    if importlib.util.find_spec(module) is None:
        return None
    if installed := list(installed_versions(distributions).values()):
        return installed[0]
    importer = importing.import_module if module in importing.MODULES else importlib.import_module
    try:
        return str(importer(module).__version__)
    except (MambaProError, ImportError, OSError, AttributeError):
        return None
