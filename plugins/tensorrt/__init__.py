"""Import and version differences of TensorRT and TensorRT-RTX."""
