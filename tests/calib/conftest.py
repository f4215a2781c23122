"""Fixtures of these tests."""

from calibration_fixtures import *  # noqa: F403
