"""Options for what a training starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click

from ...common.foreign_text import shown_text
from .shared import PATH, weights_option

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--clip", help="CLIP weights: an open_clip name such as ViT-B-16-quickgelu/openai, or a file."),
    click.option("--clip-torchscript", is_flag=True, help="Let --clip be OpenAI's TorchScript archive. It runs code."),
    click.option("--imagenet", help="ImageNet ViT weights for model.size=vit_b16_imagenet: a timm name, or a file."),
    click.option("--backbone", type=PATH, help="A checkpoint whose backbone is taken over, in place of --clip."),
    weights_option,
    click.option("--vim", type=PATH, help="Attributes: public Vim-S weights, such as vim_s_midclstok_80p5acc.pth."),
    click.option("--vmamba", type=PATH, help="Attributes: public VMamba-B weights."),
    click.option("--vit", type=PATH, help="Attributes: public ViT-B/16 weights of ImageNet in timm's form."),
    click.option("--text", type=PATH, help="Attributes: public mamba-130m weights of the text encoder."),
    click.option("--teacher", type=PATH, help="Attributes: checkpoint of an image-only ViT trained on these labels."),
    click.option("--vocab", type=PATH, help="Attributes: BERT vocabulary, one word piece a line, for the labels."),
    click.option("--label-tokens", type=PATH, help="Attributes: token ids of the labels: .npy, .npz or .json."),
    click.option("--label-vectors", type=PATH, help="Attributes: vectors of the labels: .npy, .npz or .json."),
)


def start_options(command: F) -> F:
    """Add the options for pretrained weights and the labels' words."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given_sources(values: Mapping[str, Any], known: Iterable[str], recipe: str) -> dict[str, Any]:
    """Return the options that were given.

    Raises:
        click.UsageError: one of them has no effect with this recipe.
    """
    chosen = {name: value for name, value in values.items() if value not in (None, False)}
    known = tuple(known)
    if wrong := sorted(set(chosen) - set(known)):
        raise click.UsageError(
            f"{', '.join(map(_option, wrong))} has no effect with the recipe {shown_text(recipe, 60)}; it takes "
            f"{', '.join(map(_option, known))}."
        )
    return chosen


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
