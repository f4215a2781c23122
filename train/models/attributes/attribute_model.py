"""Base of all attribute models: from normalized images to one logit for each attribute."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ....common.foreign_text import shown_value
from ....errors import InputError
from ....runtime.bundle.tasks import ATTRIBUTES
from ....runtime.bundle.tensors import BATCH, LOGITS, PROBABILITIES, TensorInfo
from ....runtime.data.batch import IMAGE, Batch
from ....runtime.data.modalities import RGB
from ..model_spec import Model, ModelSpec
from ..parts.attribute_heads import AttributeLinears
from ..parts.patch_embedding import RELEASED
from .attribute_config import AttributeConfig
from .attribute_inference import attribute_network
from .deployment import Deployment, deployment_of

if TYPE_CHECKING:
    from typing import Self

#: Results of a forward pass, by name: always "logits" (B, attributes) of what is deployed and "head_tokens" (B,
#: attributes, width), the input of the last Linears. The other names are those of the kinds of models.
Outputs = dict[str, Tensor]


class AttributeModel(Model):
    """Attribute model.

    Attributes:
        variants: allowed values of the config's `variant`.
        text_matrix: name of the buffer with the labels' tokens in the network for export.
        teacher: beginnings of the names of parameters that are pretrained for attributes and stay frozen.
        trained: exceptions from it.
        accidents: further exceptions of the released code, where these parameters have a second name.
    """

    config_type = AttributeConfig
    config: AttributeConfig
    switches = ("variant", "pixel_mean", "pixel_std")
    variants: ClassVar[tuple[str, ...]] = (RELEASED,)
    text_matrix: ClassVar[str] = ""
    teacher: ClassVar[tuple[str, ...]] = ()
    trained: ClassVar[tuple[str, ...]] = ()
    accidents: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__()
        if config.variant not in self.variants:
            raise InputError(
                f"variant of {self.kind} must be one of {', '.join(self.variants)}, not "
                f"{shown_value(config.variant, 80)}."
            )
        self.config = config

    def add_heads(self, width: int, suffix: str = "") -> None:
        """Add one Linear for each attribute, over tokens of this width, and the BatchNorm of their logits."""
        self.add_module(f"weight_layer{suffix}", AttributeLinears(self.config.attributes, width))
        self.add_module(f"bn{suffix}", nn.BatchNorm1d(self.config.attributes))

    def attribute_logits(self, tokens: Tensor, suffix: str = "") -> Tensor:
        """Compute the logits of the attributes' tokens (B, attributes, width). Returns (B, attributes)."""
        return getattr(self, f"bn{suffix}")(getattr(self, f"weight_layer{suffix}")(tokens))

    def initialize_copies(self) -> None:
        """Set parameters that start as copies of pretrained ones, after these were loaded."""

    def freeze(self) -> None:
        """Freeze the teacher's parameters for training."""
        trained = (*self.trained, *(self.accidents if self.config.teacher == RELEASED else ()))
        for name, parameter in self.named_parameters():
            if name.startswith(self.teacher) and name not in trained:
                parameter.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Switch to training or eval mode; a frozen teacher stays in eval mode."""
        super().train(mode)
        if self.config.teacher != RELEASED:
            for name in {prefix.split(".")[0] for prefix in self.teacher}:
                if isinstance(part := getattr(self, name), nn.Module):
                    part.eval()
        return self

    def forward(self, images: Tensor) -> Tensor | Outputs:
        """Recognize the attributes in images.

        Args:
            images: float32 (B, 3, H, W), normalized to [-1, 1].

        Returns:
            In eval mode the logits (B, attributes) of what is deployed; in training mode all outputs by name.

        Raises:
            ValueError: images of another shape than the model was built for.
        """
        return self.outputs(images) if self.training else self.logits(images)

    def outputs(self, images: Tensor) -> Outputs:
        """Compute everything that training and comparisons need from images (B, 3, H, W). Returns it by name."""
        raise NotImplementedError

    def logits(self, images: Tensor) -> Tensor:
        """Compute the logits of what is deployed from images (B, 3, H, W). Returns (B, attributes)."""
        return self.outputs(images)["logits"]

    @classmethod
    def shapes(cls, config: AttributeConfig) -> Self:
        """Build a model without memory for its tensors, as deployed and in eval mode."""
        with torch.device("meta"):
            return cls(config).eval()

    def fold_constants(self) -> None:
        """Replace what does not depend on the images by constants, in place; there is nothing by default."""

    @cached_property
    def spec(self) -> ModelSpec:
        """Inputs, outputs and structure."""
        config = self.config
        image = TensorInfo("image", IMAGE, "uint8", (BATCH, *config.image_size, 3), "R G B, 0 to 255", RGB)
        shape = (BATCH, config.attributes)
        logits = TensorInfo(LOGITS, LOGITS, "float32", shape, "one logit for each attribute")
        probabilities = TensorInfo(PROBABILITIES, PROBABILITIES, "float32", shape, "sigmoid of the logits")
        return ModelSpec(
            task=ATTRIBUTES,
            inputs=(image,),
            outputs=(logits, probabilities),
            labels=self.labels,
            stages=self.deployment.stages,
            modules=self.deployment.roles,
            float32_parts=self.deployment.float32_parts,
            operators=self.deployment.operators,
            settings=config.to_json(),
            summary="{}, {}x{} pixels, {} attributes".format(self.kind, *config.image_size, config.attributes),
            folded="BatchNorm, teachers and what else does not run",
            text=self.text_matrix,
        )

    @property
    def deployment(self) -> Deployment:
        """Modules that run for the logits."""
        return deployment_of(type(self), self.config)  # type: ignore[arg-type]

    def inference(self) -> nn.Module:
        """Return the network for export, which shares this one's tensors; eval mode."""
        return attribute_network(self, self.deployment)

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute logits and probabilities of a batch's RGB images. Returns (N, attributes) each."""
        logits = self.logits(self.normalized(batch.images[RGB]))
        return logits, logits.sigmoid()

    def normalized(self, images: np.ndarray) -> Tensor:
        """Normalize uint8 images (B, H, W, 3) for the forward pass. Returns (B, 3, H, W), on the model's device."""
        parameter = next(self.parameters())
        mean, std = (self._pixels(values, parameter) for values in (self.config.pixel_mean, self.config.pixel_std))
        x = torch.from_numpy(np.ascontiguousarray(images)).to(parameter.device).to(parameter.dtype)
        return ((x / 255 - mean) / std).permute(0, 3, 1, 2)

    @staticmethod
    def _pixels(values: Any, parameter: Tensor) -> Tensor:
        return torch.tensor(values, dtype=parameter.dtype, device=parameter.device)
