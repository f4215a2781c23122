"""GPU that TensorRT builds for."""

from __future__ import annotations

from ...errors import InputError, SetupError
from ...plugins.cuda.memory import Gpu, gpu


def gpu_at_hand() -> Gpu:
    """Return the first GPU of the machine.

    Raises:
        SetupError: there is none, or no driver.
    """
    try:
        return gpu()
    except (SetupError, InputError) as error:
        raise SetupError(
            f"TensorRT builds an engine on the GPU that it is for, and there is none here ({error}). "
            "Run mambapro build on the device, with this bundle; or take --target tensorrt-rtx, which needs no GPU."
        ) from error
