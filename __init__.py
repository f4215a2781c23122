"""MambaPro from training to the edge: train, export, run without PyTorch, prove the numbers are the same."""

__version__ = "0.1.0"
