"""From a PyTorch checkpoint to a verified bundle."""
