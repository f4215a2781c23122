"""Drawn sets of pedestrian attributes: persons whose labels are true, in the published annotation formats."""
