"""Fixtures of the tests of what all floors share."""

from small_bundles import *  # noqa: F403
