"""Files of records: every format is read as it was written, absent attributes stay absent, damaged files are named."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import InputError, SetupError
from mambapro.runtime.assigned_attributes import AttributeRule, Attributes
from mambapro.runtime.records.columns import Head, Rows, column_of, label_of, stored_path
from mambapro.runtime.records.record_file import read_records
from mambapro.runtime.records.writers import WRITERS, record_writer, require_format

LABELS = ("hat", "short sleeve", "name", 'a;"b"', "embedding_0")
PRINT = "ab" * 32
#: The first row is known, the second has no RGB image, the third has no attribute.
PROBABILITIES = np.array([[0.9, 0.1, 0.8, 0.7, 0.25], [np.nan] * 5, [0.0, 0.1, 0.2, 0.3, 1 / 3]], np.float32)
EMBEDDINGS = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


@pytest.fixture(params=[*WRITERS])
def suffix(request: pytest.FixtureRequest) -> str:
    """Each format; Parquet where pyarrow is installed."""
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    return request.param


def write(path: Path, labels: tuple[str, ...] | None = LABELS, dim: int | None = 4, names: str = "abc") -> Path:
    """Write the three rows in two batches."""
    rule = AttributeRule(labels or (), (0.5,) * len(labels or ()))
    head = Head(labels, rule.thresholds or (), dim, PRINT, {"artifact": "onnxruntime-fp32"})
    with record_writer(path, head) as writer:
        for part in (slice(0, 2), slice(2, 3)):
            known = ~np.isnan(PROBABILITIES[:, 0])
            decided = PROBABILITIES[part] > 0.5
            attributes = Attributes(PROBABILITIES[part], rule, known[part], decided) if labels else None
            files = ["../x/a.png", None, "c.png"][part]
            vectors = EMBEDDINGS[part] if dim else None
            writer.write(Rows(path.parent, names[part], files, np.array([0, -1, 2])[part], vectors, attributes))
    return path


def test_read_as_written(tmp_path: Path, suffix: str) -> None:
    """Names, files, float32 numbers, decisions, feature space; labels that are names of columns keep their names."""
    found = read_records(write(tmp_path / f"r{suffix}"))

    assert found.names == ("a", "b", "c") and found.labels == LABELS and len(found) == 3
    assert found.files == (tmp_path / "../x/a.png", None, tmp_path / "c.png")
    np.testing.assert_array_equal(found.probabilities, PROBABILITIES)
    assert found.assigned.tolist() == [[True, False, True, True, False], [False] * 5, [False] * 5]
    assert found.present.tolist() == [True, False, True]
    np.testing.assert_allclose(found.embeddings, EMBEDDINGS, rtol=1e-7)
    assert found.fingerprint == PRINT
    assert read_records(found.path, embeddings=False).embeddings is None


def test_one_half_alone(tmp_path: Path, suffix: str) -> None:
    """Files with attributes or embeddings alone, and files without rows."""
    attributes = read_records(write(tmp_path / f"a{suffix}", dim=None))
    embeddings = read_records(write(tmp_path / f"e{suffix}", labels=None))
    with record_writer(tmp_path / f"n{suffix}", Head(("hat",), (0.5,), None, "", {})):
        pass
    nothing = read_records(tmp_path / f"n{suffix}")

    assert attributes.embeddings is None and attributes.fingerprint == "" and attributes.labels == LABELS
    assert embeddings.labels is None and not embeddings.present.any()
    np.testing.assert_allclose(embeddings.embeddings, EMBEDDINGS, rtol=1e-7)
    assert len(nothing) == 0 and nothing.probabilities.shape[0] == 0


def test_text_formats_are_plain(tmp_path: Path) -> None:
    """CSV has a column for each label and empty cells where nothing is known; JSON Lines has null."""
    with open(write(tmp_path / "r.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in write(tmp_path / "r.jsonl").read_text().splitlines()]

    assert list(rows[0])[:9] == [
        *("name", "file", "camera", "attributes", "hat", "short sleeve", "label:name", 'a;"b"', "label:embedding_0")
    ]
    assert rows[0]["attributes"] == 'hat;name;"a;""b"""' and rows[0]["hat"] == "0.9"
    assert (rows[1]["attributes"], rows[1]["hat"]) == ("", "") and (rows[2]["attributes"], rows[2]["hat"]) == (
        "",
        "0.0",
    )
    assert lines[0]["attributes"] == ["hat", "name", 'a;"b"'] and lines[0]["label:name"] == 0.8
    assert lines[1]["attributes"] is None and lines[1]["hat"] is None and lines[2]["attributes"] == []
    assert lines[1]["file"] is None and lines[0]["camera"] == 0 and len(lines[0]["embedding"]) == 4


def test_undecodable_names(tmp_path: Path, suffix: str) -> None:
    """Names of files that are not UTF-8 are written, escaped where the format has no other way."""
    found = read_records(write(tmp_path / f"r{suffix}", names="a\udcffc"))

    assert found.names[1] in ("\udcff", "\\udcff")


def test_names_with_ends_of_lines(tmp_path: Path, suffix: str) -> None:
    """Carriage returns, line feeds, commas and quotes in names of samples, files and labels are read as written."""
    labels, names, files = ("a\rb", "c\nd"), ["x\ry", 'n\r\n"m"', ", z"], ["f\r.png", "g\n.png", 'h".png']
    rule, known = AttributeRule(labels, (0.5, 0.5)), np.ones(3, bool)
    decided = np.array([[True, True], [True, False], [False, True]])
    with record_writer(tmp_path / f"r{suffix}", Head(labels, (0.5, 0.5), None, "", {})) as writer:
        attributes = Attributes(decided.astype(np.float32), rule, known, decided)
        writer.write(Rows(tmp_path, names, files, np.zeros(3, np.int64), None, attributes))

    found = read_records(tmp_path / f"r{suffix}")

    assert found.names == tuple(names) and found.labels == labels
    assert found.files == tuple(tmp_path / file for file in files)
    np.testing.assert_array_equal(found.assigned, decided)


@pytest.mark.parametrize("label", ["hat", "name", "label:name", "embedding_12", "embedding", "Name", "label", "a\nb"])
def test_columns_of_labels(label: str) -> None:
    """A label has one column, which no other label and no own column has."""
    assert label_of(column_of(label)) == label
    assert label_of("name") is None and label_of("embedding_3") is None


def test_files_move_with_their_records(tmp_path: Path) -> None:
    """Images are stored relative to the folder of the records."""
    assert stored_path(tmp_path / "data" / "a.png", tmp_path / "out") == "../data/a.png"
    assert stored_path(None, tmp_path) is None


def test_formats_are_checked_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """InputError for another suffix; SetupError with the command to install pyarrow where it is missing."""
    with pytest.raises(InputError, match=r"written as \.npz, \.parquet, \.csv, \.jsonl, not \.xlsx"):
        require_format(tmp_path / "a.xlsx")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(SetupError, match=r'pip install "mambapro\[parquet\]"'):
        require_format(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"", r"read from \.npz, .*not \.xlsx"),
        ("a.csv", b"", "holds no records"),
        ("a.csv", b"name,hat,attributes\na,x,\n", "line 2: column 'hat': could not convert .* remove it"),
        ("a.csv", b"name,hat,attributes,score\na,0.5,,5\n", "column 'score' is not from 0 to 1, but 5 in row 0, 'a'"),
        ("a.csv", b"name,hat,cap,attributes\na,0.5,0.5,\nb,0.5,,\n", "row 1, 'b', lacks the probability of 'cap'"),
        ("a.jsonl", b'{"name": "a", "attributes": [], "hat": 0.5, "cap": null}\n', "row 0, 'a', lacks .* 'cap'"),
        ("a.csv", b"name,hat,attributes\na,0.5\n", "line 2: 2 cells instead of 3"),
        ("a.csv", b"name,hat,attributes\na,1.5,\n", "not from 0 to 1"),
        ("a.csv", b"name,hat,attributes\na,0.5,cap\n", "attribute 'cap', which has no column"),
        ("a.csv", b"name\n\xff\n", "line 2: 'utf-8' codec"),
        ("a.csv", b"name,fingerprint,embedding_0\na,x,1\nb,y,1\n", "of 2 feature spaces"),
        ("a.csv", b"name,embedding_0\na,inf\n", "NaN or infinity"),
        ("a.jsonl", b"[]\n", "line 1: it is no object with 'name'"),
        ("a.jsonl", b'{"name": "a"', "line 1: "),
        ("a.jsonl", b'{"name": "a"}\n{"name": "b", "attributes": []}\n', "line 2: its keys are not"),
        ("a.jsonl", b'{"name": "a", "attributes": "hat", "hat": 1}\n', "line 1: 'attributes' is no list"),
        (
            "a.jsonl",
            b'{"name": "a", "attributes": [], "hat": "x"}\n',
            "line 1: column 'hat' holds what is no number: 'x'",
        ),
        ("a.jsonl", b'{"name": "a", "embedding": [1, true]}\n', "line 1: .* holds what is no number"),
        ("a.npz", b"PK", "cannot be read"),
        ("a.parquet", b"PAR1PAR1", "cannot be read"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """InputError with the file, the line and the reason."""
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InputError, match=message) as error:
        read_records(tmp_path / name)
    assert name in str(error.value)


def test_only_numbered_columns_are_an_embedding(tmp_path: Path) -> None:
    """A column of another name that begins like one is none of its numbers."""
    (tmp_path / "a.csv").write_text("name,embedding_0,embedding_style,embedding_1\na,0.6,dry,0.8\n")

    found = read_records(tmp_path / "a.csv")

    np.testing.assert_array_equal(found.embeddings, np.array([[0.6, 0.8]], np.float32))


def test_columns_that_users_add_to_parquet(tmp_path: Path) -> None:
    """The labels are those in the metadata: further numbers are no attributes."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write(tmp_path / "a.parquet"))
    parquet.write_table(table.append_column("score", arrow.array([5.0, 0.5, None])), tmp_path / "b.parquet")
    parquet.write_table(table.replace_schema_metadata({"mambapro": '{"labels": "hat"}'}), tmp_path / "c.parquet")

    found = read_records(tmp_path / "b.parquet")

    assert found.labels == LABELS and found.present.tolist() == [True, False, True]
    with pytest.raises(InputError, match="its metadata has no list of labels"):
        read_records(tmp_path / "c.parquet")


def test_arrays_of_other_shapes(tmp_path: Path) -> None:
    """InputError for .npz files that lack the names, or whose arrays do not fit."""
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    np.savez(tmp_path / "b.npz", names=np.array(["a", "b"]), embeddings=np.zeros((3, 4)))
    np.savez(tmp_path / "c.npz", names=np.array(["a"]), labels=np.array(["hat"]), probabilities=np.zeros((1, 2)))
    np.savez(tmp_path / "d.npz", names=np.array(["a"]), embeddings=np.array([["x"]]))

    for name, message in (
        ("a", "names is missing"),
        ("b", "different lengths"),
        ("c", "1 labels, and probabilities of 2"),
        ("d", "array embeddings is <U1 of shape"),
    ):
        with pytest.raises(InputError, match=message):
            read_records(tmp_path / f"{name}.npz")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("name", [1, 2], "column 'name' is of int64"),
        ("name", [None, "b"], "missing in some rows"),
        ("file", [1, 2], "column 'file' is of int64"),
        ("attributes", ["hat", None], "column 'attributes' is of string"),
        ("attributes", [[1], None], "column 'attributes' is of list<"),
        ("attributes", [["hat", None], None], "missing in some rows"),
        ("fingerprint", [1, 1], "column 'fingerprint' is of int64"),
        ("fingerprint", ["x", "y"], "of 2 feature spaces"),
        ("embedding", [[1.0], [1.0, 2.0]], "missing or of different lengths"),
        ("embedding", [[1.0], None], "missing or of different lengths"),
        ("embedding", [["a"], ["b"]], "not of lists of numbers"),
    ],
)
def test_parquet_of_other_types(tmp_path: Path, name: str, values: list, message: str) -> None:
    """InputError for columns of other types; columns that others added are ignored, and so are wider types."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    good = {
        "name": arrow.array(["a", "b"], arrow.large_string()),
        "file": ["x.png", None],
        "attributes": [["hat"], None],
        "hat": [0.7, None],
        "fingerprint": ["x", "x"],
        "embedding": [[1.0, 0.0], [0.0, 1.0]],
        "score": [5, 6],
    }
    parquet.write_table(arrow.table(good), tmp_path / "good.parquet")
    parquet.write_table(arrow.table({**good, name: values}), tmp_path / "odd.parquet")

    found = read_records(tmp_path / "good.parquet")

    assert found.labels == ("hat",) and found.embeddings.tolist() == good["embedding"]
    assert found.assigned.tolist() == [[True], [False]] and found.present.tolist() == [True, False]
    with pytest.raises(InputError, match=message):
        read_records(tmp_path / "odd.parquet")


def test_row_groups_are_large(tmp_path: Path) -> None:
    """Small batches are gathered, so that a Parquet file has few groups of rows."""
    parquet = pytest.importorskip("pyarrow.parquet")
    rule = AttributeRule(("hat",), (0.5,))
    with record_writer(tmp_path / "r.parquet", Head(("hat",), (0.5,), None, "", {})) as writer:
        for _ in range(150):
            known = Attributes(np.full((32, 1), 0.7, np.float32), rule, np.ones(32, bool), np.ones((32, 1), bool))
            writer.write(Rows(tmp_path, ["n"] * 32, [None] * 32, np.zeros(32, np.int64), None, known))

    about = parquet.read_metadata(tmp_path / "r.parquet")
    assert about.num_rows == 4800 and about.num_row_groups == 2
    assert json.loads(about.metadata[b"mambapro"])["thresholds"] == [0.5]
