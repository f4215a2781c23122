"""ONNX graph passes; without PyTorch."""
