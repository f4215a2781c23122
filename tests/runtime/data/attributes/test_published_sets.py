"""The eight published formats: columns, orders, partitions and image paths, checked by hand on small files."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.data.attributes.attribute_readers import PUBLISHED, read_attributes
from mambapro.runtime.data.attributes.attribute_set import AttributeSet
from published_sets import (
    WRITERS,
    write_msp60k,
    write_pa100k,
    write_peta,
    write_rapv1,
    write_rapv2,
    write_run,
    write_wider,
)


def rows_of(images: AttributeSet) -> dict[str, list[int]]:
    return {part: rows.tolist() for part, rows in images.partitions.items()}


def ones_of(images: AttributeSet, image: int) -> list[str]:
    """Names of the attributes that an image has."""
    return [images.attributes[column] for column in np.flatnonzero(images.labels[image] == 1)]


def test_pa100k(tmp_path: Path) -> None:
    """Parts stand one after the other, columns as in the file, images in data/."""
    write_pa100k(tmp_path)

    images = read_attributes("pa100k", tmp_path)

    assert images.labels.shape == (4, 26) and images.root == tmp_path / "data"
    assert images.images == ("000001.jpg", "000002.jpg", "000003.jpg", "000004.jpg")
    assert rows_of(images) == {"train": [0, 1], "val": [2], "test": [3]}
    assert [ones_of(images, n) for n in range(4)] == [["female"], ["age_over_60"], ["age_18_to_60"], ["age_less_18"]]
    assert images.attributes[7:14] == (
        "hat", "glasses", "hand_bag", "shoulder_bag", "backpack", "hold_objects_in_front", "short_sleeve",
    )  # fmt: skip
    assert images.words[-2:] == ("skirt and dress", "boots")


def test_peta(tmp_path: Path) -> None:
    """Labels begin at column 4; 35 columns in the order of the evaluation; numbers count from 1; run 0 of five."""
    write_peta(tmp_path)

    images, last = read_attributes("peta", tmp_path), read_attributes("peta", tmp_path, partition=4)

    assert images.labels.shape == (6, 35) and images.root == tmp_path / "images"
    assert (images.images[0], images.images[5]) == ("00001.png", "00006.png")
    assert rows_of(images) == {"train": [1, 0], "val": [3], "test": [5, 2]}
    assert rows_of(last) == {"train": [4], "val": [5], "test": [0]}
    # columns 0 to 5: four ages, backpack, other things; in the set they are 30 to 33, 25 and 26
    assert images.labels.argmax(axis=1).tolist() == [30, 31, 32, 33, 25, 26]
    assert ones_of(images, 4) == ["backpack"]
    assert images.attributes[:5] == ("hat", "muffler", "nothing_on_the_head", "sunglasses", "long_hair")
    assert images.attributes[-1] == "male"


def test_peta_takes_the_published_columns(tmp_path: Path) -> None:
    """Image n has column n; the images of each of the set's columns are the published list."""
    write_peta(tmp_path, images=35)

    labels = read_attributes("peta", tmp_path).labels

    assert labels.argmax(axis=0).tolist() == [
        10, 18, 19, 30, 15, 7, 9, 11, 14, 21, 26, 29, 32, 33, 34, 6, 8, 12, 25, 27, 31, 13, 23, 24, 28, 4, 5, 17, 20,
        22, 0, 1, 2, 3, 16,
    ]  # fmt: skip


def test_rapv1(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first 51 columns; no validation part; labels 2 stay, and are told."""
    write_rapv1(tmp_path)

    with caplog.at_level(logging.INFO, "mambapro"):
        images, second = read_attributes("rapv1", tmp_path), read_attributes("rapv1", tmp_path, partition=1)

    assert images.labels.shape == (3, 51) and images.root == tmp_path / "RAP_dataset"
    assert images.images == ("CAM01_1.png", "CAM02_2.png", "CAM03_3.png")
    assert rows_of(images) == {"train": [2, 0], "val": [], "test": [1]}
    assert rows_of(second) == {"train": [0], "val": [], "test": [1, 2]}
    assert [ones_of(images, n) for n in range(3)] == [["female"], ["age_less_16"], ["age_17_to_30"]]
    assert images.labels[0, 50] == 2 and images.attributes[50] == "carrying_by_hand"
    assert "1 labels are 2, not judged" in caplog.text


def test_rapv2(tmp_path: Path) -> None:
    """The selected columns, head first, then upper and lower body, shoes, attachments, age, sex, body, role, action."""
    write_rapv2(tmp_path)

    images, second = read_attributes("rapv2", tmp_path), read_attributes("rapv2", tmp_path, partition=1)

    assert images.labels.shape == (54, 54) and images.root == tmp_path / "RAP_dataset"
    # image n has the nth selected attribute
    assert images.labels.argmax(axis=0).tolist() == [*range(10, 45), 1, 2, 3, 4, 0, 5, 6, 7, 8, 9, *range(45, 54)]
    assert rows_of(images) == {"train": [0, 1], "val": [2], "test": [53]}
    assert rows_of(second) == {"train": [3], "val": [4], "test": [5]}
    assert (ones_of(images, 0), ones_of(images, 13), ones_of(images, 4)) == (["female"], ["hat"], ["age_46_to_60"])


def test_wider(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """1 is positive, 0 and -1 are negative; what is not specified is told; no validation part."""
    write_wider(tmp_path)

    with caplog.at_level(logging.INFO, "mambapro"):
        images = read_attributes("wider", tmp_path)

    assert images.labels.tolist() == [[1, 0, 0, 0] + [1] * 9 + [0], [0] * 13 + [1], [0] * 14]
    assert images.images == ("0/a.jpg", "0/b.jpg", "1/c.jpg") and images.root == tmp_path / "split_image"
    assert rows_of(images) == {"train": [0, 1], "val": [], "test": [2]}
    assert "2 labels are 0, not specified" in caplog.text and "14 labels are 0" in caplog.text


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_peta_zs(tmp_path: Path, protocol: int) -> None:
    """Labels of PETA with the partition of a pickle of EasyDicts and arrays, rows from 0."""
    write_peta(tmp_path)
    write_run(tmp_path / "dataset_zs_run0.pkl", protocol)

    images, peta = read_attributes("peta-zs", tmp_path), read_attributes("peta", tmp_path)

    assert rows_of(images) == {"train": [4, 0], "val": [1], "test": [5, 2]}
    assert np.array_equal(images.labels, peta.labels) and images.attributes == peta.attributes
    assert "easydict" not in sys.modules


def test_rap_zs(tmp_path: Path) -> None:
    """The attributes of RAPv2 without "age 46 to 60"; another run is another partition."""
    write_rapv2(tmp_path)
    write_run(tmp_path / "dataset_zs_run3.pkl", run={"partition": {"train": [7], "val": [9], "test": [8]}})

    images, whole = read_attributes("rap-zs", tmp_path, partition=3), read_attributes("rapv2", tmp_path)

    assert images.labels.shape == (54, 53) and rows_of(images) == {"train": [7], "val": [9], "test": [8]}
    assert images.attributes == tuple(name for name in whole.attributes if name != "age_46_to_60")
    assert np.array_equal(images.labels, np.delete(whole.labels, 38, axis=1))
    assert images.exclusive[0] == ("age_less_16", "age_17_to_30", "age_31_to_45")


def test_msp60k(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The order of the evaluation, with short sleeves where the published list has black hair a second time."""
    write_msp60k(tmp_path)

    with caplog.at_level(logging.INFO, "mambapro"):
        images = read_attributes("msp60k", tmp_path)

    assert images.labels.argmax(axis=0).tolist() == [
        *range(7, 16), 19, *range(20, 47), 0, 1, 2, 3, 4, 5, 6, 16, 17, 18, *range(47, 57),
    ]  # fmt: skip
    assert (images.attributes[2], images.attributes[9], images.attributes[-1]) == (
        "black_hair", "short_sleeve", "riding_a_skateboard",
    )  # fmt: skip
    assert rows_of(images) == {"train": list(range(50)), "val": [50, 51], "test": [52, 53, 54, 55, 56]}
    assert "the published list of columns has 9 there" in caplog.text


def test_msp60k_across_scenes(tmp_path: Path) -> None:
    """Partitions 1 and 2 are of whole scenes, in the order of the file, without a validation part."""
    write_msp60k(tmp_path)

    first, second = (read_attributes("msp60k", tmp_path, partition=number) for number in (1, 2))

    assert first.images == tuple(f"part0_{number}.jpg" for number in (3, 4, 0, 9, 10))
    assert rows_of(first) == {"train": [0, 1, 2], "val": [], "test": [3, 4]}
    assert [ones_of(first, n) for n in range(3)] == [["elderly"], ["fat_body"], ["female"]]
    assert second.images == ("part0_9.jpg", "part0_10.jpg", "part0_0.jpg") and rows_of(second)["test"] == [2]


@pytest.mark.parametrize("name", [*WRITERS, "peta-zs", "rap-zs"])
def test_every_set(tmp_path: Path, name: str) -> None:
    """Each set names as many phrases as attributes, and is found in a folder of its own name too."""
    base = {"peta-zs": "peta", "rap-zs": "rapv2"}.get(name, name)
    folder = tmp_path / PUBLISHED[base].title.swapcase()
    WRITERS[base](folder)
    if base != name:
        write_run(folder / "dataset_zs_run0.pkl")

    below, itself = read_attributes(name, tmp_path), read_attributes(name, folder)

    assert below.name == name and below.images == itself.images and below.root == itself.root
    assert len(set(below.words)) == len(below.attributes) == {
        "pa100k": 26, "peta": 35, "rapv1": 51, "rapv2": 54, "wider": 14, "peta-zs": 35, "rap-zs": 53, "msp60k": 57,
    }[name]  # fmt: skip


def test_train_and_validation_together(tmp_path: Path) -> None:
    """With trainval the validation part is trained on, after the training part, and none is left."""
    write_peta(tmp_path)

    images = read_attributes("peta", tmp_path, trainval=True)

    assert rows_of(images) == {"train": [1, 0, 3], "val": [], "test": [5, 2]}


def test_partitions_that_are_not_there(tmp_path: Path) -> None:
    """InputError tells how many there are."""
    write_pa100k(tmp_path / "pa")
    write_rapv1(tmp_path / "rap")

    with pytest.raises(InputError, match=r"PA100K has 1 partition\(s\), from 0 to 0; 1 is none"):
        read_attributes("pa100k", tmp_path / "pa", partition=1)
    with pytest.raises(InputError, match="has 2 cells; number 4"):
        read_attributes("rapv1", tmp_path / "rap", partition=4)


def test_folders(tmp_path: Path) -> None:
    """A set is found in the only folder that has its files, in any case of names; of several one has to be named."""
    write_peta(tmp_path / "sets" / "download")
    (tmp_path / "sets" / "download" / "PETA.mat").rename(tmp_path / "sets" / "download" / "peta.MAT")
    (tmp_path / "sets" / "download" / "Images").mkdir()

    assert read_attributes("peta", tmp_path / "sets").root == tmp_path / "sets" / "download" / "Images"

    write_peta(tmp_path / "sets" / "again")
    with pytest.raises(InputError, match=r"which again, download in .* all have. Name one"):
        read_attributes("peta", tmp_path / "sets")
    write_peta(tmp_path / "sets" / "PETA")
    assert read_attributes("peta", tmp_path / "sets").root == tmp_path / "sets" / "PETA" / "images"
