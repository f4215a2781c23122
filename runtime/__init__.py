"""Feature extraction, benchmarks and metrics without PyTorch."""
