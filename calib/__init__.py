"""Int8 calibration: images, activation ranges, scales and the sensitivity of each layer."""
