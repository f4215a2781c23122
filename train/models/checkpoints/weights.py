"""Checkpoints in the authors' layout and ours, both ways, with strict checks of keys and shapes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ....common.foreign_text import escaped, shown_text
from ....errors import ArtifactError, InputError
from ..mambapro.mambapro import MambaPro
from ..mambapro.model_config import HEAD_WIDTH, MambaProConfig
from ..model_spec import Model
from ..registry import FIRST, model_class
from .entries import check_entries, fill, require_finite, without_heads
from .names import authors_names, key_pairs
from .tensor_files import only_tensors, read_content, write_tensors
from .wrapped import log_notes, unwrap

log = logging.getLogger("mambapro")

FORMAT_VERSION = 1


def load_checkpoint(
    path: str | PathLike[str],
    image_size: tuple[int, int] | None = None,
    *,
    default_image_size: tuple[int, int] | None = None,
    weights: str | None = None,
    dataset: str | None = None,
    **switches: Any,
) -> Any:
    """Load a Model with the weights of a checkpoint, in eval mode, float32, on the CPU; the header has its kind.

    Args:
        path: the authors' state dict (`.pth`), or a file of `save_checkpoint` (`.safetensors` or `.pth`). Wrappers
            around a state dict are removed, and logged: dictionaries (`state_dict`, `model`, `ema`, Lightning's),
            prefixes of the keys (`module.`, `_orig_mod.`, `model.`). Nothing in a file is called or built.
        image_size: (height, width) in pixels. Required for the authors' files, which do not hold it.
        default_image_size: used if neither `image_size` nor the file has one.
        weights: name of the weights to load if a file holds several, such as "ema"; the error lists them.
        dataset: benchmark of the caller. A warning is logged if the file does not fit it.
        switches: any of prompt, adapter, mamba, sie_camera, sie_coe, direct, pixel_mean, pixel_std, which the authors'
            files do not hold either. Missing ones are assumed as in the full model, and logged.

    Raises:
        InputError: no such file, image size missing or of another number of patches, unknown switch.
        ArtifactError: unreadable or malicious file; keys missing, surplus or misshapen; several sets of weights; NaN.
    """
    path = Path(path)
    for size in (image_size, default_image_size):
        _check_image_size(size)
    content = read_content(path)
    kind = model_class(content.header.get("kind", FIRST))
    if unknown := sorted(set(switches) - set(kind.switches)):
        allowed = ", ".join(kind.switches) or "none for this model"
        raise InputError(f"Unknown switch {', '.join(unknown)}; load_checkpoint takes {allowed}.")
    if content.header:
        if weights is not None:
            raise InputError(f"{shown_text(path)} holds one set of weights, so none has to be named. Leave that out.")
        tensors = dict(only_tensors(content.tree, path))
        config, names = _stored_config(content.header, kind, image_size, path), {}
        _warn_of_other_switches(config, switches, path)
    else:
        state_dict = unwrap(content.tree, path, chosen=weights)
        log_notes(state_dict, path)
        tensors = authors_names(state_dict.tensors)
        config = _config_from_shapes(tensors, image_size or default_image_size, path)
        names = dict(key_pairs(config))
        _log_assumed(config, switches, path)
    # tensors have shapes but no memory: the checkpoint's become the model's
    with torch.device("meta"):
        model = kind(replace(config, **switches))  # type: ignore[call-arg]
    model.headless = _fit(tensors, model, names, path)
    model.trained_on = dict(content.header.get("training", {}))
    model.warn_of_use(path, dataset)
    return model.eval()


def _fit(tensors: dict[str, Tensor], model: Model, names: Mapping[str, str], path: Path) -> bool:
    """Load a file's tensors into a model; `names` maps the file's keys to ours, empty where they are equal.

    Returns:
        True if the file has no classifiers.

    Raises:
        ArtifactError: they do not fit, or are not finite.
    """
    parameters = model.state_dict()
    names = names or {key: key for key in parameters}
    expected = {authors_key: parameters[ours] for authors_key, ours in names.items()}
    headless = without_heads(tensors, names, model.heads)
    missing = fill(tensors, expected, names, model.heads if headless else ())
    check_entries(tensors, expected, path)
    if headless:
        log.warning(
            "%s has no classifiers. Features need none: it can be evaluated and exported, but not trained on.",
            shown_text(path.name),
        )
    elif missing:
        log.warning("%s has no counters of BatchNorm (num_batches_tracked); they are 0", shown_text(path.name))
    state = {names[key]: value.to(expected[key].dtype) for key, value in tensors.items()}
    require_finite({key: state[names[key]] for key in tensors}, path)
    model.load_state_dict(state, strict=True, assign=True)
    return headless


def save_checkpoint(
    model: Model,
    path: str | PathLike[str],
    layout: Literal["mambapro", "authors"] = "mambapro",
    *,
    training: Mapping[str, Any] | None = None,
    overwrite: bool = True,
) -> None:
    """Write a model's weights, atomically.

    Args:
        path: `.safetensors` or `.pth`; the authors' layout is always `.pth`.
        layout: "mambapro" stores the config (and `training`, any plain JSON) with the weights; "authors" is their plain
            state dict, key for key.

    Raises:
        InputError: suffix that does not fit, or the file exists and `overwrite` is false.
        SetupError: the disk is full.
    """
    path = Path(path)
    state = {key: value.detach().cpu() for key, value in model.state_dict().items()}
    if model.headless:
        # classifiers filled in for a file without them are not saved
        state = {key: value for key, value in state.items() if not key.startswith(model.heads)}
    if layout == "authors":
        if not isinstance(model, MambaPro):
            raise InputError(f"The authors' layout holds MambaPro, not a model of kind {model.kind}.")
        if path.suffix != ".pth":
            raise InputError(f"The authors' layout is a .pth file; {escaped(path.name)} is not.")
        write_tensors(
            path, {theirs: state[ours] for theirs, ours in key_pairs(model.config) if ours in state}, None, overwrite
        )
    elif layout == "mambapro":
        header: dict[str, Any] = {"version": FORMAT_VERSION, "kind": model.kind, "config": model.config.to_json()}
        header["training"] = dict(training or {})
        write_tensors(path, state, header, overwrite)
    else:
        raise InputError(f"Unknown layout {layout!r}; there are 'mambapro' and 'authors'.")


def _check_image_size(size: Any) -> None:
    if size is None:
        return
    if not isinstance(size, tuple | list) or len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise InputError(f"image_size must be (height, width) in pixels, such as (256, 128), not {size!r}.")


def _warn_of_other_switches(config: Any, switches: Mapping[str, Any], path: Path) -> None:
    """Warn if switches override those of one of our files."""
    other = {name: value for name, value in switches.items() if getattr(config, name) != value}
    if other:
        log.warning(
            "%s was trained with %s; it is used with %s, as was asked, and returns other features.",
            path,
            ", ".join(f"{name}={getattr(config, name)}" for name in other),
            ", ".join(f"{name}={value}" for name, value in other.items()),
        )


def _stored_config(header: Mapping[str, Any], kind: type[Model], image_size: tuple[int, int] | None, path: Path) -> Any:
    if header.get("version") != FORMAT_VERSION:
        raise ArtifactError(
            f"{escaped(path)} is a checkpoint of format {header.get('version')!r}; this version reads "
            f"{FORMAT_VERSION}. "
            "Update mambapro, or save the checkpoint again with this version."
        )
    try:
        config = kind.config_type.from_json(header["config"])
        _check_training(header.get("training", {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"{escaped(path)} has a damaged header: {error}. Copy it again, or save it again."
        ) from error
    if image_size is not None and tuple(image_size) != config.image_size:
        raise InputError(
            f"{escaped(path)} was trained at {_size(config.image_size)} (height x width), not {_size(image_size)}. "
            "Leave the image size out: the checkpoint holds it."
        )
    return config


def _check_training(facts: Any) -> None:
    """Raise if the training facts have other types than the readers expect."""
    recipe, dataset = facts.get("config", {}), facts.get("dataset")
    if not isinstance(recipe.get("model", {}), dict) or not isinstance(dataset, str | None):
        raise ValueError("what it says of its training is of another kind")


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _config_from_shapes(
    tensors: Mapping[str, Tensor], image_size: tuple[int, int] | None, path: Path
) -> MambaProConfig:
    if not any(key.startswith("BACKBONE.") for key in tensors):
        shown = ", ".join(shown_text(key, 60) for key in list(tensors)[:3])
        raise ArtifactError(
            f"{escaped(path)} is no MambaPro checkpoint: no key starts with 'BACKBONE.' (it holds {shown}, ...). "
            "CLIP's own weights are read by mambapro.train.models.checkpoints.clip.load_clip."
        )
    if image_size is None:
        raise InputError(
            f"{escaped(path)} is in the authors' layout, which does not hold the image size. Give it as "
            "(height, width): "
            "--image-size 256x128 (RGBNT201) or 128x256 (RGBNT100, MSVR310), or name the --dataset."
        )
    block = "BACKBONE.base.transformer.resblocks.0"
    scan = "AAM.ma_block.0.SSM_intra.SSM_r_f"
    # config field -> (key, axis); missing keys are reported together, so their fields keep the default
    places = {
        "patch_size": ("BACKBONE.base.conv1.weight", 2),
        "width": ("BACKBONE.base.conv1.weight", 0),
        "mlp_width": (f"{block}.mlp.c_fc.weight", 0),
        "embed_dim": ("BACKBONE.base.proj", 1),
        "adapter_width": (f"{block}.adapter_ffn.0.weight", 0),
        "prompt_tokens": (f"{block}.adapter_prompt_rgb", 0),
        "transfer_width": (f"{block}.adapter_transfer.0.weight", 0),
        "identities": ("classifier.weight", 0),
        "scan_channels": (f"{scan}.A_log", 0),
        "state": (f"{scan}.A_log", 1),
        "dt_rank": (f"{scan}.dt_proj.weight", 1),
    }
    sizes: dict[str, Any] = {
        field: tensors[key].shape[axis]
        for field, (key, axis) in places.items()
        if key in tensors and tensors[key].dim() > axis and tensors[key].shape[axis] > 0
    }
    if sizes.get("width", HEAD_WIDTH) % HEAD_WIDTH:
        # impossible width: reported in the list of keys with wrong shapes
        del sizes["width"]
    table = tensors.get("BACKBONE.cv_embed")
    cameras = 0 if table is None else MambaProConfig.cameras if table.dim() != 2 else table.shape[0]
    if not cameras:
        log.warning("%s has no camera embedding (BACKBONE.cv_embed); the model will not have one either", path.name)
    config = MambaProConfig(
        image_size=(image_size[0], image_size[1]),
        depth=_count(tensors, "BACKBONE.base.transformer.resblocks.", MambaProConfig.depth),
        aggregation_depth=_count(tensors, "AAM.ma_block.", MambaProConfig.aggregation_depth),
        cameras=cameras,
        sie_camera=cameras > 0,
        mamba_bi=any(".SSM_2_b." in key for key in tensors),
        **sizes,
    )
    _check_patches(config, tensors, path)
    return config


def _count(tensors: Mapping[str, Tensor], prefix: str, default: int) -> int:
    """Return how many modules are numbered under `prefix`, or the default if none is, so that all keys are missing."""
    names = {key.removeprefix(prefix).split(".")[0] for key in tensors if key.startswith(prefix)}
    numbers = {int(name) for name in names if name.isdecimal() and len(name) < 5}
    # an outlying number is a surplus key, not a model of a thousand layers
    return 1 + max((number for number in numbers if number <= 2 * len(numbers)), default=default - 1)


def _check_patches(config: MambaProConfig, tensors: Mapping[str, Tensor], path: Path) -> None:
    positions = tensors.get("BACKBONE.base.positional_embedding")
    rows, columns = config.grid
    if positions is not None and positions.dim() == 2 and 1 < len(positions) != 1 + rows * columns:
        raise InputError(
            f"Image size {_size(config.image_size)} gives {rows} x {columns} = {rows * columns} patches of "
            f"{config.patch_size} pixels, but {escaped(path)} has positions for {positions.shape[0] - 1}. "
            "Give the height and width the model was trained at."
        )


def _log_assumed(config: MambaProConfig, switches: Mapping[str, Any], path: Path) -> None:
    assumed = {name: getattr(config, name) for name in MambaPro.switches if name not in switches}
    if assumed:
        values = ", ".join(f"{name}={value}" for name, value in assumed.items())
        log.warning("%s does not hold these settings, so they are assumed: %s", path.name, values)
