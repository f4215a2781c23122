"""Sizes and switches of a MambaPro model: frozen dataclasses that are stored in our checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from ....common.foreign_text import shown_text, shown_value
from ....errors import InputError
from ....plugins.selective_scan.schema import MAX_STATE
from ....runtime.data.preprocess import Preprocessing
from ..ranges import Range, check_range

#: CLIP's rule: a head is 64 wide, so the width tells the number of heads.
HEAD_WIDTH = 64
#: Valid sizes: the published model is ViT-B/16, the largest ViT has 56 layers of width 1792.
RANGES = {
    "image height": Range(1, 4096),
    "image width": Range(1, 4096),
    "patch_size": Range(1, 256),
    "width": Range(1, 8192),
    "depth": Range(1, 100),
    "mlp_width": Range(1, 32768),
    "embed_dim": Range(1, 8192),
    "adapter_width": Range(1, 32768),
    "prompt_tokens": Range(1, 1024),
    "transfer_width": Range(1, 32768),
    "cameras": Range(0, 10_000),
    "identities": Range(1, 1_000_000),
    "aggregation_depth": Range(1, 100),
    "scan_channels": Range(1, 32768),
    "state": Range(1, MAX_STATE),
    "dt_rank": Range(1, 8192),
    "lora_rank": Range(1, 8192),
    "adapter_first_layer": Range(1, 100),
    "prompt_first_layer": Range(1, 100),
    "sie_coe": Range(-1000, 1000, whole=False),
}

# Kinds of parts; the first of each is that of the published model.
BACKBONES = ("clip", "vit")
ADAPTER_KINDS = ("pfa", "bottleneck", "lora")
ADAPTER_POSITIONS = ("beside_ffn", "behind_ffn", "beside_mhsa", "behind_mhsa")
PROMPT_KINDS = ("srp", "srp_separation", "sp", "independent")
AGGREGATION_KINDS = ("mamba", "sum", "concat", "transformer", "intra", "inter", "ma_transformer")
_CHOICES = {
    "backbone": BACKBONES,
    "adapter_kind": ADAPTER_KINDS,
    "adapter_position": ADAPTER_POSITIONS,
    "prompt_kind": PROMPT_KINDS,
    "aggregation_kind": AGGREGATION_KINDS,
}
#: Kinds of aggregation that scan, and so may scan both ways.
_SCANNING = ("mamba", "intra", "inter")
#: Fields that define a variant of the published model if they differ from their defaults.
VARIANT_FIELDS = (*_CHOICES, "adapter_first_layer", "prompt_first_layer")


@dataclass(frozen=True)
class MambaProConfig:
    """All fields that determine the shape of the model and its forward pass.

    The switches carry the names of the authors' YAML files, in lower case: an ablation row of the paper is a set of
    them (A: none, C: adapter, D: prompt, E: both, F: all three). The kinds and positions are the rows of its other
    tables; their defaults are the published model.
    """

    # (height, width) in pixels of all three images
    image_size: tuple[int, int] = (256, 128)
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    mlp_width: int = 3072
    embed_dim: int = 512
    adapter_width: int = 1536
    # prompt tokens per modality and layer (N_pr)
    prompt_tokens: int = 4
    transfer_width: int = 384
    # rows of the camera embedding (SIE); 0: the model has none
    cameras: int = 4
    identities: int = 171
    aggregation_depth: int = 2
    # channels of the scans per modality (expand * embed_dim) and their state size
    scan_channels: int = 1024
    state: int = 16
    dt_rank: int = 32

    # tower of CLIP, or of a ViT trained on ImageNet (table 9)
    backbone: str = "clip"
    # stochastic depth of the last layer in training, rising linearly from 0 in the first
    drop_path: float = 0.0
    # table 5, and its position in a layer (table 8)
    adapter_kind: str = "pfa"
    adapter_position: str = "beside_ffn"
    lora_rank: int = 64
    # table 4
    prompt_kind: str = "srp"
    # first layer that has an adapter or prompts, counted from 1: "9-12" of figure 9 is 9
    adapter_first_layer: int = 1
    prompt_first_layer: int = 1
    # tables 6 and 11
    aggregation_kind: str = "mamba"

    prompt: bool = True
    adapter: bool = True
    mamba: bool = True
    mamba_bi: bool = False
    sie_camera: bool = True
    sie_coe: float = 1.0
    # True: one loss on the concatenated class tokens; False: one for each modality
    direct: bool = True

    # value = (pixel / 255 - mean) / std, for each colour channel of every modality
    pixel_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    pixel_std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        self._check_numbers()
        height, width = self.image_size
        if height < self.patch_size or width < self.patch_size:
            raise InputError(f"Image size {height}x{width} is smaller than one patch of {self.patch_size} pixels.")
        if self.width % HEAD_WIDTH:
            raise InputError(f"Backbone width must be a multiple of {HEAD_WIDTH}, got {self.width}.")
        if self.sie_camera and not self.cameras:
            raise InputError("sie_camera needs at least one camera; set cameras, or sie_camera to false.")
        self._check_variants()

    def _check_variants(self) -> None:
        for name, allowed in _CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise InputError(f"{name} must be one of {', '.join(allowed)}, not {shown_value(value, 80)}.")
        for name in ("adapter_first_layer", "prompt_first_layer"):
            if getattr(self, name) > self.depth:
                raise InputError(f"{name} is {getattr(self, name)}, but there are {self.depth} layers, counted from 1.")
        if self.adapter_kind == "lora" and self.adapter_position != ADAPTER_POSITIONS[0]:
            raise InputError(
                f"adapter_position {self.adapter_position} is for pfa and bottleneck: lora changes a matrix inside the "
                "attention and has no other place. Leave adapter_position out."
            )
        if self.backbone == "vit" and self.embed_dim != self.width:
            raise InputError(
                f"A ViT of ImageNet has no projection, so embed_dim must be its width {self.width}, not "
                f"{self.embed_dim}. The sizes vit_b16_imagenet and tiny_imagenet set it."
            )
        if self.aggregation_kind in ("transformer", "ma_transformer") and self.embed_dim % HEAD_WIDTH:
            raise InputError(f"Attention over embed_dim needs a multiple of {HEAD_WIDTH}, not {self.embed_dim}.")
        if self.mamba_bi and self.aggregation_kind not in _SCANNING:
            raise InputError(
                f"mamba_bi is for {', '.join(_SCANNING)}: aggregation {self.aggregation_kind} scans nothing."
            )

    def _check_numbers(self) -> None:
        if not isinstance(self.image_size, tuple) or len(self.image_size) != 2:
            raise InputError(f"image_size must be (height, width) in pixels, not {shown_value(self.image_size, 80)}.")
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {"image height": self.image_size[0], "image width": self.image_size[1]}
        for name, allowed in RANGES.items():
            check_range(name, values[name], allowed)
        for field in fields(self):
            if field.type == "bool" and not isinstance(values[field.name], bool):
                raise InputError(f"{field.name} must be true or false, not {shown_value(values[field.name], 80)}.")
        if not isinstance(self.drop_path, int | float) or not 0 <= self.drop_path < 1:
            raise InputError(f"drop_path must be from 0 to below 1, not {shown_value(self.drop_path, 80)}.")
        for name, allowed in (("pixel_mean", Range(-1000, 1000, False)), ("pixel_std", Range(1e-6, 1000, False))):
            numbers = values[name]
            if not isinstance(numbers, tuple) or len(numbers) != 3:
                raise InputError(f"{name} must be three finite numbers, not {shown_value(numbers, 80)}.")
            for number in numbers:
                check_range(f"each of {name}", number, allowed)

    @property
    def grid(self) -> tuple[int, int]:
        """Patches per column and row: (height, width) // patch size."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.width // HEAD_WIDTH

    @property
    def feature_dim(self) -> int:
        """Length of the retrieval feature: three concatenated modalities."""
        return 3 * self.embed_dim

    @property
    def preprocessing(self) -> Preprocessing:
        """Resize and normalization as the model is evaluated: PIL's bilinear filter."""
        return Preprocessing(*self.image_size, mean=self.pixel_mean, std=self.pixel_std)

    @property
    def variants(self) -> dict[str, Any]:
        """Fields that differ from the published model, with their values; empty for the published model."""
        defaults = {field.name: field.default for field in fields(self)}
        values = {name: getattr(self, name) for name in VARIANT_FIELDS}
        return {name: value for name, value in values.items() if value != defaults[name]}

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> MambaProConfig:
        """Build a config from a plain dict.

        Raises:
            InputError: a field this version does not know; the message names it.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            shown = ", ".join(shown_text(name, 60) for name in unknown[:10])
            raise InputError(
                f"The model config has fields this version does not know: {shown}. "
                "It was written by a newer mambapro; update, or save the checkpoint again with this version."
            )
        fitting: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**fitting)
