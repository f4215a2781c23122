"""Engines from typed ONNX, one module for each builder."""
