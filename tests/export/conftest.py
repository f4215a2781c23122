"""Fixtures of these tests."""

from export_fixtures import *  # noqa: F403
