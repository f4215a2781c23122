"""A procedural tri-modal benchmark: persons and vehicles drawn with NumPy and Pillow, in the real ones' folders."""
