"""Comparison of images with the files on disk: names that cannot be those of files."""

from __future__ import annotations

from pathlib import Path

import pytest
from mambapro.errors import InputError
from mambapro.runtime.data.attributes.image_listing import missing_images, require_images


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    """Folders that cannot be encoded are missing, as are names of too many letters."""
    (tmp_path / "a.png").touch()
    images = ["a.png", "\ud800/b.png", "n" * 300 + ".png"]

    assert sorted(missing_images(tmp_path, images)) == sorted(images[1:])


@pytest.mark.parametrize("name", ["n" * 5000, "\ud800", "a\0b"])
def test_a_root_that_cannot_be(tmp_path: Path, name: str) -> None:
    """InputError tells that the folder of the images is not there."""
    with pytest.raises(InputError, match=r"The folder of the images of set\.json, .* is not there\. Copy them\."):
        require_images(tmp_path / name, ["a.png"], "set.json", "Copy them.")
