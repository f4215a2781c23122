"""A training in a process of its own, for tests that kill it or start several: `python train_process.py REQUEST.json`.

The request: changes of the recipe, folder, number of processes' steps before a kill, and so on; see `main`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mambapro.runtime.data.sample import Benchmark, ImageSource, Sample
from mambapro.train.engine.distributed import join_world
from mambapro.train.engine.loop import train_model
from mambapro.train.engine.recipes import load_recipe
from mambapro.train.engine.step import TrainingStep
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.reid.reid_task import ReidTask

SMALL = {"width": 64, "depth": 1, "embed_dim": 32, "scan_channels": 32, "aggregation_depth": 1}


def benchmark(folder: Path, identities: int) -> Benchmark:
    """The images `draw` left: four of each identity."""
    samples = tuple(
        Sample(
            str(number),
            {m: ImageSource(folder / f"{number}_{m}.png") for m in ("rgb", "nir", "tir")},
            number // 4,
            number % 2,
        )
        for number in range(4 * identities)
    )
    return Benchmark("rgbnt201", samples, samples, samples, "camera", (32, 16))


def kill_after(steps: int) -> None:
    """This process dies by SIGKILL in the middle of a step, after so many whole ones."""
    inner, done = TrainingStep.__call__, 0

    def step(self: TrainingStep, *arguments: Any) -> Any:
        nonlocal done
        if done == steps:
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1
        return inner(self, *arguments)

    TrainingStep.__call__ = step  # type: ignore[method-assign]


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    config = load_recipe(request["recipe"], request["changes"])
    config = replace(config, model=replace(config.model, overrides=SMALL, image_size=(32, 16)))
    torch.manual_seed(0)
    identities = request["identities"]
    model = build_model(
        "tiny", image_size=(32, 16), cameras=2, identities=identities, direct=request["direct"], **SMALL
    )
    if request.get("kill") is not None:
        kill_after(request["kill"])
    with join_world("cpu") as world:
        data = benchmark(Path(request["images"]), identities)
        report = train_model(
            model,
            ReidTask(data, config),
            config,
            request["out"],
            device="cpu",
            resume=request.get("resume", False),
            world=world,
        )
        if world.is_first:
            sys.stdout.write(json.dumps(report.to_json()) + "\n")


if __name__ == "__main__":
    main()
