"""Worker processes: requests and answers, errors of ours, endings, and a limit on silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mambapro.common.worker_process import VARIABLE, WorkerEnded, WorkerProcess
from mambapro.errors import InputError, SetupError


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], WorkerProcess]:
    """A worker whose answer to a request is a function body of `request` and `emit`."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(body: str) -> WorkerProcess:
        (tmp_path / "stand_in.py").write_text(
            "import os, time\nfrom mambapro.common.worker_process import serve\n"
            "from mambapro.errors import InputError\n"
            f"def answer(request, emit):\n    {body}\nif __name__ == '__main__': serve(answer)\n"
        )
        return WorkerProcess("stand_in", "the model")

    return make


def test_answers_in_order(worker: Callable[[str], WorkerProcess]) -> None:
    """Each request has its result; what the worker prints is not taken for one."""
    with worker("print('chatter'); return request['n'] * 2") as process:
        process.send({"n": 1})
        process.send({"n": 2})

        assert [process.answer(30), process.answer(30)] == [2, 4]


def test_events_come_before_the_result(worker: Callable[[str], WorkerProcess]) -> None:
    """Events in their order, the result last."""
    with worker("emit('percent', 50); return 'built'") as process:
        process.send({})

        assert list(process.events(30)) == [("percent", 50), ("done", "built")]


def test_an_error_of_ours_keeps_its_class(worker: Callable[[str], WorkerProcess]) -> None:
    """Class and words arrive."""
    with worker("raise InputError('no such bundle')") as process, pytest.raises(InputError, match="no such bundle"):
        process.send({})
        process.answer(30)


@pytest.mark.parametrize(("body", "code"), [("raise KeyError('odd')", 1), ("os.kill(os.getpid(), 9)", -9)])
def test_an_end_without_an_answer(body: str, code: int, worker: Callable[[str], WorkerProcess]) -> None:
    """The exit code, or the signal, and the end of what the worker wrote to its standard error."""
    with worker(body) as process, pytest.raises(WorkerEnded) as caught:
        process.send({})
        process.answer(30)

    assert caught.value.code == code and ("odd" in caught.value.said) == (code == 1)


def test_a_worker_that_hangs_is_ended(worker: Callable[[str], WorkerProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    """SetupError after the seconds of the variable, which take the place of the caller's; no process is left."""
    monkeypatch.setenv(VARIABLE, "0.5")

    with worker("time.sleep(60)") as process, pytest.raises(SetupError, match=f"the model did not.*{VARIABLE}"):
        process.send({})
        process.answer(600)

    assert process._process.poll() is not None
