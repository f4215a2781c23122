"""Models of "An Empirical Study of Mamba-based Pedestrian Attribute Recognition" (https://arxiv.org/abs/2407.10374)."""
