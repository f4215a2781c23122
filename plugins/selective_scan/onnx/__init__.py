"""The selective scan in ONNX."""
