"""A second task, of nothing but this file: which of three colours are in one image, by a small network with logits."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mambapro.common.progress import Track
from mambapro.runtime.bundle.labels import Labels
from mambapro.runtime.bundle.module_roles import ModuleRoles
from mambapro.runtime.bundle.tasks import ATTRIBUTES
from mambapro.runtime.bundle.tensors import LOGITS, TensorInfo
from mambapro.runtime.data.batch import IMAGE, Batch
from mambapro.runtime.data.preprocess import Preprocessing
from mambapro.runtime.data.readers.benchmarks import BENCHMARKS, BenchmarkInfo
from mambapro.runtime.data.sample import Benchmark, ImageSource, Sample
from mambapro.train.engine.distributed import World
from mambapro.train.engine.task import TASKS, StepLosses, Task
from mambapro.train.engine.training_config import TrainConfig
from mambapro.train.models.model_spec import Model, ModelSpec
from mambapro.train.models.registry import KINDS
from PIL import Image
from torch import Tensor, nn

COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class ToyConfig:
    """Image size (height, width), mean and standard deviation of the pixels."""

    image_size: tuple[int, int] = (32, 16)
    pixel_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    pixel_std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing(*self.image_size, mean=self.pixel_mean, std=self.pixel_std)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ToyConfig:
        return cls(**{name: tuple(value) for name, value in values.items()})


class Toy(Model):
    """Patches, a layer on each, their mean, a logit for each colour."""

    kind = "toy"
    config_type = ToyConfig

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(3, 24, 4, stride=4)
        self.body = nn.Linear(24, 32)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, len(COLOURS))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised (B, 3, H, W) -> logits (B, 3) and the outputs of stem and body."""
        patches = self.stem(images)
        tokens = self.body(patches.flatten(2).transpose(1, 2))
        return self.head(self.norm(torch.relu(tokens)).mean(1)), patches, tokens

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) -> float32 (B, 3, H, W)."""
        mean, std = (torch.tensor(x) for x in (self.config.pixel_mean, self.config.pixel_std))
        return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)

    def predict(self, batch: Batch) -> tuple[Tensor]:
        return (self(self.normalised(torch.from_numpy(batch.images["rgb"])))[0],)

    def inference(self) -> nn.Module:
        return Inference(self).eval()

    @cached_property
    def spec(self) -> ModelSpec:
        return ModelSpec(
            task=ATTRIBUTES,
            inputs=(TensorInfo("rgb", IMAGE, "uint8", ("batch", *self.config.image_size, 3), "image, R G B"),),
            outputs=(TensorInfo(LOGITS, LOGITS, "float32", ("batch", len(COLOURS)), ", ".join(COLOURS)),),
            labels=Labels(COLOURS),
            stages=("stem", "body"),
            modules=ModuleRoles(stages=("stem", "body"), float32=("head",), never_int8=("*.head.*",)),
            float32_parts={"layer_norm": "squares overflow float16", "head": "its errors are the logits' own"},
            operators={"LayerNormalization": 1},
            settings=self.config.to_json(),
            summary=f"{self.config.image_size[0]}x{self.config.image_size[1]} pixels, {len(COLOURS)} labels",
        )


class Inference(nn.Module):
    """The exported graph: uint8 image in, logits and stages out."""

    def __init__(self, model: Toy) -> None:
        super().__init__()
        self.model, self.stem, self.body, self.norm, self.head = model, model.stem, model.body, model.norm, model.head

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return Toy.forward(self, self.model.normalised(rgb))  # type: ignore[arg-type]


class ToyBatch(NamedTuple):
    images: Tensor
    labels: Tensor


class ToyTask(Task):
    """Images of a folder `rgb` by name: 0-101.png has red and blue."""

    metric = "accuracy"

    def __init__(self, images: np.ndarray, labels: np.ndarray, size: int = 8) -> None:
        self.dataset, self.fingerprint, self.validates = "toy", f"{len(images)} images", True
        self.images, self.labels, self.size, self.first = images, labels, size, 0

    @classmethod
    def knows(cls, dataset: str) -> bool:
        return dataset == "toy"

    @classmethod
    def read(cls, config: TrainConfig, root: str | os.PathLike[str], dataset: str) -> ToyTask:
        paths = sorted(Path(root, "rgb").glob("*.png"))
        labels = [[float(letter) for letter in path.stem.split("-")[1]] for path in paths]
        return cls(np.stack([np.asarray(Image.open(path)) for path in paths]), np.array(labels, np.float32))

    def build_model(self) -> Toy:
        return Toy(ToyConfig(self.images.shape[1:3]))

    def prepare(self, model: Model, device: torch.device, world: World, track: Track) -> ToyTask:
        self.model = model
        return self

    def set_epoch(self, epoch: int, skip: int) -> None:
        self.first = skip

    def __len__(self) -> int:
        return len(self.images) // self.size

    def __iter__(self) -> Any:
        for number in range(self.first, len(self)):
            rows = slice(number * self.size, (number + 1) * self.size)
            images = self.model.normalised(torch.from_numpy(self.images[rows]))
            yield ToyBatch(images, torch.from_numpy(self.labels[rows]))

    def inputs(self, batch: ToyBatch) -> tuple[Tensor]:
        return (batch.images,)

    def losses(self, outputs: Any, batch: ToyBatch, gather: Callable[[Tensor], Tensor]) -> StepLosses:
        loss = nn.functional.binary_cross_entropy_with_logits(outputs[0].float(), batch.labels)
        right = ((outputs[0] > 0) == (batch.labels > 0)).all(1).sum()
        return StepLosses(loss, right, {"cross_entropy": loss})

    def validate(self, model: Model, track: Track) -> dict[str, float]:
        logits = model.run(Batch.of({"rgb": self.images}))[LOGITS]
        return {"accuracy": float(((logits > 0) == (self.labels > 0)).mean())}

    @property
    def counts(self) -> dict[str, int]:
        return {"samples": len(self.images)}


def read_toy(root: str | os.PathLike[str], test_only: bool = False) -> Benchmark:
    """Read images of a folder `rgb` as test samples, with labels by name."""
    samples = tuple(
        Sample(path.stem, {"rgb": ImageSource(path)}, labels=dict(zip(COLOURS, map(int, path.stem[-3:]), strict=True)))
        for path in sorted(Path(root, "rgb").glob("*.png"))
    )
    return Benchmark("toy", (), samples, (), "camera", (32, 16))


KINDS["toy"] = Toy
TASKS["toy"] = ToyTask
BENCHMARKS["toy"] = BenchmarkInfo("toy", "Toy", (32, 16), 0, 0, "", read_toy, ATTRIBUTES)


def draw(folder: Path, count: int = 64) -> Path:
    """Write noise with bars of some of the colours."""
    random = np.random.default_rng(0)
    (folder / "rgb").mkdir(parents=True)
    for number in range(count):
        labels = random.integers(0, 2, len(COLOURS))
        image = random.integers(0, 90, (32, 16, 3))
        for channel in np.flatnonzero(labels):
            row = random.integers(0, 28)
            image[row : row + 6, :, channel] = 240
        name = f"{number:02d}-{''.join(map(str, labels))}.png"
        Image.fromarray(image.astype(np.uint8)).save(folder / "rgb" / name)
    return folder
