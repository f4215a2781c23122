"""Verification of a bundle on this machine, and its signature."""
