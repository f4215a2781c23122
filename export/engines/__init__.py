"""Typed ONNX to engines, one module for each builder."""
