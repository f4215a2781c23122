"""Token ids of the labels' words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.train.attributes.label_words import (
    hashed_tokens,
    split_words,
    vocabulary_tokens,
    word_pieces,
)

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hand", "##bag", "back", "##pack", "a", "T", "-", "shirt", "##s"]


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n")
    return path


class TestVocabulary:
    def test_pieces(self, vocabulary: Path) -> None:
        """The longest pieces from the beginning, between [CLS] and [SEP], padded to ten; case counts."""
        found = vocabulary_tokens(["handbag", "a backpacks", "T-shirt", "Hand"], vocabulary)

        assert found.dtype == np.int64 and found.shape == (4, 10)
        assert found[0].tolist() == [2, 4, 5, 3, 0, 0, 0, 0, 0, 0]
        assert found[1].tolist() == [2, 8, 6, 7, 12, 3, 0, 0, 0, 0]
        assert found[2].tolist() == [2, 9, 10, 11, 3, 0, 0, 0, 0, 0]
        assert found[3].tolist() == [2, 1, 3, 0, 0, 0, 0, 0, 0, 0]

    def test_long_phrases_are_cut(self, vocabulary: Path) -> None:
        """Of more than eight pieces the first eight stay, and [SEP] is the last."""
        assert vocabulary_tokens(["a " * 20], vocabulary)[0].tolist() == [2, *[8] * 8, 3]

    def test_no_vocabulary(self, tmp_path: Path) -> None:
        """InputError for a missing file and for one without BERT's special pieces."""
        with pytest.raises(InputError, match="There is no vocabulary"):
            vocabulary_tokens(["a"], tmp_path / "none.txt")
        (tmp_path / "other.txt").write_text("hello\n[PAD]\n")
        with pytest.raises(InputError, match=r"lacks \[CLS\], \[SEP\], \[UNK\]"):
            vocabulary_tokens(["a"], tmp_path / "other.txt")

    def test_a_word_without_pieces(self) -> None:
        """A word of which some part has no piece, or that is too long, is one [UNK]."""
        ids = {piece: number for number, piece in enumerate(PIECES)}

        assert word_pieces("handx", ids) == [1]
        assert word_pieces("hand" + "bag" * 40, ids) == [1]
        assert split_words("a,b (c) d") == ["a", ",", "b", "(", "c", ")", "d"]


def test_hashed() -> None:
    """An id for every word, the same in every process, whatever its case; long phrases are cut."""
    found = hashed_tokens(["hand bag", "Hand", "x " * 12])

    assert found[0].tolist() == [101, 1000 + 0x2762428F % 27996, found[0, 2], 102, 0, 0, 0, 0, 0, 0]
    assert found[1].tolist() == [101, found[0, 1], 102, *[0] * 7]
    assert found[2, -1] == 102 and (found[2, 1:9] == found[2, 1]).all()
    assert found.min() >= 0 and found.max() < 28996
