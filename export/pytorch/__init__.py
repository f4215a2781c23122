"""Export of a PyTorch model to a verified ONNX file."""
