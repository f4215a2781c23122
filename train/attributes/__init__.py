"""Training of pedestrian attribute recognition (https://arxiv.org/abs/2407.10374)."""
