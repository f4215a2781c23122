"""Fixtures of the runtime's tests."""

from attribute_bundles import *  # noqa: F403
from small_bundles import *  # noqa: F403
