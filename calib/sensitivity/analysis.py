"""Sensitivity analysis of a model: ranking, Pareto curve, policy and figures in one folder; resumable."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ... import __version__
from ...common.figures import analysis
from ...common.files.atomic import clear_leftovers, json_text, make_folder, sha256_of, write_atomically
from ...common.files.locks import only_process
from ...common.foreign_text import escaped
from ...common.progress import Track, silent
from ...errors import InputError
from ...graph.module_roles import roles_of
from ...graph.onnx_file import load_model
from ...graph.quantize import ONNXRUNTIME, OPENVINO
from ...graph.scales import ScaleTable
from ...runtime.backends.onnxruntime import import_onnxruntime
from ...runtime.backends.openvino import import_openvino
from ...runtime.environment import machine_name
from ..memory import require_memory
from ..policy import FLOAT, Policy
from .groups import GROUPS, LAYER
from .measurement import Material
from .pareto import Limits, Pareto, Search, find_choice
from .pictures import pareto_picture, ranking_picture
from .ranking import Ranking, judge_of, rank
from .staged_model import Chain
from .state import State
from .timing import TARGETS, Clock, clock

STATE, RANKING, PARETO, POLICY = "state.json", "ranking.json", "pareto.json", "policy.toml"
RANKING_PICTURE, PARETO_PICTURE = "ranking.png", "pareto.png"

log = logging.getLogger("mambapro")

#: The file, its parts in sessions with weights packed anew, a probe, int8 parts, and the model that is being timed.
_COPIES_OF_MODEL = 12


@dataclass(frozen=True)
class SensitivityOptions:
    """Options of the analysis.

    Attributes:
        grouping: "layer", "block" or "kind": what is taken together.
        target: where it is timed, and whose layout of Q/DQ nodes is used.
        batch: samples per timed run.
        rank_samples: how many of the samples the layers are ranked on; choices are measured on all. None = all.
        limits: what the choice may cost.
        overwrite: replace measurements of another model, other images or other options in the folder.

    Raises:
        InputError: a value that is not known.
    """

    grouping: str = LAYER
    target: str = ONNXRUNTIME
    batch: int = 1
    rank_samples: int | None = None
    limits: Limits = field(default_factory=Limits)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.rank_samples is not None and self.rank_samples < 1:
            raise InputError(f"Layers are ranked on at least 1 sample, not {self.rank_samples}.")
        if self.grouping not in GROUPS or self.target not in TARGETS or self.batch < 1:
            raise InputError(
                f"The grouping must be one of {', '.join(GROUPS)}, the target one of {', '.join(TARGETS)} and "
                f"the batch at least 1, not {self.grouping!r}, {self.target!r} and {self.batch}."
            )


@dataclass(frozen=True)
class SensitivityReport:
    """Measurements, the policy that follows, and the folder of the files."""

    ranking: Ranking
    pareto: Pareto
    policy: Policy
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        choice = {"default": self.policy.default, "modules": dict(self.policy.rules)}
        return {
            "folder": str(self.folder),
            "policy": choice,
            "ranking": self.ranking.to_json(),
            "pareto": self.pareto.to_json(),
        }

    def __str__(self) -> str:
        floats = len(self.pareto.choice.floats)
        last = f"chosen: {floats} of {len(self.pareto.order)} in floating point; {escaped(self.folder / POLICY)}"
        return "\n\n".join((str(self.ranking), str(self.pareto), last))


def analyse(
    model: Path,
    scales: ScaleTable,
    material: Material,
    folder: Path,
    options: SensitivityOptions | None = None,
    track: Track = silent,
    timer: Clock | None = None,
) -> SensitivityReport:
    """Rank the layers of a float model, measure the curve, choose; writes the files of this module into `folder`.

    Interrupted at any moment it goes on where it was when it is called again, and ends in the same files.

    Args:
        model: ONNX file.
        scales: its table.
        material: what to measure on.
        folder: where to; made if it is missing.
        options: None = the defaults.
        track: shows progress.
        timer: instead of the target's own clock.

    Raises:
        InputError: the folder holds other measurements, cannot be one, or another run works in it; fewer samples than
            the batch.
        SetupError: the target's library or matplotlib is missing; not enough memory; no room or no permission.
        ArtifactError: the model and the table do not belong together, or NaN came out.
    """
    options = options or SensitivityOptions()
    make_folder(folder)
    with only_process(folder):
        clear_leftovers(folder, (STATE, RANKING, PARETO, POLICY, RANKING_PICTURE, PARETO_PICTURE))
        return _analyse(model, scales, material, folder, options, track, timer)


def _analyse(
    model: Path,
    scales: ScaleTable,
    material: Material,
    folder: Path,
    options: SensitivityOptions,
    track: Track,
    timer: Clock | None,
) -> SensitivityReport:
    timer = timer or clock(options.target, material.feeds, options.batch)
    overwrite = options.overwrite or _begun(folder)
    state = State(folder / STATE, _key(model, scales, material, options), options.overwrite)
    require_memory(_COPIES_OF_MODEL * model.stat().st_size, "Sensitivity")
    loaded = load_model(model)
    chain = Chain(loaded, scales, options.target)
    some = material.first(options.rank_samples)
    judge = judge_of(chain, some)
    ranking = rank(chain, some, options.grouping, state, judge, track)
    _write(folder / RANKING, json_text(ranking.to_json()), overwrite)
    _write(folder / RANKING_PICTURE, ranking_picture(ranking, roles_of(loaded)), overwrite)
    if some is not material:
        judge = judge_of(chain, material)
    search = Search(loaded, scales, options.target, chain, material.batches(), ranking, judge, timer, state)
    pareto = find_choice(search, options.limits, options.target, options.batch, track)
    _write(folder / PARETO, json_text(pareto.to_json()), overwrite)
    _write(folder / PARETO_PICTURE, pareto_picture(pareto), overwrite)
    policy = policy_of(pareto, ranking, chain)
    _write(folder / POLICY, policy.to_toml(_header(pareto, material.samples, model)), overwrite)
    if not pareto.choice.share:
        log.warning("Nothing is worth int8 within the limits: the policy leaves the whole model in floating point.")
    return SensitivityReport(ranking, pareto, policy, folder)


def require_pictures() -> None:
    """Raise SetupError unless matplotlib is installed: better before the measuring than after it."""
    with analysis():
        import matplotlib  # noqa: F401


def policy_of(pareto: Pareto, ranking: Ranking, chain: Chain) -> Policy:
    """Return the choice as a policy: int8, but for the groups in floating point."""
    floats = pareto.choice.floats
    policy = (
        Policy(FLOAT) if len(floats) == len(pareto.order) else Policy(rules=tuple((name, FLOAT) for name in floats))
    )
    wanted = {module for entry in ranking.entries if entry.name not in floats for module in entry.modules}
    assert policy.modules(chain.points) == wanted, "a group's name matches layers of another group"
    return policy


def _header(pareto: Pareto, samples: int, model: Path) -> list[str]:
    choice, limits = pareto.choice, pareto.limits
    drop = choice.loss.map_drop
    cost = "mAP was not measured" if drop is None else f"mAP drop {100 * drop:.2f} points"
    return [
        "Which layers compute in int8; written by mambapro sensitivity.",
        f"Measured on {samples} calibration samples of {model.name}, timed in {pareto.target} "
        f"with batches of {pareto.batch}:",
        f"{choice.milliseconds:.2f} ms, {cost}, largest 1 - cosine {choice.loss.largest:.1e};",
        f"all in int8 {pareto.points[0].milliseconds:.2f} ms, all in floating point "
        f"{pareto.points[-1].milliseconds:.2f} ms.",
        f"Limits: mAP drop {100 * limits.map_drop:.2f} points, 1 - cosine {limits.departure:.1e}.",
        *(f"{name}: sha256 {pareto.key[name]}" for name in ("model", "data", "scales")),
    ]


def _key(model: Path, scales: ScaleTable, material: Material, options: SensitivityOptions) -> dict[str, Any]:
    versions = {"mambapro": __version__, "onnxruntime": import_onnxruntime().__version__}
    if options.target == OPENVINO:
        versions["openvino"] = import_openvino().__version__
    return {
        "model": sha256_of(model),
        "data": material.sha256,
        "scales": scales.sha256,
        "samples": material.samples,
        "rank_samples": options.rank_samples,
        "junk": material.junk,
        "grouping": options.grouping,
        "target": options.target,
        "batch": options.batch,
        "machine": machine_name(),
        "versions": versions,
    }


def _begun(folder: Path) -> bool:
    """Return whether an earlier run left its state, and so the other files, in a folder.

    Raises:
        InputError: there is no state, but files of the names that are to be written.
    """
    if (folder / STATE).exists():
        return True
    foreign = [name for name in (RANKING, RANKING_PICTURE, PARETO, PARETO_PICTURE, POLICY) if (folder / name).exists()]
    if foreign:
        raise InputError(
            f"{escaped(folder)} holds {', '.join(foreign)} of something else. Give another folder with "
            "--out, or replace them "
            "with --overwrite."
        )
    return False


def _write(path: Path, content: str | bytes, overwrite: bool) -> None:
    data = content.encode("utf-8") if isinstance(content, str) else content
    write_atomically(path, lambda temporary: temporary.write_bytes(data), overwrite=overwrite)
