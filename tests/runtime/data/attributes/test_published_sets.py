"""The eight published formats: columns, orders, partitions and image paths, checked by hand on small files."""

from __future__ import annotations

import json
import logging
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from annotation_files import cells, column, row, struct, write_matlab
from mambapro.errors import InputError
from mambapro.runtime.data.attributes.attribute_readers import PUBLISHED, read_attributes
from mambapro.runtime.data.attributes.attribute_set import AttributeSet

PA100K = (
    "Female AgeOver60 Age18-60 AgeLess18 Front Side Back Hat Glasses HandBag ShoulderBag Backpack HoldObjectsInFront "
    "ShortSleeve LongSleeve UpperStride UpperLogo UpperPlaid UpperSplice LowerStripe LowerPattern LongCoat Trousers "
    "Shorts Skirt&Dress boots"
)
#: Columns 0 to 34 of PETA.mat's names.
PETA = (
    "personalLess30 personalLess45 personalLess60 personalLarger60 carryingBackpack carryingOther lowerBodyCasual "
    "upperBodyCasual lowerBodyFormal upperBodyFormal accessoryHat upperBodyJacket lowerBodyJeans footwearLeatherShoes "
    "upperBodyLogo hairLong personalMale carryingMessengerBag accessoryMuffler accessoryNothing carryingNothing "
    "upperBodyPlaid carryingPlasticBags footwearSandals footwearShoes lowerBodyShorts upperBodyShortSleeve "
    "lowerBodyShortSkirt footwearSneaker upperBodyThinStripes accessorySunglasses lowerBodyTrousers upperBodyTshirt "
    "upperBodyOther upperBodyVNeck"
)
RAP1 = (
    "Female AgeLess16 Age17-30 Age31-45 BodyFat BodyNormal BodyThin Customer Clerk hs-BaldHead hs-LongHair "
    "hs-BlackHair hs-Hat hs-Glasses hs-Muffler ub-Shirt ub-Sweater ub-Vest ub-TShirt ub-Cotton ub-Jacket ub-SuitUp "
    "ub-Tight ub-ShortSleeve lb-LongTrousers lb-Skirt lb-ShortSkirt lb-Dress lb-Jeans lb-TightTrousers shoes-Leather "
    "shoes-Sport shoes-Boots shoes-Cloth shoes-Casual attach-Backpack attach-SingleShoulderBag attach-HandBag "
    "attach-Box attach-PlasticBag attach-PaperBag attach-HandTrunk attach-Other action-Calling action-Talking "
    "action-Gathering action-Holding action-Pusing action-Pulling action-CarrybyArm action-CarrybyHand"
)
#: The attributes that RAPv2 selects, in the order of its list.
RAP2 = (
    "Female AgeLess16 Age17-30 Age31-45 Age46-60 BodyFat BodyNormal BodyThin Customer Employee hs-BaldHead hs-LongHair "
    "hs-BlackHair hs-Hat hs-Glasses ub-Shirt ub-Sweater ub-Vest ub-TShirt ub-Cotton ub-Jacket ub-SuitUp ub-Tight "
    "ub-ShortSleeve ub-Others lb-LongTrousers lb-Skirt lb-ShortSkirt lb-Dress lb-Jeans lb-TightTrousers shoes-Leather "
    "shoes-Sports shoes-Boots shoes-Cloth shoes-Casual shoes-Other attachment-Backpack attachment-ShoulderBag "
    "attachment-HandBag attachment-Box attachment-PlasticBag attachment-PaperBag attachment-HandTrunk attachment-Other "
    "action-Calling action-Talking action-Gathering action-Holding action-Pushing action-Pulling "
    "action-CarryingByArm action-CarryingByHand action-Other"
)
WIDER = "male long_hair sunglasses hat t-shirt long_sleeve formal shorts jeans long_pants skirt face_mask logo stripe"


def write_pa100k(root: Path) -> None:
    """Four images; image n has the attribute n alone."""
    names = [f"{number:06d}.jpg" for number in range(1, 5)]
    one = np.eye(4, 26, dtype=np.uint8)
    variables: dict[str, Any] = {"attributes": cells(PA100K.split())}
    for part, rows in (("train", slice(0, 2)), ("val", slice(2, 3)), ("test", slice(3, 4))):
        variables |= {f"{part}_images_name": cells(names[rows]), f"{part}_label": one[rows]}
    write_matlab(root / "annotation.mat", **variables)


def write_peta(root: Path, images: int = 6) -> None:
    """Image n has the attribute of the file's column n alone; the first four columns hold other numbers."""
    matrix = np.zeros((images, 109), np.uint16)
    matrix[:, :4] = 77
    matrix[np.arange(images), 4 + np.arange(images)] = 1
    partitions = [struct(train=column(2, 1), val=column(4), test=column(6, 3))] * 4
    partitions.append(struct(a=column(5), b=column(6), c=column(1)))
    names = [*PETA.split(), *(f"other{number}" for number in range(70))]
    peta = struct(first=matrix, second=cells(names), third=cells(["?"]), fourth=cells(partitions))
    write_matlab(root / "PETA.mat", peta=peta)


def write_rapv1(root: Path) -> None:
    """Image n has the attribute n alone, and 2 for the last of the 51; the other 41 columns hold 9."""
    matrix = np.full((3, 92), 9, np.uint8)
    matrix[:, :51] = np.eye(3, 51)
    matrix[0, 50] = 2
    names = [*RAP1.split(), *(f"up-Color{number}" for number in range(41))]
    images = ["CAM01_1.png", "CAM02_2.png", "CAM03_3.png"]
    partitions = cells([struct(p=row(3, 1), q=row(2)), struct(p=row(1), q=row(2, 3))])
    annotation = struct(
        partition=partitions, label=matrix, c=cells(["?"]), names=cells(names), e=cells(["?"]), images=cells(images)
    )
    write_matlab(root / "RAP_annotation" / "RAP_annotation.mat", RAP_annotation=annotation)


def write_rapv2(root: Path) -> None:
    """The selected attributes are the file's columns 151, 150, ...; image n has the nth selected attribute alone."""
    names, matrix = [f"other{number}" for number in range(152)], np.full((54, 152), 9, np.uint8)
    for position, name in enumerate(RAP2.split()):
        names[151 - position] = name
        matrix[:, 151 - position] = np.arange(54) == position
    partitions = [
        struct(train_index=row(1, 2), val_index=row(3), test_index=row(54)),
        struct(train_index=row(4), val_index=row(5), test_index=row(6)),
    ]
    annotation = struct(
        name=cells([f"{number}.png" for number in range(54)]),
        attribute=cells(names),
        data=matrix,
        selected_attribute=row(*range(152, 98, -1)),
        partition_attribute=cells(partitions, (1, 2)),
    )
    write_matlab(root / "RAP_annotation" / "RAP_annotation.mat", RAP_annotation=annotation)


def write_wider(root: Path) -> None:
    """Two training crops and one of the test."""
    folder = root / "Annotations"
    folder.mkdir(parents=True)
    lines = {
        "attr_name": WIDER.split(),
        "trainval_name": ["0/a.jpg", "0/b.jpg"],
        "test_name": ["1/c.jpg"],
        "trainval_gt_label": ["[1, -1, 0, -1,1,1,1,1,1,1,1,1,1,0]", "[" + ", ".join(["-1"] * 13) + ", 1]"],
        "test_gt_label": ["[" + ", ".join(["0"] * 14) + "]"],
    }
    for name, content in lines.items():
        (folder / f"{name}.txt").write_text("\n".join(content) + "\n")


class EasyDict(dict):  # type: ignore[type-arg]
    """As the package easydict pickles it: entries are attributes too."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self[name] = value


def write_run(path: Path, protocol: int = 4, run: dict[str, Any] | None = None) -> None:
    """The pickle of a zero-shot run, of EasyDicts of a module that is not there afterwards."""
    content, partition = EasyDict(), EasyDict()
    content.description, content.label = "peta", np.zeros((6, 35))
    content.attr_words, content.weight_train = np.array(["hat", "scarf"]), [np.float32(0.5)]
    content.partition = partition
    partition.train, partition.val, partition.test = np.array([4, 0]), [1], np.array([5, 2], np.int32)
    EasyDict.__module__ = "easydict"
    sys.modules["easydict"] = ModuleType("easydict")
    sys.modules["easydict"].EasyDict = EasyDict  # type: ignore[attr-defined]
    try:
        path.write_bytes(pickle.dumps(content if run is None else run, protocol))
    finally:
        del sys.modules["easydict"]


def write_msp60k(root: Path) -> None:
    """Image n has the attribute of the files' column n alone."""
    root.mkdir(parents=True, exist_ok=True)
    labels = {f"part0_{number}.jpg": [int(number == k) for k in range(57)] for number in range(57)}
    names = list(labels)
    parts = {"train": names[:50], "val": names[50:52], "test": names[52:]}
    split = {part: {name: labels[name] for name in images} for part, images in parts.items()}
    (root / "random_split.json").write_text(json.dumps(split))
    (root / "merged_labels.json").write_text(json.dumps(labels))
    scenes = {
        "split": {
            "split_1": {"trainval": ["Market", "School"], "test": ["Outdoors1"], "drop": []},
            "split_2": {"trainval": ["Outdoors1"], "test": ["School"], "drop": []},
        },
        "image_names": {"Market": names[3:5], "School": names[:1], "Outdoors1": names[9:11]},
    }
    (root / "Multi_Sences2.json").write_text(json.dumps(scenes))


WRITERS = {
    "pa100k": write_pa100k,
    "peta": write_peta,
    "rapv1": write_rapv1,
    "rapv2": write_rapv2,
    "wider": write_wider,
    "msp60k": write_msp60k,
}


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
