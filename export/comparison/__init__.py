"""Comparison of a checkpoint in PyTorch with its exported bundles."""
