"""MambaPro from training to the edge: train, export, run without PyTorch, prove the numbers are the same."""

from . import telemetry as _telemetry

__version__ = "0.1.0"

# before anything that would report is imported
_telemetry.switch_off()
