"""Sizes and switches of the attribute models and their towers: frozen dataclasses that are stored in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from ....common.foreign_text import shown_text, shown_value
from ....errors import InputError
from ....plugins.selective_scan.schema import MAX_STATE
from ....runtime.data.preprocess import Preprocessing
from ..parts.patch_embedding import ALIGNED, RELEASED
from ..ranges import Range, check_range

T = TypeVar("T", bound="Sizes")

#: Valid sizes, by the name of the field.
RANGES = {
    "patch_size": Range(1, 256),
    "width": Range(1, 8192),
    "depth": Range(1, 100),
    "heads": Range(1, 256),
    "mlp_ratio": Range(0, 16),
    "state": Range(1, MAX_STATE),
    "ratio": Range(1, 8),
    "classes": Range(1, 1_000_000),
    "vocabulary": Range(1, 10_000_000),
    "attributes": Range(1, 10_000),
    "drop_path": Range(0, 0.99, whole=False),
}
_SIDES, _PIXEL = Range(1, 4096), Range(-1000, 1000, whole=False)
#: Allowed texts, by the name of the field.
CHOICES: dict[str, tuple[str, ...]] = {
    "position_resize": (ALIGNED, RELEASED),
    "form": ("v0", "v2"),
    "backbone": ("vim", "vmamba", "vit"),
    "teacher": ("frozen", RELEASED),
}


@dataclass(frozen=True)
class Sizes:
    """Base of the configs: checks of the fields by name, and plain JSON both ways."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in RANGES:
                check_range(each.name, value, RANGES[each.name])
            elif each.name in CHOICES and value not in CHOICES[each.name]:
                allowed = ", ".join(CHOICES[each.name])
                raise InputError(f"{each.name} must be one of {allowed}, not {shown_value(value, 80)}.")

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls: type[T], values: Mapping[str, Any]) -> T:
        """Build a config from a plain dict; configs inside it are dicts.

        Raises:
            InputError: a field that this version does not know, or a value out of range.
        """
        defaults = {each.name: each for each in fields(cls)}
        if unknown := sorted(set(values) - set(defaults)):
            shown = ", ".join(shown_text(name, 60) for name in unknown[:10])
            raise InputError(
                f"The model config has fields this version does not know: {shown}. "
                "It was written by a newer mambapro; update, or save the checkpoint again with this version."
            )
        return cls(**{name: _restored(defaults[name].default, value) for name, value in values.items()})


def _restored(default: Any, value: Any) -> Any:
    if is_dataclass(default) and isinstance(default, Sizes) and isinstance(value, Mapping):
        return type(default).from_json(value)
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class ImageSizes(Sizes):
    """Base of the configs of networks that take images, (height, width) in pixels, normalized to [-1, 1]."""

    image_size: tuple[int, int] = (224, 224)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.image_size, tuple) or len(self.image_size) != 2:
            raise InputError(f"image_size must be (height, width) in pixels, not {shown_value(self.image_size, 80)}.")
        for side in self.image_size:
            check_range("each side of image_size", side, _SIDES)


@dataclass(frozen=True)
class PatchSizes(ImageSizes):
    """Base of the configs of towers with patches and learned positions."""

    patch_size: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.image_size) < self.patch_size:
            height, width = self.image_size
            raise InputError(f"Image size {height}x{width} is smaller than one patch of {self.patch_size} pixels.")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches per column and row."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size

    @property
    def patches(self) -> int:
        """Number of patches."""
        return self.grid[0] * self.grid[1]


@dataclass(frozen=True)
class VimConfig(PatchSizes):
    """Vim (https://arxiv.org/abs/2401.09417) with a class token in the middle; the defaults are Vim-S."""

    width: int = 384
    depth: int = 24
    state: int = 16
    classes: int = 1000
    # stochastic depth of the last layer in training, rising linearly from 0 in the first
    drop_path: float = 0.1
    # of a checkpoint with another grid: the class row stays the class row, or the authors' way (see patch_embedding)
    position_resize: str = ALIGNED


@dataclass(frozen=True)
class ViTConfig(PatchSizes):
    """Plain ViT (https://arxiv.org/abs/2010.11929); the defaults are ViT-B/16."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: int = 4
    classes: int = 1000
    drop_path: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads:
            raise InputError(f"A ViT of width {self.width} cannot be divided into {self.heads} heads of equal size.")


@dataclass(frozen=True)
class VMambaConfig(ImageSizes):
    """VMamba (https://arxiv.org/abs/2401.10166); the defaults are the first-generation VMamba-B.

    Form "v0" has gated scans, patches of 4x4 pixels and patch merging; "v2" has two strided convolutions in front,
    strided convolutions between the stages, and an MLP behind each scan.
    """

    form: str = "v0"
    # of the first stage; each further one doubles it
    width: int = 128
    depths: tuple[int, int, int, int] = (2, 2, 27, 2)
    state: int = 16
    ratio: int = 2
    # of the MLP in form "v2"
    mlp_ratio: int = 4
    classes: int = 1000
    drop_path: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.depths, tuple) or len(self.depths) != 4:
            raise InputError(f"depths must be those of four stages, not {shown_value(self.depths, 80)}.")
        for depth in self.depths:
            check_range("each of depths", depth, RANGES["depth"])

    @property
    def last_width(self) -> int:
        """Channels of the last stage."""
        return self.width * 2 ** (len(self.depths) - 1)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the last map: every halving rounds up, patches of 4x4 pixels round down."""
        halvings = len(self.depths) - 1
        rows, columns = (side // 4 if self.form == "v0" else -(-side // 4) for side in self.image_size)
        return -(-rows // 2**halvings), -(-columns // 2**halvings)


@dataclass(frozen=True)
class TextConfig(Sizes):
    """Text encoder of Mamba layers; the defaults are mamba-130m (https://arxiv.org/abs/2312.00752)."""

    width: int = 768
    depth: int = 24
    state: int = 16
    vocabulary: int = 50280


@dataclass(frozen=True)
class AttributeConfig(ImageSizes):
    """An attribute model: its towers, of which each kind of model has one or two, and the width in which they meet.

    `variant` chooses between the authors' released wiring, which the default is, and what the paper may have meant;
    each kind of model lists its own. The towers' image size is the model's.
    """

    attributes: int = 26
    # tower of image-only models and of those with text
    backbone: str = "vim"
    width: int = 768
    vim: VimConfig = field(default=VimConfig())
    vmamba: VMambaConfig = field(default=VMambaConfig())
    vit: ViTConfig = field(default=ViTConfig())
    text: TextConfig = field(default=TextConfig())
    # False: the model holds no text encoder, and needs the vectors of its labels
    text_encoder: bool = True
    state: int = 16
    variant: str = RELEASED
    # a teacher in training: frozen and in eval mode; or as released, where its class token and positions are trained by
    # an accident of names, its BatchNorm statistics change, and distillation reaches it
    teacher: str = "frozen"
    # value = (pixel / 255 - mean) / std, for each colour channel
    pixel_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    pixel_std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, type_ in (("vim", VimConfig), ("vmamba", VMambaConfig), ("vit", ViTConfig), ("text", TextConfig)):
            if not isinstance(getattr(self, name), type_):
                raise InputError(f"{name} must be a {type_.__name__}, not {shown_value(getattr(self, name), 80)}.")
        if not isinstance(self.text_encoder, bool):
            raise InputError(f"text_encoder must be true or false, not {shown_value(self.text_encoder, 80)}.")
        for values in (self.pixel_mean, self.pixel_std):
            if not isinstance(values, tuple) or len(values) != 3:
                raise InputError(f"pixel_mean and pixel_std must be three numbers, not {shown_value(values, 80)}.")
            for value in values:
                check_range("each of pixel_mean and pixel_std", value, _PIXEL)
        if not all(self.pixel_std):
            raise InputError("pixel_std must not be 0.")
        for name in ("vim", "vmamba", "vit"):
            # frozen, and not yet in use
            object.__setattr__(self, name, replace(getattr(self, name), image_size=self.image_size))

    @property
    def preprocessing(self) -> Preprocessing:
        """Resize and normalization as the model is evaluated: PIL's bilinear filter."""
        return Preprocessing(*self.image_size, mean=self.pixel_mean, std=self.pixel_std)
