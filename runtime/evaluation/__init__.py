"""Retrieval accuracy, latency, and the checks of a bundle on this machine."""

from ...moved import old_names_of

__getattr__ = old_names_of("runtime.evaluation")
