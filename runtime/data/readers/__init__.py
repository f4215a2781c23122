"""Readers of the benchmarks' folders."""
