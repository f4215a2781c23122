"""A checkpoint in PyTorch side by side with its exported bundles."""
