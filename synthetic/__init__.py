"""Procedural tri-modal benchmark: persons and vehicles drawn with NumPy and Pillow in the layout of real benchmarks."""
