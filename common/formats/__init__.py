"""Readers of untrusted JSON, NPZ, ZIP and TOML files, with size limits."""
