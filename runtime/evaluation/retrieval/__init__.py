"""Retrieval metrics, re-ranking and ranking strips."""
