"""Common code of the parts of gpu_check.py: records of results, and the location of the cases."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: The one list of cases (scan_cases.py) is the tests'.
sys.path.insert(0, str(ROOT / "tests" / "fixtures"))

#: Length, channels, groups, state of the full-size model's two scans.
FULL_SIZE = ((128, 3072, 3, 16), (384, 1024, 1, 16))
BATCHES = (1, 64)
TYPES = ("float32", "float16", "bfloat16")


class Skipped(Exception):
    """A part cannot run here; the text says what is missing."""


class NoGpu(Skipped):
    """A part finds no GPU. Where another part has found one, that is a failure: gpu_check.py makes it one."""


@dataclass
class Record:
    """Checks and times of one part."""

    count: int = 0
    #: Largest error as a share of its limit, and what it belongs to.
    worst: float = 0.0
    worst_of: str = ""
    failures: list[str] = field(default_factory=list)
    times: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def check(self, name: str, error: float, limit: float) -> None:
        """Remember one comparison; an error that is no number fails."""
        self.count += 1
        share = error / limit if math.isfinite(error) else math.inf
        if share > 1:
            self.failures.append(f"{name}: error {error:.2e}, limit {limit:.0e}")
        if share > self.worst and math.isfinite(share):
            self.worst, self.worst_of = share, name

    def hold(self, name: str, holds: bool) -> None:
        """Remember one claim that holds or not."""
        self.count += 1
        if not holds:
            self.failures.append(name)


def finish(run: Callable[[Record], None]) -> None:
    """Run a part and write its record as one line of JSON to standard output, the last one."""
    record, status, reason = Record(), "passed", None
    try:
        run(record)
    except NoGpu as missing:
        status, reason = "no gpu", str(missing)
    except Skipped as missing:
        status, reason = "skipped", str(missing)
    if status == "passed" and (record.failures or not record.count):
        status, reason = "failed", "; ".join(record.failures[:3]) or "nothing was checked"
    sys.stdout.write("\n" + json.dumps({"status": status, "reason": reason, **asdict(record)}) + "\n")
