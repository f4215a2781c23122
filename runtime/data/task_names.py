"""Names of the tasks, in metadata of bundles and in the registry of benchmarks."""

from __future__ import annotations

RE_IDENTIFICATION, ATTRIBUTES = "re-identification", "attributes"
