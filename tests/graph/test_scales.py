"""The table of scales as a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mambapro.errors import ArtifactError, InputError
from mambapro.graph.scales import ScaleTable, read_table


class TestFile:
    def test_there_and_back(self, table: ScaleTable, tmp_path: Path) -> None:
        """Every number survives the file to the last bit, and the hash with them."""
        table.save(tmp_path / "scales.json")

        again = read_table(tmp_path / "scales.json")

        assert again == table and again.sha256 == table.sha256

    def test_the_hash_sees_every_scale(self, table: ScaleTable) -> None:
        """One threshold changed in its last digits is another table."""
        content = table.to_json()
        content["activations"] = [dict(entry) for entry in content["activations"]]
        content["activations"][4]["threshold"] *= 1 + 1e-12

        assert ScaleTable.from_json(json.loads(json.dumps(content))).sha256 != table.sha256

    def test_the_hash_does_not_see_the_order_of_keys(self, table: ScaleTable) -> None:
        """Keys in another order are the same table; the hash is that of the sorted JSON."""
        content = dict(reversed(table.to_json().items()))
        text = json.dumps(table.to_json(), sort_keys=True, separators=(",", ":"))

        assert ScaleTable.from_json(content).sha256 == table.sha256 == hashlib.sha256(text.encode()).hexdigest()

    def test_a_step_is_a_127th_of_the_threshold(self, table: ScaleTable) -> None:
        """The largest value that is not clipped is level 127 of the int8 grid, which has no -128."""
        assert [item.scale for item in table.activations] == [item.threshold / 127 for item in table.activations]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda c: c.update(extra=1), "extra is unknown"),
            (lambda c: c.pop("samples"), "samples is missing"),
            (lambda c: c.pop("feature_space"), "feature_space is missing"),
            (lambda c: (c.pop("feature_space"), c.update(schema="mambapro.scales/1")), "scales/1'.* another version"),
            (lambda c: c.update(schema="mambapro.scales/9"), "made by another version"),
            (
                lambda c: c["activations"][0].update(threshold=0.0),
                "be a positive number that float32 holds, not 0.0",
            ),
            (lambda c: c["activations"][0].update(threshold=1e39), "that float32 holds, not 1e\\+39"),
            (lambda c: c["activations"][0].update(threshold=1e-42), "that float32 holds, not 1e-42"),
            (
                lambda c: c["activations"][0].update(threshold=float("nan")),
                r"activations\[0\].threshold must be a finite number, not nan",
            ),
            (
                lambda c: c["activations"][0]["observed"].update(low=float("-inf")),
                r"activations\[0\].observed.low must be a finite number, not -inf",
            ),
            (
                lambda c: c["activations"][0]["observed"].update(high=10**400),
                r"activations\[0\].observed.high must be a number of at most 9223372036854775807, not 1000",
            ),
            (lambda c: c.update(samples=10**400), "samples must be a number of at most"),
            (
                lambda c: c["activations"][0]["errors"].update(mse=float("inf")),
                r"activations\[0\].errors.mse must be a finite number",
            ),
            (lambda c: c["activations"][0].update(threshold="1"), r"activations\[0\].threshold must be a number"),
            (lambda c: c["activations"].append(c["activations"][0]), "more than one scale"),
            (lambda c: c.update(activations=[]), "activations is empty"),
        ],
    )
    def test_wrong_content(self, change: Callable[[Any], object], said: str, table: ScaleTable, tmp_path: Path) -> None:
        """Each wrong field is named, with the file."""
        content = json.loads(json.dumps(table.to_json()))
        change(content)
        path = tmp_path / "scales.json"
        path.write_text(json.dumps(content))

        with pytest.raises(ArtifactError, match=said) as caught:
            read_table(path)
        assert str(path) in str(caught.value)

    def test_no_file_and_no_json(self, tmp_path: Path) -> None:
        """What is not there and what is not JSON."""
        with pytest.raises(InputError, match="mambapro calibrate"):
            read_table(tmp_path / "scales.json")
        (tmp_path / "scales.json").write_text("scales")
        with pytest.raises(ArtifactError, match="cannot be read"):
            read_table(tmp_path / "scales.json")
