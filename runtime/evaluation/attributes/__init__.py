"""Accuracy of attribute recognition."""
