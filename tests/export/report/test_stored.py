"""What others wrote is read strictly: parity.json, and the folder of a sensitivity analysis."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mambapro.errors import ArtifactError, InputError
from mambapro.export.pipeline import ExportReport
from mambapro.export.pytorch.parity_report import read_parity
from mambapro.export.report.sensitivity_folder import read_sensitivity
from mambapro.runtime.bundle.bundle import Bundle


def test_parity_is_what_the_export_wrote(exports: dict[str, ExportReport]) -> None:
    """Every number of the gate and of the stages comes back, without PyTorch."""
    for report in exports.values():
        found = read_parity(Bundle.open(report.bundle))

        assert found.max_departure == report.parity.max_departure and found.passed
        assert [vars(subset) for subset in found.subsets] == [vars(subset) for subset in report.parity.subsets]
        assert [vars(stage) for stage in found.stages] == [vars(stage) for stage in report.parity.stages]
    assert exports["fp32"].parity.stages


@pytest.mark.parametrize(
    ("change", "message"),
    (
        ({"surprise": 1}, "surprise is unknown"),
        ({"limit": "none"}, "limit must be a number"),
        ({"subsets": []}, "compares no samples"),
        ({"passed": False}, "passed do not follow"),
        ({"max_departure": 0.5}, "max_departure do not follow"),
        ({"role": "words"}, "role must be one of"),
    ),
)
def test_other_parity_is_refused(
    exports: dict[str, ExportReport], change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """Unknown, wrong or empty fields are named."""
    folder = tmp_path / "b.mambapro"
    shutil.copytree(exports["fp32"].bundle, folder)
    path = folder / "parity.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    with pytest.raises(ArtifactError, match=message):
        read_parity(Bundle.open(folder, verify=False))


def test_an_analysis_is_read(make_analysis: Callable[..., Path]) -> None:
    """Ranking, curve, policy and pictures."""
    found = read_sensitivity(make_analysis("ab" * 32))

    assert found.model == "ab" * 32
    assert found.ranking.entries[0].name == "backbone.layers.0.mlp.inner"
    assert found.pareto.points[found.pareto.chosen].milliseconds == 4.0
    assert found.policy.endswith('default = "int8"\n')
    assert set(found.pictures) == {"ranking.png", "pareto.png"}
    assert json.loads(json.dumps(found.to_json()))["pareto"]["chosen"] == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    (
        ({"pareto_json": None}, "pareto.json missing"),
        ({"ranking_json": "{"}, "cannot be read"),
        ({"ranking_json": {"entries": []}}, "grouping is missing"),
        ({"pareto_json": []}, "must be an object"),
        ({"ranking_png": b"GIF89a"}, "is not a PNG picture"),
        ({"ranking_png": b"\x89PNG\r\n\x1a\n" + b"\0" * 40}, "is not a PNG picture"),
        ({"pareto_png": b"\0" * 5_000_000}, "too much for a page"),
        ({"policy_toml": b"\xff\xfe"}, "is not text"),
    ),
)
def test_a_damaged_analysis_is_refused(
    make_analysis: Callable[..., Path], changed: dict[str, Any], message: str
) -> None:
    """Each damaged file is named with what is wrong."""
    with pytest.raises(ArtifactError, match=message):
        read_sensitivity(make_analysis(**changed))


@pytest.mark.parametrize(
    ("change", "message"),
    (
        (lambda pareto: pareto["points"][0].pop("front"), "fields are missing"),
        (lambda pareto: pareto["limits"].update(map_drop=2), "from 0 to 1"),
        (lambda pareto: pareto["limits"].update(surprise=2), "surprise is unknown"),
    ),
)
def test_a_curve_is_read_strictly(
    make_analysis: Callable[..., Path], change: Callable[[Any], Any], message: str
) -> None:
    """Fields with a default have to be there too, and limits are those that a command accepts."""
    pareto = json.loads((make_analysis() / "pareto.json").read_text())
    change(pareto)

    with pytest.raises(ArtifactError, match=message):
        read_sensitivity(make_analysis(pareto_json=pareto))


def test_pieces_of_two_analyses_are_refused(make_analysis: Callable[..., Path]) -> None:
    """A ranking and a curve of different measurements do not stand on one page."""
    folder = make_analysis("ab" * 32)
    shutil.copy(make_analysis("cd" * 32) / "pareto.json", folder)

    with pytest.raises(ArtifactError, match="not of one analysis"):
        read_sensitivity(folder)


def test_no_folder(tmp_path: Path) -> None:
    """A file, or nothing, is no analysis."""
    with pytest.raises(InputError, match="is not a folder"):
        read_sensitivity(tmp_path / "nothing")
