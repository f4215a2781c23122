"""Jobs of an ablation table: each row with each seed, as a recipe with a fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ....common.files.atomic import sha256_of
from ....errors import InputError
from ...engine.image_ranges import noted_ranges
from ...engine.recipes import load_recipe
from ...engine.training_config import TrainConfig
from ...models.checkpoints.weights import load_checkpoint
from ...models.mambapro.mambapro import MambaPro
from ...models.mambapro.model_config import MambaProConfig
from ...models.mambapro.pretrained import initialiser
from ...models.mambapro.sizes import config_of_size
from .record import fingerprint
from .table_rows import Row, Table

#: Fields that may differ between two runs of one table, because they do not change the result.
FREE = ("name", "workers", "save_every")


@dataclass(frozen=True)
class Pretraining:
    """Pretrained backbones: for each kind ("clip", "vit") the function that fills a model, and a name."""

    fill: Mapping[str, Callable[[MambaPro], Any]]
    source: Mapping[str, str]


@dataclass(frozen=True)
class Job:
    """One row with one seed. `fingerprint` covers all settings that affect its result."""

    table: str
    row: Row
    seed: int
    config: TrainConfig
    fingerprint: str

    @property
    def name(self) -> str:
        """Stem of its file names."""
        return f"{self.table}-{self.row.key}-seed{self.seed}"

    def result(self, folder: Path) -> Path:
        """Return the path of its result."""
        return folder / "results" / f"{self.name}.json"

    def run_folder(self, folder: Path) -> Path:
        """Return its training folder; other settings have another one, so that a run resumes only its own state."""
        return folder / "runs" / f"{self.name}-{self.fingerprint[:8]}"


def base_recipe(dataset: str, config: str | None, size: str | None, changes: Sequence[str]) -> TrainConfig:
    """Return the recipe shared by all rows: the published one of the data set, or "tiny" for the tiny size.

    Raises:
        InputError: as `load_recipe`.
    """
    source = config or ("tiny" if size == "tiny" else dataset)
    recipe = load_recipe(source, changes, kind=TrainConfig)
    return recipe if size is None else replace(recipe, model=replace(recipe.model, size=size))


def pretraining(
    clip: str | None,
    vit: str | None,
    backbones: Sequence[Path],
    allow_torchscript: bool = False,
    weights: str | None = None,
) -> Pretraining:
    """Return the pretrained backbones of the command's options; a checkpoint serves its own kind of backbone.

    `weights` names one of several sets of weights in the checkpoints.

    Raises:
        InputError: two sources for one kind, an unsuitable file, or `weights` without a checkpoint.
        ArtifactError: a damaged checkpoint.
    """
    fill: dict[str, Callable[[MambaPro], Any]] = {}
    source: dict[str, str] = {}

    def add(kind: str, filler: Callable[[MambaPro], Any] | None, word: str) -> None:
        assert filler is not None
        if kind in fill:
            raise InputError(f"There are two {kind} backbones, {source[kind]} and {word}; give one of each kind.")
        fill[kind], source[kind] = filler, word

    if weights is not None and not backbones:
        raise InputError("--weights chooses weights in the checkpoint of --backbone: give that too.")
    for path in backbones:
        word = _word(str(path)) + ("" if weights is None else f" {weights}")
        add(_kind_of(path, weights), initialiser(backbone=path, weights=weights), word)
    if clip is not None:
        add("clip", initialiser(clip=clip, allow_torchscript=allow_torchscript), _word(clip))
    if vit is not None:
        add("vit", initialiser(vit=vit), _word(vit))
    return Pretraining(fill, source)


def _kind_of(checkpoint: Path, weights: str | None) -> str:
    # the kind of the authors' files does not depend on the image size, which they do not hold
    size = MambaProConfig.image_size
    return load_checkpoint(checkpoint, default_image_size=size, weights=weights).config.backbone


def _word(source: str) -> str:
    """Return a name unchanged, or a hash of a file's content, since files change under one name."""
    path = Path(source)
    return sha256_of(path)[:16] if path.is_file() else source


def make_jobs(
    table: Table,
    rows: Sequence[Row],
    seeds: Sequence[int],
    recipe: TrainConfig,
    pretrained: Pretraining,
    data: str,
    dataset: str,
) -> tuple[Job, ...]:
    """Return all runs of these rows of a table, seed by seed; an untrained row has one run for all seeds.

    Args:
        data: hash of the data set, see `data_fingerprint`.

    Raises:
        InputError: a row's backbone has no pretrained weights, or its model cannot be built at this size.
    """
    missing = sorted({row.backbone for row in rows} - pretrained.fill.keys())
    if missing:
        options = {"clip": "--backbone CHECKPOINT or --clip NAME", "vit": "--backbone CHECKPOINT or --vit NAME"}
        raise InputError(
            f"Every row starts from the same pretrained backbone, and there is none of kind {' and '.join(missing)}. "
            f"Give {' and '.join(options[kind] for kind in missing)}."
        )
    jobs = []
    for turn, seed in enumerate(seeds):
        for row in rows:
            if row.trained or turn == 0:
                config = _recipe(row, seed, recipe)
                settings = {"backbone": pretrained.source[row.backbone], "data": data, "dataset": dataset}
                decisive = {**settings, **noted_ranges(), "config": _decisive(config, row)}
                jobs.append(Job(table.key, row, seed, config, fingerprint(decisive)))
    return tuple(jobs)


def _recipe(row: Row, seed: int, recipe: TrainConfig) -> TrainConfig:
    """Return the row's own recipe.

    Raises:
        InputError: a model that cannot be built; the message names the row.
    """
    model = replace(
        recipe.model,
        size=_size(recipe.model.size, row),
        frozen=row.frozen,
        overrides={**recipe.model.overrides, **row.fields},
    )
    try:
        config_of_size(model.size, image_size=model.image_size, **model.overrides)
    except InputError as error:
        raise InputError(f"Row {row.key} cannot be built as {model.size}: {error}") from error
    return replace(recipe, name=f"{recipe.name}, row {row.key}", model=model, seed=seed)


def _decisive(config: TrainConfig, row: Row) -> dict[str, Any]:
    """Return the fields that affect a row's result; for an untrained row those of the model only."""
    fields = config.to_json()
    if not row.trained:
        return {"model": fields["model"]}
    return {name: value for name, value in fields.items() if name not in FREE}


def _size(size: str, row: Row) -> str:
    """Return the model's size with the row's backbone."""
    return f"{size}_imagenet" if row.backbone == "vit" else size
