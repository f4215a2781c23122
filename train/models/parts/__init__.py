"""Layers and blocks that models are composed of."""
