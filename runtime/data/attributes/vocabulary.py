"""Names of attributes: what annotation files call them, and their phrases and names here."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import NamedTuple

from ....common.foreign_text import shown_text
from ....errors import InputError

log = logging.getLogger("mambapro")


class Word(NamedTuple):
    """Attribute of a published set: its name in the annotation file and its phrase."""

    published: str
    phrase: str

    @property
    def name(self) -> str:
        """Name of the attribute here: the phrase in letters, digits and underscores."""
        return re.sub(r"\W+", "_", self.phrase)


def names_of(words: Sequence[Word]) -> tuple[str, ...]:
    """Return the names of attributes."""
    return tuple(word.name for word in words)


def phrases_of(words: Sequence[Word]) -> tuple[str, ...]:
    """Return the phrases of attributes."""
    return tuple(word.phrase for word in words)


def require_names(names: Sequence[str], words: Sequence[Word], where: str) -> None:
    """Compare the names in an annotation file with those that are expected in their places.

    Case, spaces and signs do not matter; a few other spellings are logged.

    Raises:
        InputError: another number of names, the name of one attribute in the place of another, or most of them differ:
            it is the file of another set.
    """
    if len(names) != len(words):
        raise InputError(f"{where} names {len(names)} attributes; the set has {len(words)}. It is of another set.")
    pairs = [(name, word.published) for name, word in zip(names, words, strict=True) if not _alike(name, word)]
    text = ", ".join(f"{shown_text(name, 60)} for {published}" for name, published in pairs[:10])
    if 2 * len(pairs) > len(names):
        raise InputError(f"{where} has other attributes than the set, such as {text}. It is of another set.")
    if moved := [pair for pair in pairs if any(_alike(pair[0], word) for word in words)]:
        name, published = moved[0]
        raise InputError(
            f"{where} has {len(moved)} attributes in other places than the set, the first is {shown_text(name, 60)} in "
            f"the place of {published}. Its labels would be taken for those of others; take the published file."
        )
    if pairs:
        log.warning(
            "%s spells %d attributes in another way; they are taken by their places: %s.", where, len(pairs), text
        )


def _alike(name: str, word: Word) -> bool:
    return _letters(name) in (_letters(word.published), _letters(word.phrase))


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()
