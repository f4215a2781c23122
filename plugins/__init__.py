"""Operators that PyTorch, ONNX and the runtimes share."""
