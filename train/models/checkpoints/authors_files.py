"""Reader of the authors' MambaPro checkpoints, which hold neither image size nor switches."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ....common.foreign_text import escaped, shown_text
from ....errors import ArtifactError, InputError
from ....runtime.data.task_names import RE_IDENTIFICATION
from ..mambapro.mambapro import MambaPro
from ..mambapro.model_config import HEAD_WIDTH, MambaProConfig
from ..suited import require_suited_task
from .foreign_files import ForeignFile, Request
from .names import authors_names, key_pairs
from .wrapped import log_notes, unwrap

log = logging.getLogger("mambapro")


def read_authors_file(tree: Any, path: Path, request: Request) -> ForeignFile:
    """Read the content of a file in the authors' layout.

    Raises:
        InputError: a benchmark of another task, image size missing or of another number of patches, no weights of the
            chosen name.
        ArtifactError: no MambaPro checkpoint, or several sets of weights.
    """
    state_dict = unwrap(tree, path, chosen=request.weights)
    log_notes(state_dict, path)
    tensors = authors_names(state_dict.tensors)
    # before the image size, which benchmarks of other tasks cannot tell
    require_suited_task(RE_IDENTIFICATION, path, request.dataset)
    config = _config_from_shapes(tensors, request.image_size or request.default_image_size, path)
    _log_assumed(config, request.switches, path)
    return ForeignFile(MambaPro, config, tensors, dict(key_pairs(config)))


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
            f"Image size {config.image_size[0]}x{config.image_size[1]} gives {rows} x {columns} = {rows * columns} "
            f"patches of {config.patch_size} pixels, but {escaped(path)} has positions for {positions.shape[0] - 1}. "
            "Give the height and width the model was trained at."
        )


def _log_assumed(config: MambaProConfig, switches: Mapping[str, Any], path: Path) -> None:
    assumed = {name: getattr(config, name) for name in MambaPro.switches if name not in switches}
    if assumed:
        values = ", ".join(f"{name}={value}" for name, value in assumed.items())
        log.warning("%s does not hold these settings, so they are assumed: %s", path.name, values)
