"""TensorRT and TensorRT-RTX engines."""

from ....moved import old_names_of

__getattr__ = old_names_of("runtime.backends.tensorrt")
