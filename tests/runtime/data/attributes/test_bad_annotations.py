"""Annotation files that are damaged, of another set, or wrong: each is one error that names file and fault."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotation_files import cells, column, row, struct, write_matlab
from mambapro.errors import InputError, MambaProError, SetupError
from mambapro.runtime.data.attributes import matlab_files, wider, zero_shot
from mambapro.runtime.data.attributes.attribute_readers import read_attributes
from mambapro.runtime.data.attributes.vocabulary import Word
from mambapro.runtime.data.readers.benchmarks import read_benchmark
from published_sets import PETA, RAP1, WRITERS, write_run

Change = Callable[[Path], Any]


def lines_of(root: Path, name: str, *lines: str) -> None:
    (root / "Annotations" / f"{name}.txt").write_text("\n".join(lines) + "\n")


def pa100k(root: Path, **changes: Any) -> None:
    names = {f"{part}_images_name": cells([f"{part}.jpg"]) for part in ("train", "val", "test")}
    labels = {f"{part}_label": np.zeros((1, 26), np.uint8) for part in ("train", "val", "test")}
    attributes = cells([f"Attribute{n}" for n in range(26)])
    variables = {"attributes": attributes, **names, **labels, **changes}
    write_matlab(root / "annotation.mat", **variables)


def peta(root: Path, matrix: Any = None, partition: Any = None, names: Any = None) -> None:
    matrix = np.zeros((3, 109), np.uint8) if matrix is None else matrix
    partition = struct(a=column(1), b=column(2), c=column(3)) if partition is None else partition
    names = [*PETA.split(), *map(str, range(70))] if names is None else names
    fields = struct(a=matrix, b=cells(names), c=cells(["?"]), d=cells([partition]))
    write_matlab(root / "PETA.mat", peta=fields)


def rapv1(root: Path, images: int, labels: int) -> None:
    """Another number of names than of labels."""
    partitions = cells([struct(p=row(1), q=row(2))])
    fields = struct(
        a=partitions,
        b=np.zeros((labels, 92), np.uint8),
        c=cells(["?"]),
        d=cells([*RAP1.split(), *map(str, range(41))]),
        e=cells(["?"]),
        f=cells([f"{n}.png" for n in range(images)]),
    )
    write_matlab(root / "RAP_annotation" / "RAP_annotation.mat", RAP_annotation=fields)


def msp60k(root: Path, **parts: Any) -> None:
    whole: dict[str, Any] = {"train": {"a.jpg": [0] * 57}, "val": {}, "test": {"b.jpg": [1] * 57}}
    (root / "random_split.json").write_text(json.dumps({**whole, **parts}))


WRONG: dict[str, tuple[str, Change, str]] = {
    "other names": ("pa100k", pa100k, "has other attributes than the set, such as Attribute0 for Female"),
    "another set's variables": (
        "pa100k",
        lambda root: write_matlab(root / "annotation.mat", peta=np.zeros(3)),
        "is not the annotation of PA100K: it lacks train_images_name, .* and holds peta",
    ),
    "fewer labels than names": (
        "pa100k",
        lambda root: (WRITERS["pa100k"](root), shorten(root, "annotation.mat")),
        r"train_label in .* is 1 x 26; 2 images with 26 attributes are expected",
    ),
    "labels of 3": (
        "peta",
        lambda root: peta(root, np.full((3, 109), 3, np.uint8)),
        "105 labels other than 0, 1",
    ),
    "labels of -1": ("peta", lambda root: peta(root, np.full((3, 109), -1, np.int8)), "the first is -1, in row 1, col"),
    "labels of a half": ("peta", lambda root: peta(root, np.full((3, 109), 0.5)), "numbers that are not whole"),
    "labels of NaN": ("peta", lambda root: peta(root, np.full((3, 109), np.nan)), "numbers that are not whole"),
    "labels of text": ("peta", lambda root: peta(root, np.full((3, 109), "a")), "is no matrix of numbers"),
    "a column less": ("peta", lambda root: peta(root, np.zeros((3, 108))), "3 x 108; a matrix of 109 columns is expec"),
    "names of numbers": ("peta", lambda root: peta(root, names=[1, 2]), "no list of texts: entry 0"),
    "few names": ("peta", lambda root: peta(root, names=["a", "b"]), "names 2 attributes; the set has 35"),
    "an image 0": (
        "peta",
        lambda root: peta(root, partition=struct(a=column(0), b=column(1), c=column(2))),
        "train of partition 0 .* has the number 0; images are counted from 1",
    ),
    "an image beyond": (
        "peta",
        lambda root: peta(root, partition=struct(a=column(1), b=column(2), c=column(4))),
        "test has 1 rows beyond the 3 images",
    ),
    "an image in two parts": (
        "peta",
        lambda root: peta(root, partition=struct(a=column(1, 2), b=column(2), c=column(3))),
        "1 images are in more than one of train, val and test: 00002.png",
    ),
    "two of three parts": (
        "peta",
        lambda root: peta(root, partition=struct(a=column(1), b=column(2))),
        "has no field 3, only a, b",
    ),
    "a partition of text": ("peta", lambda root: peta(root, partition="no"), "is no struct with fields"),
    "fewer names than labels": ("rapv1", lambda root: rapv1(root, 2, 3), "is 3 x 51; 2 images with 51 attributes"),
    "RAPv2 for RAPv1": ("rapv1", WRITERS["rapv2"], "is the annotation of RAPv2, not of RAPv1"),
    "RAPv1 for RAPv2": ("rapv2", WRITERS["rapv1"], "Is it --dataset rapv1"),
    "no folder": ("rapv2", lambda root: root.rmdir(), "does not exist. RAPv2 is expected as RAP_annotation/RAP_anno"),
    "nothing": ("wider", lambda root: None, "WIDER is expected as Annotations/attr_name.txt .* is empty"),
    "a line less": (
        "wider",
        lambda root: (WRITERS["wider"](root), lines_of(root, "trainval_name", "a.jpg")),
        "has 2 lines for 1 names. One of the files is cut short",
    ),
    "a number less": (
        "wider",
        lambda root: (WRITERS["wider"](root), lines_of(root, "test_gt_label", "[1, 0]")),
        "line 1: 2 numbers for 14 attributes",
    ),
    "a label 2": (
        "wider",
        lambda root: (WRITERS["wider"](root), lines_of(root, "test_gt_label", str([2] + [0] * 13))),
        "1 labels other than 1, 0 and -1; the first is 2, line 1, column 1",
    ),
    "an empty line": (
        "wider",
        lambda root: (WRITERS["wider"](root), lines_of(root, "attr_name", "male", "", "hat")),
        "has an empty line, number 2",
    ),
    "names in other places": (
        "wider",
        lambda root: (WRITERS["wider"](root), lines_of(root, "attr_name", *exchanged(wider.WORDS, 2, 3))),
        "has 2 attributes in other places than the set, the first is Hat in the place of sunglass",
    ),
    "Latin-1": (
        "wider",
        lambda root: (WRITERS["wider"](root), (root / "Annotations" / "test_name.txt").write_bytes(b"gr\xfcn.jpg\n")),
        "is not UTF-8 text",
    ),
    "JSON cut short": ("msp60k", lambda root: (root / "random_split.json").write_text('{"train": {'), "it is not JSON"),
    "no split": (
        "msp60k",
        lambda root: (root / "random_split.json").write_text('{"a": 1}'),
        "has no object train",
    ),
    "56 labels": ("msp60k", lambda root: msp60k(root, val={"c.jpg": [0] * 56}), "c.jpg has 56 labels; there are 57"),
    "labels of truth": (
        "msp60k",
        lambda root: msp60k(root, val={"c.jpg": [True] * 57}),
        "57 labels other than 0",
    ),
    "an image twice": ("msp60k", lambda root: msp60k(root, val={"a.jpg": [0] * 57}), "lists 1 images twice: a.jpg"),
    "a key twice": (
        "msp60k",
        lambda root: (root / "random_split.json").write_text('{"train": {"a": [], "b": [], "a": []}}'),
        "an object has 1 keys twice, such as a",
    ),
    "a path outside": ("msp60k", lambda root: msp60k(root, val={"../c.jpg": [0] * 57}), "not below the images' folder"),
}


def exchanged(words: Sequence[Word], first: int, second: int) -> list[str]:
    """Return the published names, two of them in each other's place."""
    names = [word.published for word in words]
    names[first], names[second] = names[second], names[first]
    return names


def shorten(root: Path, name: str) -> None:
    """Remove a row of PA100K's training labels."""
    content = matlab_files.read_matlab(root / name, (), "")
    write_matlab(root / name, **{**content, "train_label": content["train_label"][:1]})


@pytest.mark.parametrize("case", WRONG)
def test_wrong(tmp_path: Path, case: str) -> None:
    """InputError tells what is wrong, where, and in which file."""
    name, change, message = WRONG[case]
    root = tmp_path / "set"
    root.mkdir()
    change(root)

    with pytest.raises(InputError, match=message) as caught:
        read_attributes(name, root)
    assert str(root) in str(caught.value)


class TestMatlab:
    def test_cut_short(self, tmp_path: Path) -> None:
        """A file without its end is an InputError, wherever it is cut."""
        WRITERS["pa100k"](tmp_path)
        path = tmp_path / "annotation.mat"
        content = path.read_bytes()

        for length in (0, 60, 128, 130, 136, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:length])
            with pytest.raises(InputError, match=r"annotation.mat .*(cannot be read|lacks)"):
                read_attributes("pa100k", tmp_path)

    def test_hdf5(self, tmp_path: Path) -> None:
        """A MATLAB 7.3 file is named as such, with the remedy."""
        (tmp_path / "annotation.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n" + bytes(99))

        with pytest.raises(InputError, match=r"MATLAB 7.3 file \(HDF5\), which is not read.*'-v7'"):
            read_attributes("pa100k", tmp_path)

    def test_damaged_bytes(self, tmp_path: Path) -> None:
        """A file with a changed byte is read or an error of ours, never another exception."""
        WRITERS["rapv1"](tmp_path)
        path = tmp_path / "RAP_annotation" / "RAP_annotation.mat"
        content = matlab_files.unpacked(path.read_bytes(), 2**20)
        random = np.random.default_rng(0)

        for place in random.integers(128, len(content), 300):
            changed = bytearray(content)
            changed[place] ^= 1 << int(random.integers(8))
            path.write_bytes(changed)
            try:
                read_attributes("rapv1", tmp_path)
            except MambaProError as error:
                assert "RAP_annotation.mat" in str(error)

    def test_without_scipy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """SetupError names the package, its extra, and the way around it."""
        WRITERS["pa100k"](tmp_path)
        monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)

        with pytest.raises(SetupError, match=r'scipy reads.*pip install "mambapro\[train\]".*mambapro convert'):
            read_attributes("pa100k", tmp_path)

    def test_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file beyond the limit is not read, and one that unpacks to more is not unpacked."""
        WRITERS["pa100k"](tmp_path)
        monkeypatch.setattr(matlab_files, "UNPACKED", 1000)
        with pytest.raises(InputError, match=r"unpacks to more than 1,000 bytes.*MAMBAPRO_MAX_GIB"):
            read_attributes("pa100k", tmp_path)

        monkeypatch.setattr(matlab_files, "LARGEST", 100)
        with pytest.raises(InputError, match="at most 100 are read"):
            read_attributes("pa100k", tmp_path)

    def test_no_regular_file(self, tmp_path: Path) -> None:
        """A FIFO is not opened."""
        os.mkfifo(tmp_path / "annotation.mat")

        with pytest.raises(InputError, match="is a FIFO"):
            read_attributes("pa100k", tmp_path)


class TestZeroShot:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """PETA, to which a pickle is to be added."""
        WRITERS["peta"](tmp_path)
        return tmp_path

    def test_foreign_class(self, root: Path) -> None:
        """A pickle with a class that is not plain data is refused by its name, and nothing is called."""

        class Evil:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(root / "called"),)

        (root / "dataset_zs_run0.pkl").write_bytes(pickle.dumps({"partition": Evil()}))

        with pytest.raises(InputError, match=r"dataset_zs_run0.pkl is refused.*it names \w+\.mkdir"):
            read_attributes("peta-zs", root)
        assert not (root / "called").exists()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"label": 1}, "holds label; a dict with partition.train"),
            ([1], "is a list; a dict with partition.train"),
            ({"partition": {"train": [0], "val": [1]}}, "holds train, val; a dict with partition.train"),
            (
                {"partition": {"train": [0.5], "val": [1], "test": [2]}},
                "partition.train .* is no list of whole",
            ),
            ({"partition": {"train": [True], "val": [1], "test": [2]}}, "is no list of whole numbers"),
            ({"partition": {"train": [10**30], "val": [1], "test": [2]}}, "is no list of whole numbers"),
            ({"partition": {"train": np.eye(2), "val": [1], "test": [2]}}, "is no list of whole numbers"),
            ({"partition": {"train": [0], "val": [-1], "test": [6]}}, "val has 1 rows beyond the 6 images: -1"),
        ],
    )
    def test_other_content(self, root: Path, content: Any, message: str) -> None:
        """InputError tells what the pickle holds."""
        write_run(root / "dataset_zs_run0.pkl", run=content)

        with pytest.raises(InputError, match=message):
            read_attributes("peta-zs", root)

    def test_no_pickle(self, root: Path) -> None:
        """InputError names the file of the run that is not there."""
        with pytest.raises(InputError, match=r"There is no partition .*dataset_zs_run2.pkl"):
            read_attributes("peta-zs", root, partition=2)

    def test_labels_of_another_size(self) -> None:
        """The columns of RAP-ZS are those of RAPv2 but one, which is number 38."""
        assert (*range(38), *range(39, 54)) == zero_shot.RAP_COLUMNS


def test_an_attribute_without_positives_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A benchmark logs which attributes no image of a part has, of the parts that are read."""
    WRITERS["wider"](tmp_path)
    for name in ("0/a.jpg", "0/b.jpg", "1/c.jpg"):
        path = tmp_path / "split_image" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    read_benchmark("wider", tmp_path)
    whole = caplog.text
    caplog.clear()
    read_benchmark("wider", tmp_path, test_only=True)

    assert "no image of train has long_hair, sunglasses, hat; mA is not defined" in whole
    assert "no image of test has male, long_hair, " in caplog.text and "of train" not in caplog.text


def test_other_spellings_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A few names that differ are logged and read; case and signs do not count."""
    WRITERS["wider"](tmp_path)
    names = [word.published.upper() for word in wider.WORDS]
    lines_of(tmp_path, "attr_name", *names[:12], "emblem", "check")

    assert read_attributes("wider", tmp_path).attributes[12] == "logo"
    assert "spells 2 attributes in another way; they are taken by their places: emblem for logo" in caplog.text
