"""Operators shared by PyTorch, ONNX and the runtimes."""
