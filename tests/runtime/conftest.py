"""Fixtures of the runtime's tests."""

from small_bundles import *  # noqa: F403
