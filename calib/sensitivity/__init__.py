"""Sensitivity of each layer to int8, and the choice of precisions that follows."""
