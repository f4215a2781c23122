"""From a PyTorch model to a verified ONNX file."""
