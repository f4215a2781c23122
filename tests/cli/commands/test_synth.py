"""mambapro synth: attribute sets, and options of the other kind of benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from mambapro.cli.main import cli
from mambapro.errors import InputError


def run(*words: object) -> str:
    """Standard output of the command."""
    result = CliRunner().invoke(cli, ["synth", *map(str, words)])
    if result.exception:
        raise result.exception
    return result.stdout


def test_attribute_set(tmp_path: Path) -> None:
    """An attribute set is drawn with the options given, and reported as JSON."""
    out = tmp_path / "set"

    facts = json.loads(
        run("--out", out, "--dataset", "wider", "--images", 50, "--seed", 4, "--test-label-noise", 0.1, "--json")
    )

    assert (facts["dataset"], facts["images"], facts["train"] + facts["test"], facts["seed"]) == ("wider", 50, 50, 4)
    assert (facts["label_noise"], facts["test_label_noise"]) == (0.05, 0.1)
    assert len(list((out / "split_image").iterdir())) == 50


@pytest.mark.parametrize(
    ("dataset", "option"),
    [
        ("pa100k", "--train-identities"),
        ("msp60k", "--test-identities"),
        ("rgbnt201", "--label-noise"),
        ("msvr310", "--test-label-noise"),
    ],
)
def test_options_of_the_other_kind(tmp_path: Path, dataset: str, option: str) -> None:
    """An option that has no effect on the benchmark is refused by its name, and nothing is written."""
    value = 0.1 if "noise" in option else 4

    with pytest.raises(InputError, match=f"{option} has no effect on {dataset}"):
        run("--out", tmp_path / "set", "--dataset", dataset, option, value)

    assert list(tmp_path.iterdir()) == []
