"""The CUDA compiler, the driver interface and device memory."""
