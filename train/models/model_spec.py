"""ModelSpec: inputs, outputs and structure of a model for export, training and reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from ...common.foreign_text import shown_text
from ...common.progress import Track, silent
from ...errors import InputError
from ...runtime.bundle.labels import Labels
from ...runtime.bundle.module_roles import ModuleRoles
from ...runtime.bundle.tasks import TASKS
from ...runtime.bundle.tensors import EMBEDDING, LOGITS, TensorInfo
from ...runtime.data.batch import IMAGE, Batch

#: Batch size of PyTorch, so that memory stays that of a deployment.
PART = 8


@dataclass(frozen=True)
class ModelSpec:
    """Inputs, outputs and structure of a model.

    Attributes:
        task: as in a bundle's metadata.
        inputs, outputs: of the exported graph, in order.
        labels: of a logits output, where they are known.
        stages: modules whose outputs can be compared with values of the exported graph, in the order they run.
        modules: roles of modules for graph passes, calibration and reports.
        float32_parts: parts of the graph that stay float32 where the rest is float16, and why.
        operators: how many nodes of an operator the exported graph has, where the model decides it.
        settings: of the config, which with weights and preprocessing decide the outputs.
        training_only: whether a tensor of the state dict, by its name, has no part in the outputs.
        pretrained: whether a parameter, by its name, is of a pretrained tower, with a rate of its own or frozen.
        multiplied: parameters that a matrix product outside Linears and convolutions reads.
        summary: size and switches in one line.
        folded: what the exported graph does not hold any more.
        text: initializer of the exported graph that was computed from the labels' words; empty = there is none.
    """

    task: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    labels: Labels | None = None
    stages: tuple[str, ...] = ()
    modules: ModuleRoles = field(default_factory=ModuleRoles)
    float32_parts: Mapping[str, str] = field(default_factory=dict)
    operators: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    training_only: Callable[[str], bool] = lambda name: False
    pretrained: Callable[[str], bool] = lambda name: False
    multiplied: Collection[str] = ()
    summary: str = ""
    folded: str = "training heads"
    text: str = ""

    @property
    def output(self) -> TensorInfo:
        """Output that an export is compared by, which the task decides."""
        (output,) = (tensor for tensor in self.outputs if tensor.role == TASKS[self.task].output)
        return output

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities of the image inputs."""
        return tuple(tensor.sensor for tensor in self.inputs if tensor.role == IMAGE)

    def has(self, role: str) -> bool:
        """Return True if an input has this role."""
        return any(tensor.role == role for tensor in self.inputs)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs in order."""
        return [tensor.name for tensor in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs in order."""
        return [tensor.name for tensor in self.outputs]


class Model(nn.Module):
    """Network that can be saved, trained, exported and compared with its export.

    Attributes:
        kind: name of the class in checkpoints and in the registry.
        config_type: class of the config, with `to_json` and `from_json`; a model is made of one.
        config: sizes and switches.
        cameras: rows of the camera table, 0 = none.
        trained_on: what the checkpoint says about its training; empty for files of others.
        headless: whether the checkpoint had no training heads, so that those of the model are untrained.
        labels: of a logits output, where they are known.
        switches: fields of the config that may be overruled when a checkpoint is loaded.
        heads: beginnings of the names of parameters that only training needs.
        constants: names of buffers that public state dicts do not hold, and our files do; None where there is none.
        aliases: beginnings of keys under which public files hold a tensor a second time, to those of its own key.
    """

    kind: ClassVar[str]
    config_type: ClassVar[Any]
    switches: ClassVar[tuple[str, ...]] = ()
    heads: ClassVar[tuple[str, ...]] = ()
    constants: ClassVar[tuple[str, ...]] = ()
    aliases: ClassVar[Mapping[str, str]] = {}
    config: Any
    cameras = 0
    labels: Labels | None = None

    def __init__(self) -> None:
        super().__init__()
        self.trained_on: dict[str, Any] = {}
        self.headless = False

    @cached_property
    def spec(self) -> ModelSpec:
        """Inputs, outputs and structure.

        Raises:
            InputError: a part of a model, which has no task of its own.
        """
        raise InputError(f"A checkpoint of kind {self.kind!r} is a part of a model, without a task of its own.")

    def set_labels(self, labels: Labels) -> None:
        """Name the labels of a logits output.

        Raises:
            InputError: the model has no such output, or of another number of labels.
        """
        output = self.spec.output
        if output.role != LOGITS:
            raise InputError(f"A model of kind {self.kind!r} returns {output.role}, which have no labels.")
        if len(labels.names) != output.shape[1]:
            raise InputError(
                f"The model has {output.shape[1]} labels, the list has {len(labels.names)}. Give one name for each, in "
                "the order of the training."
            )
        self.labels = labels
        # of the labels before
        vars(self).pop("spec", None)

    def set_constants(self, **values: Any) -> None:
        """Set the buffers that `constants` names; a model without any has nothing to set."""

    def warn_of_use(self, path: Path, dataset: str | None) -> None:
        """Log a warning if a data set is not the one that the checkpoint at `path` was trained on."""

    def inference(self) -> nn.Module:
        """Return the network for export: constants folded, training parts removed.

        Its forward pass takes the inputs of the spec by name, and returns the outputs, then the stages.
        """
        raise NotImplementedError

    def predict(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Compute the outputs of the spec for a batch with the trained model, on its device.

        Returns:
            tensors (N, ...) in the order of the spec's outputs.
        """
        raise NotImplementedError

    def run(self, batch: Batch) -> dict[str, np.ndarray]:
        """Compute the outputs in evaluation mode. Returns outputs by name, float32 (N, ...)."""
        training = self.training
        self.eval()
        try:
            with torch.inference_mode():
                outputs = self.predict(batch)
        finally:
            self.train(training)
        names = self.spec.output_names
        return {name: value.float().cpu().numpy() for name, value in zip(names, outputs, strict=True)}

    def run_subsets(
        self, samples: Batch, subsets: Sequence[tuple[tuple[str, ...], np.ndarray]], track: Track = silent
    ) -> list[dict[str, np.ndarray]]:
        """Compute outputs for subsets of samples and modalities; `subsets` are (modalities, rows).

        Returns:
            for each subset the outputs by name, float32 (rows, ...).
        """
        results = []
        for modalities, rows in track(subsets, "Running PyTorch: sets of sensors", len(subsets)):
            parts = [self.run(part) for part in samples[rows].only(modalities).parts(PART)]
            results.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        return results


def require_embedding(model: Model, path: str | os.PathLike[str]) -> None:
    """Raise InputError if a checkpoint's model returns no embedding."""
    role = model.spec.output.role
    if role != EMBEDDING:
        raise InputError(f"{shown_text(path)} holds a model that returns {role}; give one that returns embeddings.")
