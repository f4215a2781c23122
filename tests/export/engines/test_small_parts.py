"""What building an engine is made of: the job as text, percents, memory, options."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from mambapro.errors import InputError, SetupError
from mambapro.export.engines import build_memory as memory
from mambapro.export.engines.builder_progress import Percent
from mambapro.export.engines.engine_options import EngineOptions
from mambapro.export.engines.messages import BuildRequest


@pytest.mark.parametrize("gpu", [None, ("NVIDIA Orin", "8.7")])
def test_a_job_survives_its_text(gpu: tuple[str, str] | None) -> None:
    """What the building process reads is equal to what it was given, tuples among it."""
    names = ("a.onnx", "a.engine", "tensorrt")
    job = BuildRequest(*names, (1, 8, 32), 4, ("8.6", "12.0"), "same", True, "auto", None, 2**20, None, False, gpu)

    assert BuildRequest.from_json(json.loads(json.dumps(asdict(job)))) == job


class TestPercent:
    def test_every_step_counts_when_it_is_done(self) -> None:
        """Two phases of four and five steps: the first step of the inner one is a twentieth of the whole."""
        told: list[int] = []
        percent = Percent(told.append)
        percent.start("all", None, 4)
        percent.start("part", "all", 5)

        for step in range(5):
            percent.step("part", step)
        percent.step("all", 0)
        percent.step("all", 3)

        assert told == [5, 10, 15, 20, 25, 100]

    def test_it_never_goes_back(self) -> None:
        """A phase that begins anew tells nothing until it is beyond what was told."""
        told: list[int] = []
        percent = Percent(told.append)
        percent.start("all", None, 4)
        percent.step("all", 0)
        percent.step("all", 2)
        percent.start("all", None, 4)
        for step in range(4):
            percent.step("all", step)

        assert told == [25, 75, 100]


class TestMemory:
    @pytest.mark.parametrize(("share", "refused"), [(0.1, True), (0.49, True), (0.51, False), (3.0, False)])
    def test_less_than_half_of_what_is_usual(
        self, share: float, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A build is refused where less than half of its usual memory is free, and only there."""
        (tmp_path / "model.onnx").write_bytes(b"x" * 1000)
        free = int(share * memory.usual_need(1000))
        monkeypatch.setattr(memory, "free_memory", lambda: free)

        if refused:
            with pytest.raises(SetupError, match="usually takes"):
                memory.require_memory(tmp_path / "model.onnx")
        else:
            memory.require_memory(tmp_path / "model.onnx")


class TestOptions:
    @pytest.mark.parametrize("wrong", [{"hardware": "ampere+"}, {"version_compatible": True}])
    def test_rtx_has_no_levels(self, wrong: dict) -> None:
        """Each option of TensorRT alone is refused for TensorRT-RTX, by itself."""
        with pytest.raises(InputError, match="TensorRT-RTX has no hardware levels"):
            EngineOptions("tensorrt_rtx", **wrong).require_consistent()

    def test_tensorrt_has_no_list_of_gpus(self) -> None:
        """Compute capabilities are TensorRT-RTX's; without them TensorRT's options fit, and RTX's with them."""
        with pytest.raises(InputError, match="TensorRT builds for the GPU of the machine"):
            EngineOptions("tensorrt", compute_capabilities=("8.6",)).require_consistent()
        EngineOptions("tensorrt", hardware="ampere+", version_compatible=True).require_consistent()
        EngineOptions("tensorrt_rtx", compute_capabilities=("8.6", "12.0")).require_consistent()
