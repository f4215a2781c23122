"""Backends, one module for each inference engine."""
