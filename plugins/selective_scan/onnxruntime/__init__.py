"""The selective scan as a custom operator of ONNX Runtime."""
