"""Start of an attribute model: public weights of its towers, a trained teacher, the words of its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...common.foreign_text import shown_text
from ...errors import InputError
from ...runtime.bundle.label_file import read_label_array
from ..models.attributes.attribute_config import AttributeConfig
from ..models.attributes.attribute_model import AttributeModel
from ..models.attributes.hybrid import Hybrid
from ..models.attributes.text_attributes import FusedAttributes, TextAttributes
from ..models.checkpoints.public_models import load_part
from .label_words import vocabulary_tokens
from .teacher import load_teacher, teacher_recipe

#: Part of a model by the name of its weights.
_PARTS = {"vim": "vim", "vmamba": "vmamba", "vit": "vit", "text": "mamba"}
_WEIGHTS, _TEACHER, _VOCABULARY, _TOKENS, _VECTORS = "weights", "teacher", "vocab", "label_tokens", "label_vectors"
_WORDS = (_VOCABULARY, _TOKENS, _VECTORS)
#: Label of each source in messages: its option of the command line.
_OPTIONS = {name: f"--{name.replace('_', '-')}" for name in (*_PARTS, _WEIGHTS, _TEACHER, *_WORDS)}


@dataclass(frozen=True)
class Pretraining:
    """Sources that a kind of model can and must start from.

    Attributes:
        kind: class of the model.
        config: its config, of any number of attributes.
        hashed: the token ids of the labels are hashed words.
        from_scratch: towers may start from random weights.
    """

    kind: type[AttributeModel]
    config: AttributeConfig
    hashed: bool
    from_scratch: bool

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources with an effect on this model."""
        towers: tuple[str, ...] = (self.config.backbone,)
        if issubclass(self.kind, Hybrid):
            towers = ("vim", _TEACHER) if self.kind.teacher else ("vim", "vit")
        if not issubclass(self.kind, TextAttributes):
            return (*towers, _WEIGHTS)
        text = ("text",) if self.config.text_encoder else ()
        words = _WORDS if self.config.text_encoder else (_VECTORS,)
        return (*towers, *text, _WEIGHTS, *(() if self.hashed else words))

    def require(self, given: Mapping[str, Any]) -> None:
        """Check that all sources that the model needs are given.

        Raises:
            InputError: some are missing, have no effect, or exclude each other.
        """
        if wrong := sorted(set(given) - set(self.sources)):
            raise InputError(f"{_named(wrong)} has no effect on this model; it takes {_named(self.sources)}.")
        if _WEIGHTS in given and not any(name in given for name in _PARTS):
            raise InputError(f"{_OPTIONS[_WEIGHTS]} chooses weights in the files of the towers: give one of them too.")
        words = [name for name in _WORDS if name in given]
        if len(words) > 1:
            raise InputError(f"The words of the labels come from one place, not from {_named(words)}. Give one.")
        possible = [name for name in self.sources if name in _WORDS]
        if possible and not words:
            raise InputError(
                f"The model reads the words of its labels: give {' or '.join(_OPTIONS[name] for name in possible)}; to "
                "train everything from nothing, model.words=hashed."
            )
        if _TEACHER in self.sources and _TEACHER not in given:
            raise InputError(
                "The model learns from a trained ViT: train one on the same data set first (--config "
                f"{teacher_recipe(self.config)} --set metric=F1) and give its best.pth as --teacher."
            )
        missing = [name for name in self.sources if name in _PARTS and name not in given]
        if _VECTORS in given and "text" in missing:
            missing.remove("text")
        if missing and not self.from_scratch:
            raise InputError(
                f"The recipe starts from public weights: give {_named(missing)}, or set model.from_scratch to true and "
                "train without them."
            )

    def initialiser(self, given: Mapping[str, Any]) -> Callable[[Any], Any] | None:
        """Return the function that fills a new model from the sources, None without any.

        Raises:
            InputError: as `require`.
        """
        self.require(given)
        return (lambda model: fill(model, given)) if given else None


def fill(model: AttributeModel, given: Mapping[str, Any]) -> None:
    """Fill a new model in place from sources by name.

    Raises:
        InputError: a missing file, a teacher of another kind or for other labels, words that do not fit the labels.
        ArtifactError: unreadable files, weights that do not fit.
    """
    for name, part in _PARTS.items():
        if name in given and hasattr(model, part):
            load_part(getattr(model, part), Path(given[name]), given.get(_WEIGHTS))
    if _TEACHER in given:
        load_teacher(model, Path(given[_TEACHER]))
    model.initialize_copies()
    if isinstance(model, FusedAttributes) and "text" in given and model.config.text_encoder:
        model.initialize_fusion()
    if isinstance(model, TextAttributes):
        # last: vectors remove the text encoder, which the fusion starts from
        set_words(model, given)


def set_words(model: TextAttributes, given: Mapping[str, Any]) -> None:
    """Set the token ids or the vectors of a model's labels; with vectors the text encoder is removed.

    Raises:
        InputError: a missing file, or words that do not fit the labels.
    """
    if _TOKENS in given:
        model.set_constants(label_tokens=read_label_array(Path(given[_TOKENS])))
    elif _VOCABULARY in given:
        words = model.trained_on["labels"]["words"]
        model.set_constants(label_tokens=vocabulary_tokens(words, given[_VOCABULARY]))
    elif _VECTORS in given:
        model.set_constants(label_vectors=read_label_array(Path(given[_VECTORS])))
        if model.config.text_encoder:
            model.config = replace(model.config, text_encoder=False)
            del model.mamba


def _named(names: Any) -> str:
    return ", ".join(_OPTIONS.get(name, shown_text(name, 40)) for name in names)
