"""Base of the models that users open: one task, images in, one kind of output."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from ..common.foreign_text import escaped, shown_text
from ..errors import ArtifactError, InputError
from .bundle.bundle import Bundle
from .bundle.metadata import BundleMetadata
from .bundle.tasks import TASKS
from .data.modalities import MODALITIES
from .data.readers.listing import shown
from .run_options import RunOptions
from .session import Session

M = TypeVar("M", bound="ImageModel")


class ImageModel(Session):
    """Session of a bundle whose model has an output of one role; unpickling opens the bundle again.

    Raises:
        ArtifactError: the bundle is for another task; names the class and the command for it.
    """

    #: Role of the output.
    role: ClassVar[str]

    @classmethod
    def with_options(cls: type[M], bundle: str | os.PathLike[str] | Bundle, options: RunOptions, **settings: Any) -> M:
        """Open a bundle with arguments in one object; `settings` are the further ones of the class."""
        model = cls.__new__(cls)
        model._configure(**settings)
        Session.__init__(model, bundle, options)
        return model

    def _configure(self) -> None:
        """Keep the settings of the class until the bundle is opened."""

    def _settings(self) -> dict[str, Any]:
        """Return the arguments of `_configure`."""
        return {}

    def _require_usable(self, metadata: BundleMetadata) -> None:
        if not metadata.names(self.role):
            task = TASKS[metadata.task]
            raise ArtifactError(
                f"The model {shown_text(metadata.name)!r} is for {task.name} and returns no {self.role}, which "
                f"{type(self).__name__} needs. Open it with {task.opened_by} (mambapro {task.command})."
            )
        foreign = [name for name in metadata.modalities if name not in MODALITIES]
        if foreign:
            raise ArtifactError(f"The model takes {shown(foreign)}; this runtime knows {', '.join(MODALITIES)}.")

    @property
    def fingerprint(self) -> str:
        """Fingerprint of weights, preprocessing and settings: the bundle's, changed by other ranges of 16-bit images.

        Embeddings may be compared if it is equal.
        """
        metadata, used = self.metadata, self.preprocessing
        stored = metadata.preprocessing
        if (used.sixteen_bit_range, used.sensor_ranges) == (stored.sixteen_bit_range, stored.sensor_ranges):
            return metadata.fingerprint
        text = f"{used.sixteen_bit_range}"
        if used.sensor_ranges:
            text += " " + json.dumps(used.sensor_ranges, sort_keys=True)
        return hashlib.sha256(f"{metadata.fingerprint} {text}".encode()).hexdigest()

    def __reduce__(self) -> tuple[Callable[..., ImageModel], tuple[Any, ...]]:
        """Pickle the arguments: unpickling opens the same artifact of the same bundle."""
        if self._closed:
            raise InputError("The model is closed: there is nothing to pickle.")
        artifact, bundle = self.artifact, self._bundle
        options = replace(self.options, target=artifact.target, precision=artifact.precision, verify=bundle.verify)
        folder = str(bundle.files.absolute)
        return _opened_again, (type(self), folder, options, self._settings(), self.fingerprint, artifact.sha256)


def _opened_again(
    kind: type[M], folder: str, options: RunOptions, settings: dict[str, Any], fingerprint: str, sha256: str
) -> M:
    """Return a model from its pickled form.

    Raises:
        ArtifactError: the bundle was replaced.
    """
    model = kind.with_options(folder, options, **settings)
    if (model.fingerprint, model.artifact.sha256) != (fingerprint, sha256):
        model.close()
        raise ArtifactError(
            f"{escaped(folder)} is not the bundle that was pickled: it was replaced meanwhile. Open it again."
        )
    return model
