"""Builder configuration of TensorRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import InputError, SetupError
from ...plugins.tensorrt.versions import RTX_CAPABILITIES, Generation, rtx_capabilities
from .messages import BuildRequest
from .network import set_weak_types
from .plugin import ChosenPlugin

_LEVELS = {"compute-capability": "SAME_COMPUTE_CAPABILITY", "ampere+": "AMPERE_PLUS"}


def capabilities_of(trt: Any, job: BuildRequest, generation: Generation) -> tuple[str, ...]:
    """Return the compute capabilities of the engine.

    Raises:
        InputError: TensorRT-RTX does not support one.
        SetupError: this GPU is too old for the request.
    """
    if not generation.rtx:
        assert job.gpu is not None
        if job.hardware == "ampere+" and float(job.gpu[1]) < 8:
            raise SetupError(f"hardware ampere+ needs a GPU of 8.0 or later to build on; {job.gpu[0]} is {job.gpu[1]}.")
        return (job.gpu[1],)
    known = rtx_capabilities(trt)
    wanted = job.compute_capabilities or tuple(name for name in RTX_CAPABILITIES if name in known)
    if refused := [name for name in wanted if name not in known]:
        raise InputError(
            f"TensorRT-RTX {trt.__version__} does not build for compute capability {', '.join(refused)}; it knows "
            f"{', '.join(known)}. For other GPUs take --target tensorrt on a machine that has one."
        )
    return tuple(dict.fromkeys(wanted))


def builder_config(
    trt: Any, builder: Any, network: Any, job: BuildRequest, generation: Generation, plugin: ChosenPlugin
) -> Any:
    """Return the configuration of a job, except progress and timing cache.

    Raises:
        InputError: this version of TensorRT lacks a requested feature.
    """
    config = builder.create_builder_config()
    config.add_optimization_profile(_profile(builder, network, job.batches))
    if not job.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if job.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, job.workspace)
    if plugin.serialized:
        config.plugins_to_serialize = plugin.serialized
    if generation.rtx:
        _set_capabilities(trt, config, capabilities_of(trt, job, generation))
        return config
    if job.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if job.hardware != "same":
        level = getattr(trt.HardwareCompatibilityLevel, _LEVELS[job.hardware], None)
        if level is None:
            raise InputError(f"TensorRT {trt.__version__} has no hardware level {job.hardware}; take ampere+ or same.")
        config.hardware_compatibility_level = level
    if generation.weak:
        set_weak_types(trt, network, config)
    return config


def _set_capabilities(trt: Any, config: Any, capabilities: tuple[str, ...]) -> None:
    config.num_compute_capabilities = len(capabilities)
    for i, capability in enumerate(capabilities):
        config.set_compute_capability(getattr(trt.ComputeCapability, "SM" + capability.replace(".", "")), i)


def _profile(builder: Any, network: Any, batches: tuple[int, int, int]) -> Any:
    """Return the batch sizes for every input; all other sizes are fixed."""
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shape = tuple(tensor.shape)
        profile.set_shape(tensor.name, *(tuple(batch if size < 0 else size for size in shape) for batch in batches))
    return profile


def cache_folder_of(job: BuildRequest) -> Path | None:
    """Return the given folder of timing caches."""
    return None if job.timing_cache is None else Path(job.timing_cache)
