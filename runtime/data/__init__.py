"""Benchmark folders: read them, or draw them."""
