"""Accuracy and speed gates of artifacts."""
