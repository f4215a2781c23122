"""Generated benchmarks, drawn with NumPy and Pillow: tri-modal persons and vehicles, and persons with attributes."""
