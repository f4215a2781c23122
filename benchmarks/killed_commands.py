"""The commands that write, as kills.py runs them: their arguments, and how it is seen that what they wrote is whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

#: A training that takes a few seconds: a tiny model, a few batches.
_SHORT = ["solver.identities_per_batch=2", "solver.images_per_identity=2", "workers=1"]
_RUNNING = "--set"


@dataclass(frozen=True)
class Inputs:
    """Inputs of the commands, all in `root`."""

    root: Path
    data: Path
    checkpoint: Path
    bundle: Path

    def images(self, sensor: str) -> Path:
        """Folder of a sensor's test images."""
        return self.data / "RGBNT201" / "test" / sensor


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: in the table.
        line: its arguments from the inputs and the folder for results; --overwrite is added.
        verify: True if the result is there and whole, False if it is not there; raises where it is neither.
        names: all that may be in the folder after an undisturbed run.
        one_step: what was there before is replaced in one step, so that it is whole at any moment.
        prepare: fills the empty folder before a run.
        own_cache: its cache is emptied before each run.
        overwrite: the option that replaces; None where there is none.
        weight: how often it is killed, compared with the commands that take long.
    """

    name: str
    line: Callable[[Inputs, Path], list[str]]
    verify: Callable[[Inputs, Path], bool]
    names: frozenset[str]
    one_step: bool = True
    prepare: Callable[[Inputs, Path], object] = lambda inputs, results: None
    own_cache: bool = False
    overwrite: str | None = "--overwrite"
    weight: int = 3

    def arguments(self, inputs: Inputs, results: Path, *, overwrite: bool) -> list[str]:
        """The command line after `mambapro`."""
        return [*self.line(inputs, results), *([self.overwrite] if overwrite and self.overwrite else [])]


def mambapro(*arguments: object) -> None:
    """Run a command to its end."""
    command = [sys.executable, "-m", "mambapro", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"mambapro {arguments[0]} failed: {done.stderr[-1000:]}")


def make_inputs(
    root: Path, checkpoint: Path | None = None, data: Path | None = None, bundle: Path | None = None
) -> Inputs:
    """Draw, train and export what the commands work on, as far as it is not given."""
    inputs = Inputs(root, data or root / "data", checkpoint or root / "run" / "best.pth", bundle or root / "m.mambapro")
    if data is None:
        counts = ("--train-identities", 6, "--test-identities", 4, "--images", 4)
        mambapro("synth", "--dataset", "rgbnt201", "--out", inputs.data, *counts)
    if checkpoint is None:
        mambapro(*_train(inputs, root / "run"))
    if bundle is None:
        mambapro("export", "--ckpt", inputs.checkpoint, "--output", inputs.bundle)
    return inputs


def marked_processes(mark: str) -> list[int]:
    """Numbers of the processes whose environment holds a mark; those that ended and wait for their parent do not."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and f"MAMBAPRO_MARK={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return [number for number in found if number != os.getpid()]


def _train(inputs: Inputs, out: Path) -> list[str]:
    changes = [word for change in _SHORT for word in (_RUNNING, change)]
    line = ["train", "--config", "tiny", "--data", inputs.data, "--dataset", "rgbnt201", "--epochs", 2, "--out", out]
    return [*map(str, line), *changes]


def _drawn(inputs: Inputs, results: Path) -> bool:
    from mambapro.runtime.data.readers.benchmarks import read_benchmark
    from mambapro.synthetic.drawn_folder import is_drawn

    if not (results / "drawn").exists():
        return False
    assert is_drawn(results / "drawn"), "it is no drawn set"
    benchmark = read_benchmark("rgbnt201", results / "drawn")
    for sample in (*benchmark.train, *benchmark.gallery):
        for source in sample.sources.values():
            Image.open(source.path, formats=("JPEG",)).load()
    assert (len(benchmark.train), len(benchmark.gallery)) == (60, 60), "images are missing"
    return True


def _trained(inputs: Inputs, results: Path) -> bool:
    from mambapro.train.engine.state import read_state
    from mambapro.train.models.checkpoints.weights import load_checkpoint

    run = results / "run"
    found = [path for path in (run / "best.pth", run / "last.pth") if path.exists()]
    for path in found:
        load_checkpoint(path)
    if run.exists():
        read_state(run)
    if (run / "log.csv").exists():
        rows = (run / "log.csv").read_text().splitlines()
        assert len({row.count(",") for row in rows}) == 1, "half a row in the log"
    return bool(found)


def _bundle(inputs: Inputs, results: Path) -> bool:
    from mambapro.runtime.verification.check import check_bundle

    if not (results / "b.mambapro").exists():
        return False
    check_bundle(results / "b.mambapro", "cpu")
    return True


def _table(inputs: Inputs, results: Path) -> bool:
    from mambapro.graph.scales import read_table

    table, listing = results / "scales.json", results / "scales.images.json"
    if listing.exists():
        assert table.exists(), "the list of images is alone"
        assert json.loads(listing.read_text())["images"], "the list is empty"
    if table.exists():
        read_table(table)
    return table.exists()


def _sensitivity(inputs: Inputs, results: Path) -> bool:
    from mambapro.export.report.sensitivity_folder import read_sensitivity

    folder = results / "sensitivity"
    for name in ("state.json", "ranking.json", "pareto.json"):
        if (folder / name).exists():
            json.loads((folder / name).read_text())
    for name in ("ranking.png", "pareto.png"):
        if (folder / name).exists():
            Image.open(folder / name, formats=("PNG",)).load()
    whole = (folder / "pareto.png").exists()
    if whole:
        read_sensitivity(folder)
    return whole


def _features(inputs: Inputs, results: Path) -> bool:
    if not (results / "features.npz").exists():
        return False
    with np.load(results / "features.npz", allow_pickle=False) as arrays:
        assert len(arrays["names"]) == len(arrays["embeddings"]) > 0, "features are missing"
    return True


def _strips(inputs: Inputs, results: Path) -> bool:
    folder = results / "strips"
    if not folder.exists():
        return False
    for strip in json.loads((folder / "strips.json").read_text())["strips"]:
        Image.open(folder / strip["file"], formats=("PNG", "JPEG")).load()
    return True


def _page(inputs: Inputs, results: Path) -> bool:
    page = results / "report.html"
    if page.exists():
        assert page.read_text(encoding="utf-8").rstrip().endswith("</html>"), "half a page"
    return page.exists()


def _explained(inputs: Inputs, results: Path) -> bool:
    folder = results / "explained"
    if not folder.exists():
        return False
    for name in json.loads((folder / "explain.json").read_text())["files"]:
        assert (folder / name).stat().st_size, f"{name} is empty"
    return True


def _ablated(inputs: Inputs, results: Path) -> bool:
    from mambapro.train.paper.ablation.record import Record
    from mambapro.train.paper.ablation.stored_runs import read_result

    folder = results / "ablation"
    for path in (folder / "results").glob("*.json"):
        read_result(Record, path)
    if (folder / "results.json").exists():
        json.loads((folder / "results.json").read_text())
    return (folder / "results.json").exists()


def _compiled(inputs: Inputs, results: Path) -> bool:
    import ctypes

    found = list((inputs.root / "cache" / "plugins build").rglob("lib*.so"))
    for library in found:
        if library.parent.name != "partial":
            # what it needs of OpenVINO is loaded beside it
            import openvino  # noqa: F401

            ctypes.CDLL(str(library), mode=os.RTLD_LAZY)
    return any(library.parent.name != "partial" for library in found)


def _copy_bundle(inputs: Inputs, results: Path) -> None:
    shutil.copytree(inputs.bundle, results / "b.mambapro")


def _line(words: str) -> Callable[[Inputs, Path], list[str]]:
    """Words in which {data}, {ckpt}, {bundle}, {rgb}, {ni}, {ti} and {out} stand for paths."""

    def line(inputs: Inputs, results: Path) -> list[str]:
        paths = {"data": inputs.data, "ckpt": inputs.checkpoint, "bundle": inputs.bundle, "out": results}
        sensors = {name.lower(): inputs.images(name) for name in ("RGB", "NI", "TI")}
        return [word.format(**paths, **sensors) for word in words.split()]

    return line


_DATA = "--data {data} --dataset rgbnt201"
_CALIB = "--calib {data} --dataset rgbnt201"
_DRAW = "synth --dataset rgbnt201 --out {out}/drawn --train-identities 10 --test-identities 10 --images 6"
_SENSITIVITY = "--images 8 --rank-images 1 --calib-images 8 --group kind --out {out}/sensitivity"
_SENSORS = "--rgb {rgb} --nir {ni} --tir {ti}"
_ABLATION = f"ablate 3 {_DATA} --size tiny --rows A --backbone {{ckpt}} --out {{out}}/ablation"
_EXPLAIN = f"explain --ckpt {{ckpt}} {_DATA} --only similarity --identities 4 --out {{out}}/explained"
_BUNDLE = frozenset({"b.mambapro"})

COMMANDS = (
    Command("synth", _line(_DRAW), _drawn, frozenset({"drawn"})),
    Command("train", lambda inputs, out: _train(inputs, out / "run"), _trained, frozenset({"run"}), one_step=False,
        weight=1),
    Command("export", _line("export --ckpt {ckpt} --output {out}/b.mambapro"), _bundle, _BUNDLE, weight=1),
    Command(
        "calibrate", _line(f"calibrate {{bundle}} {_CALIB} --images 16 --out {{out}}/scales.json"),
        _table, frozenset({"scales.json", "scales.images.json"}), own_cache=True,
    ),
    Command(
        "sensitivity", _line(f"sensitivity {{bundle}} {_CALIB} {_SENSITIVITY}"), _sensitivity,
        frozenset({"sensitivity"}), weight=1,
    ),
    Command(
        "build", _line("build {out}/b.mambapro --target openvino --precision bf16"), _bundle, _BUNDLE,
        prepare=_copy_bundle, weight=1,
    ),
    Command(
        "extract", _line(f"extract {{bundle}} {_SENSORS} --out {{out}}/features.npz"), _features,
        frozenset({"features.npz"}),
    ),
    Command(
        "eval --strips", _line(f"eval {{bundle}} {_DATA} --bootstrap 0 --strips {{out}}/strips"), _strips,
        frozenset({"strips"}),
    ),
    Command(
        "report", _line(f"report {{bundle}} {_DATA} --runs 3 --bootstrap 0 --out {{out}}/report.html"), _page,
        frozenset({"report.html"}),
    ),
    Command("explain", _line(_EXPLAIN), _explained, frozenset({"explained"})),
    Command("ablate", _line(_ABLATION), _ablated, frozenset({"ablation"}), one_step=False),
    Command(
        "plugins build", _line("plugins build openvino"), _compiled, frozenset(), one_step=False, own_cache=True,
        overwrite=None, weight=1,
    ),
)  # fmt: skip
