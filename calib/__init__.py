"""Int8: calibration data, ranges, scales, Q/DQ, and how sensitive each layer is."""
