"""PyTorch: the model, its training and its evaluation."""
