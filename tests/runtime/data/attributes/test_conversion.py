"""Conversion to the toolkit's format: the same set, from every published format, and what is missing on disk."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mambapro.cli.main import run
from mambapro.errors import InputError
from mambapro.runtime.data.attributes.attribute_readers import read_attributes, read_published
from mambapro.runtime.data.attributes.attribute_set import Conversion
from mambapro.runtime.data.attributes.conversion import convert_set
from mambapro.runtime.data.readers.benchmarks import read_benchmark
from published_sets import WRITERS, write_run


def with_images(name: str, root: Path) -> Path:
    """A set with an empty file for each of its images."""
    WRITERS[{"peta-zs": "peta", "rap-zs": "rapv2"}.get(name, name)](root)
    if name.endswith("-zs"):
        write_run(root / "dataset_zs_run0.pkl")
    images = read_attributes(name, root)
    for image in images.images:
        path = images.root / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.mark.parametrize("name", [*WRITERS, "peta-zs", "rap-zs"])
def test_the_same_set(tmp_path: Path, name: str) -> None:
    """Labels, names, phrases, groups and partitions are those of the published format, and so are the samples."""
    root = with_images(name, tmp_path / "set")

    report = convert_set(root, name, tmp_path / "out")
    published, own = read_attributes(name, root), read_attributes("attributes", tmp_path / "out")

    assert (own.name, own.images, own.names) == (published.name, published.images, published.names)
    assert np.array_equal(own.labels, published.labels)
    assert {part: rows.tolist() for part, rows in own.partitions.items()} == {
        part: rows.tolist() for part, rows in published.partitions.items()
    }
    assert report.images == len(own.images) and report.partitions["test"] == len(own.partitions["test"])
    samples = read_benchmark(name, root).query
    for first, second in zip(samples, read_benchmark("attributes", tmp_path / "out").query, strict=True):
        assert first.labels == second.labels
        assert first.sources["rgb"].path.samefile(second.sources["rgb"].path)


def test_partition_and_trainval(tmp_path: Path) -> None:
    """A partition is chosen at the conversion, and training and validation are joined there."""
    root = with_images("peta", tmp_path / "set")

    convert_set(root, "peta", tmp_path / "last.json", partition=4)
    convert_set(root, "peta", tmp_path / "both.json", trainval=True)
    last, both = (read_attributes("attributes", tmp_path / name).partitions for name in ("last.json", "both.json"))

    assert [last[part].tolist() for part in ("train", "val", "test")] == [[4], [5], [0]]
    assert [both[part].tolist() for part in ("train", "val", "test")] == [[1, 0, 3], [], [5, 2]]


def test_other_choices_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder that is read by its published name warns of the partition, the joined parts and the images left out of
    its attributes.json; a conversion by default and a file without a record of them do not, nor does the own name."""
    root = with_images("peta", tmp_path)
    convert_set(root, "peta", root)
    read_attributes("peta", root)
    assert not [record for record in caplog.records if record.levelname == "WARNING" and "convert" in record.message]
    images = read_attributes("peta", root, partition=4)
    (images.root / images.images[int(images.partitions["train"][0])]).unlink()

    convert_set(root, "peta", root, partition=4, trainval=True, skip_missing=True, overwrite=True)
    caplog.clear()
    again = read_attributes("peta", root)
    (warning,) = (record.message for record in caplog.records if record.levelname == "WARNING")
    stored = json.loads((root / "attributes.json").read_text())

    assert again.conversion == Conversion(4, True, 1)
    assert stored["conversion"] == {"partition": 4, "trainval": True, "skipped": 1}
    for words in ("PETA", "partition 4", "validation part joined to the training part", "missing images left out: 1"):
        assert words in warning
    caplog.clear()
    read_attributes("attributes", root)
    del stored["conversion"]
    (root / "attributes.json").write_text(json.dumps(stored))
    assert read_attributes("peta", root).conversion == Conversion() and "with other choices" not in caplog.text


def test_a_second_conversion_keeps_the_choices(tmp_path: Path) -> None:
    """Conversion of an attributes.json adds its own choices to those of the file."""
    root = with_images("peta", tmp_path / "set")
    convert_set(root, "peta", tmp_path / "first.json", partition=3)

    convert_set(tmp_path / "first.json", "attributes", tmp_path / "second.json", trainval=True)

    assert read_attributes("attributes", tmp_path / "second.json").conversion == Conversion(3, True, 0)


def test_a_device_needs_no_scipy(tmp_path: Path) -> None:
    """A published set that was converted in place is read by its name where SciPy is not installed."""
    root = with_images("pa100k", tmp_path / "set")
    convert_set(root, "pa100k", root)
    code = (
        "import sys; sys.modules['scipy'] = None\n"
        "from mambapro.runtime.data.readers.benchmarks import read_benchmark\n"
        f"print(len(read_benchmark('pa100k', {str(root)!r}, True).query))"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "1"


def test_another_set_in_the_folder_is_not_taken(tmp_path: Path) -> None:
    """An attributes.json of another name does not stand for the published set, nor for another partition of it."""
    root = with_images("peta", tmp_path)
    convert_set(root, "peta", root)
    other = json.loads((root / "attributes.json").read_text())
    changes = {"name": "mine", "attributes": [*map(str, range(35))], "exclusive": []}
    (root / "attributes.json").write_text(json.dumps({**other, **changes}))

    assert read_attributes("peta", root).attributes[0] == "hat"
    assert read_attributes("attributes", root).attributes[0] == "0"
    assert read_attributes("peta", root, partition=4).partitions["train"].tolist() == [4]
    assert read_published("peta", root).name == "peta"


class TestMissingImages:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """MSP60K without twelve of its images, one of them a folder."""
        root = with_images("msp60k", tmp_path / "set")
        for number in range(12):
            (root / "images" / f"part0_{number}.jpg").unlink()
        (root / "images" / "part0_0.jpg").mkdir()
        return root

    def test_all_are_counted(self, root: Path, tmp_path: Path) -> None:
        """InputError counts all and names ten; nothing is written."""
        with pytest.raises(InputError, match=r"12 of 57 images .* part0_9.jpg and 2 more.*--skip-missing"):
            convert_set(root, "msp60k", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_they_can_be_left_out(self, root: Path, tmp_path: Path) -> None:
        """With skip_missing the others keep their labels and parts, and the report lists all that were left out."""
        report = convert_set(root, "msp60k", tmp_path / "out", skip_missing=True)
        images, whole = read_attributes("attributes", tmp_path / "out"), read_attributes("msp60k", root)

        assert report.missing == [f"part0_{number}.jpg" for number in range(12)]
        assert images.images == whole.images[12:] and np.array_equal(images.labels, whole.labels[12:])
        assert images.partitions["val"].tolist() == [38, 39] and images.partitions["train"].tolist() == [*range(38)]
        assert "12 images, part0_0.jpg, " in str(report) and "and 2 more" in str(report)

    def test_none_is_left(self, root: Path, tmp_path: Path) -> None:
        """A folder without images is an error with skip_missing too."""
        shutil.rmtree(root / "images")

        with pytest.raises(InputError, match=r"folder of the images of .* is not there"):
            convert_set(root, "msp60k", tmp_path / "out", skip_missing=True)
        (root / "images").mkdir()
        with pytest.raises(InputError, match="has no images"):
            convert_set(root, "msp60k", tmp_path / "out", skip_missing=True)


class TestCommand:
    def test_json(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The command prints the report; the list of missing images is whole in its JSON."""
        root = with_images("wider", tmp_path / "set")
        (root / "split_image" / "0" / "a.jpg").unlink()
        options = ["--dataset", "wider", "--out", str(tmp_path / "w.json"), "--skip-missing", "--json"]

        assert run(["convert", str(root), *options]) == 0
        report = json.loads(capsys.readouterr().out)

        assert report["missing"] == ["0/a.jpg"] and report["partitions"] == {"train": 1, "val": 0, "test": 1}
        assert report["path"] == str(tmp_path / "w.json") and report["without_positives"]["test"][0] == "male"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--dataset", "msvr310"], "'msvr310' is not for attribute recognition"),
            (["--dataset", "wider", "--partition", "1"], "WIDER has 1 partition(s), from 0 to 0; 1 is none"),
            (["--dataset", "attributes", "--partition", "1"], "An attribute file has 1 partition(s)"),
            (["--dataset", "attributes"], "holds no attributes.json"),
            (["--dataset", "pa100k"], "PA100K is expected as annotation.mat"),
        ],
    )
    def test_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
    ) -> None:
        """Exit code 2, and nothing is written."""
        root = with_images("wider", tmp_path / "set")

        assert run(["convert", str(root), "--out", str(tmp_path / "out"), *options]) == 2
        assert message in capsys.readouterr().err and not (tmp_path / "out").exists()

    def test_not_replaced(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A file that is there needs --overwrite."""
        root = with_images("wider", tmp_path / "set")
        command = ["convert", str(root), "--dataset", "wider", "--out", str(tmp_path / "w.json")]

        assert [run(command), run(command), run([*command, "--overwrite"])] == [0, 2, 0]
