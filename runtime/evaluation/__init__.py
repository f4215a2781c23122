"""Retrieval accuracy, latency, and the checks of a bundle on this machine."""
