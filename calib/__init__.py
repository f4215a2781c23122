"""Calibration for int8; holds nothing yet."""
