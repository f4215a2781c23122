"""The bundle format on disk."""

from ...moved import old_names_of

__getattr__ = old_names_of("runtime.bundle", "runtime.bundle.bundle")
