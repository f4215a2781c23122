"""Words of the labels for the text encoder: token ids of a BERT vocabulary, of a file, or hashed.

The paper's models take the ids of BERT's cased word pieces (https://arxiv.org/abs/1810.04805), padded to ten, as rows
of the text encoder's own embedding.
"""

from __future__ import annotations

import os
import unicodedata
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ...common.foreign_text import shown_text
from ...common.formats.toml_files import read_text
from ...errors import InputError

#: Token ids of a label; longer ones are cut.
TOKENS = 10
#: Ids of BERT's [CLS], [SEP] and [PAD], and the range of its words, for hashed words.
_BEGIN, _END, _PADDING = 101, 102, 0
_WORDS = (1000, 28996)
#: Longest word that is split into pieces, in characters, as in BERT.
_LONGEST_WORD = 100
_LARGEST_VOCABULARY = 2**24
_SPECIAL = ("[CLS]", "[SEP]", "[PAD]", "[UNK]")


def hashed_tokens(words: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return an id for every word of each label by its CRC-32, without a vocabulary.

    Returns:
        int64 (labels, TOKENS).
    """
    low, high = _WORDS
    rows = [[low + zlib.crc32(word.encode()) % (high - low) for word in text.lower().split()] for text in words]
    return _framed(rows, _BEGIN, _END, _PADDING)


def vocabulary_tokens(words: Sequence[str], path: str | os.PathLike[str]) -> npt.NDArray[np.int64]:
    """Return the word pieces of each label by a BERT vocabulary, case preserved.

    Args:
        words: the phrase of each label.
        path: text file with one piece a line; its id is the number of the line, from zero.

    Returns:
        int64 (labels, TOKENS).

    Raises:
        InputError: missing file, or no BERT vocabulary.
    """
    # not splitlines: pieces of a vocabulary may be separators of Unicode
    pieces = read_text(path, "vocabulary", _LARGEST_VOCABULARY).split("\n")
    ids = {piece.rstrip("\r"): number for number, piece in enumerate(pieces)}
    if missing := [name for name in _SPECIAL if name not in ids]:
        raise InputError(
            f"The vocabulary {shown_text(path)} lacks {', '.join(missing)}. Give BERT's vocab.txt: a word piece on "
            "each line."
        )
    rows = [[id_ for word in split_words(text) for id_ in word_pieces(word, ids)] for text in words]
    return _framed(rows, ids["[CLS]"], ids["[SEP]"], ids["[PAD]"])


def split_words(text: str) -> list[str]:
    """Split a text at spaces and around punctuation, as BERT's cased tokenizer."""
    spaced = (f" {letter} " if _is_punctuation(letter) else letter for letter in unicodedata.normalize("NFC", text))
    return "".join(spaced).split()


def word_pieces(word: str, ids: Mapping[str, int]) -> list[int]:
    """Return the ids of the longest pieces of a word from its beginning; [UNK] if some part has none."""
    pieces: list[int] = []
    start = 0
    while start < len(word) <= _LONGEST_WORD:
        begin = "##" if start else ""
        stop = next((stop for stop in range(len(word), start, -1) if begin + word[start:stop] in ids), None)
        if stop is None:
            return [ids["[UNK]"]]
        pieces.append(ids[begin + word[start:stop]])
        start = stop
    return pieces or [ids["[UNK]"]]


def _is_punctuation(letter: str) -> bool:
    return unicodedata.category(letter).startswith("P") or letter in "$+<=>^`|~"


def _framed(rows: Sequence[Sequence[int]], begin: int, end: int, padding: int) -> npt.NDArray[np.int64]:
    """Cut rows of ids, put them between begin and end, and pad them. Returns int64 (rows, TOKENS)."""
    framed = np.full((len(rows), TOKENS), padding, np.int64)
    for target, row in zip(framed, rows, strict=True):
        ids = [begin, *row[: TOKENS - 2], end]
        target[: len(ids)] = ids
    return framed
