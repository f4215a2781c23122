"""Runs pytest in forks of a process that has imported some large packages already (for slip_tree.py).

    python slip_server.py PACKAGE ...

Reads a job a line, {"arguments": [...], "output": FILE}; answers with {"pid": ...} when it has begun, in a session of
its own, and with {"code": ...} when it has ended.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def run(job: dict[str, Any]) -> int:
    """One job, in the child: pytest's exit code."""
    import pytest

    os.setsid()
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        handle = os.open(path, flags, 0o600)
        os.dup2(handle, descriptor)
        os.close(handle)
    os.dup2(1, 2)
    try:
        return int(pytest.main(job["arguments"]))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def tell(answer: dict[str, int]) -> None:
    """One line to whoever gave the job."""
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()


def main() -> None:
    """Import, then take jobs until there are no more."""
    # as `python -m pytest` has it
    sys.path[0] = os.getcwd()  # noqa: PTH109 - the string is what is wanted
    for name in ("pytest", *sys.argv[1:]):
        importlib.import_module(name)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 3
            try:
                code = run(json.loads(line))
            finally:
                os._exit(code)
        tell({"pid": pid})
        _, status = os.waitpid(pid, 0)
        tell({"code": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    main()
