"""What options become: sizes, numbers, fractions of points, bytes of MiB; without running anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from mambapro.calib.sensitivity import analysis as run
from mambapro.calib.sensitivity.pareto import Limits
from mambapro.cli.commands import sensitivity as sensitivity_command
from mambapro.cli.commands.build import build
from mambapro.cli.commands.check import check
from mambapro.cli.commands.evaluate import evaluate
from mambapro.cli.commands.export import export
from mambapro.cli.options import renamed
from mambapro.cli.options.building import (
    artifact_options,
    asked_precision,
    build_options,
    given_options,
    wanted_targets,
)
from mambapro.cli.options.shared import (
    ATTRIBUTE_DATASET,
    REID_DATASET,
    ImageSize,
    Numbers,
    allow_test_images_option,
    max_cosine_distance_option,
    run_options,
    switch_options,
)
from mambapro.errors import InputError
from mambapro.export.artifacts.build_options import QuantizeOptions
from mambapro.runtime.data.readers.benchmarks import benchmarks_of
from mambapro.runtime.data.task_names import ATTRIBUTES, RE_IDENTIFICATION
from mambapro.runtime.evaluation import evaluators


def called(decorate: Callable[[Any], Any], *arguments: str) -> dict[str, Any]:
    """Keyword arguments that a command of these options gets."""
    found: dict[str, Any] = {}

    @click.command()
    @decorate
    def command(**values: Any) -> None:
        names = [str(parameter.name) for parameter in click.get_current_context().command.params]
        found.update(values, given=given_options(names))

    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found


class TestValues:
    def test_height_comes_first(self) -> None:
        """256x128 is upright: 256 high, 128 wide."""
        assert ImageSize().convert("256x128", None, None) == (256, 128)
        assert ImageSize().convert("64X32", None, None) == (64, 32)

    @pytest.mark.parametrize("value", ["256", "0x128", "256x0", "256x-1", "256x128x3", "axb", ""])
    def test_no_size(self, value: str) -> None:
        """Anything else is refused with an example."""
        with pytest.raises(click.BadParameter, match="such as 256x128"):
            ImageSize().convert(value, None, None)

    def test_numbers(self) -> None:
        """Whole numbers from 1, in the order given."""
        assert Numbers().convert("8,1,32", None, None) == (8, 1, 32)

    @pytest.mark.parametrize("value", ["0", "1,0", "1,,2", "1,2,", "1.5", "-1", ""])
    def test_no_numbers(self, value: str) -> None:
        """Zero, negative numbers, fractions and gaps are refused."""
        with pytest.raises(click.BadParameter, match="such as 1,8"):
            Numbers().convert(value, None, None)


class TestWhatWasGiven:
    def test_switches(self) -> None:
        """A switch that was set counts whether it is on or off, a weight also where it is 0; others are left out."""
        values = called(switch_options, "--no-mamba", "--prompt", "--sie-coe", "0", "--image-size", "64x32")

        assert values["switches"] == {"mamba": False, "prompt": True, "sie_coe": 0.0}
        assert values["image_size"] == (64, 32)

    def test_where_it_runs(self) -> None:
        """Every option of where and how a bundle runs is handed on, under the extractor's names."""
        values = called(run_options, "--unverified", "--load-plugins", "--mode", "throughput", "--target", "openvino")

        assert values["running"] == {
            "device": "auto",
            "allow_fallback": False,
            "target": "openvino",
            "precision": None,
            "mode": "throughput",
            "load_plugins": True,
            "unverified": True,
            "cache": None,
        }

    def test_only_what_was_written(self) -> None:
        """Options left at their default were not given; one that was set to its default was."""
        values = called(build_options, "--profile", "1,8,32", "--force")

        assert sorted(values["given"]) == ["--force", "--profile"]

    def test_measures(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Re-ranking is done where it was asked for, with the paper's parameters."""
        seen: list[Any] = []

        def evaluated(path: Path, data: Path, dataset: str, options: Any, *_: object) -> None:
            seen.append(options)
            raise InputError("that is all")

        monkeypatch.setattr(evaluators, "evaluate_any_bundle", evaluated)
        for arguments in ((), ("--rerank",)):
            CliRunner().invoke(evaluate, [str(tmp_path), "--data", "d", "--dataset", "rgbnt201", *arguments])

        plain, reranked = seen
        # options that were not given are those of the model's task
        assert plain == {} and list(reranked) == ["reranking"]
        reranking = reranked["reranking"]
        assert (reranking.k1, reranking.k2, reranking.distance_weight) == (20, 6, 0.3)


class TestPrecision:
    def test_one_flag(self) -> None:
        """Without a flag it is fp32."""
        assert asked_precision(False, True, False) == "bf16"
        assert asked_precision(False, False, False) == "fp32"

    @pytest.mark.parametrize("flags", [(True, True, False), (False, True, True), (True, True, True)])
    def test_two_flags(self, flags: tuple[bool, ...]) -> None:
        """Two and three flags are refused."""
        with pytest.raises(click.UsageError, match="exclude each other"):
            asked_precision(*flags)

    @pytest.mark.parametrize(
        ("targets", "precision", "built"),
        [
            ((), "fp32", ()),
            ((), "fp16", ()),
            ((), "int8", ("onnxruntime",)),
            (("onnxruntime", "openvino"), "fp32", ("openvino",)),
            (("onnxruntime", "openvino"), "fp16", ("openvino",)),
            (("onnxruntime", "openvino"), "int8", ("onnxruntime", "openvino")),
        ],
    )
    def test_what_is_built(self, targets: tuple[str, ...], precision: str, built: tuple[str, ...]) -> None:
        """The exported model is ONNX Runtime's fp32 or fp16 already; everything else is built."""
        assert wanted_targets(targets, precision) == built


class TestArtifactOptions:
    @staticmethod
    def options(
        *arguments: str, targets: tuple[str, ...], precision: str | None = None, **more: Any
    ) -> tuple[Any, ...]:
        found: list[Any] = []

        @click.command()
        @build_options
        def command(calibration: dict[str, Any], engine: dict[str, Any], **gates: Any) -> None:
            quantize = QuantizeOptions(**calibration, **more)
            found.append(artifact_options(targets, precision, quantize, engine, **gates))

        result = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return found[0]

    def test_points_are_hundredths(self, tmp_path: Path) -> None:
        """--max-map-drop 1.5 allows a loss of 0.015."""
        (options,) = self.options(
            "--max-map-drop", "1.5", targets=("openvino",), precision="bf16", data=tmp_path, dataset="rgbnt201"
        )

        assert options.max_map_drop == pytest.approx(0.015)

    def test_without_a_limit(self) -> None:
        """The default is the precision's own."""
        assert self.options(targets=("openvino",), precision="bf16")[0].max_map_drop is None

    def test_mebibytes(self) -> None:
        """--workspace 512 is 512 MiB; the profile is smallest, usual, largest."""
        asked = ("--workspace", "512", "--profile", "1,4,16")
        engine = self.options(*asked, targets=("tensorrt-rtx",), precision="fp16")[0].engine

        assert engine.workspace == 512 * 1024 * 1024
        assert (engine.profile.smallest, engine.profile.usual, engine.profile.largest) == (1, 4, 16)
        assert engine.library == "tensorrt_rtx"

    def test_a_target_twice(self) -> None:
        """One that stands twice is built once, in the order given."""
        built = self.options(targets=("openvino", "openvino"), precision="bf16")

        assert [options.target for options in built] == ["openvino"]

    def test_scales_mean_int8(self, tmp_path: Path) -> None:
        """A table of scales without a precision asks for int8, as calibration images do."""
        (options,) = self.options("--scales", str(tmp_path / "s.json"), targets=("openvino",))

        assert options.precision_for("fp32") == "int8"


def test_old_names_are_accepted_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option of the last release does what its new name does; a value of that form stays a value."""
    warnings: list[str] = []
    monkeypatch.setattr(renamed.log, "warning", lambda text, *values: warnings.append(text % values))

    @click.command(cls=renamed.Command)
    @allow_test_images_option
    @max_cosine_distance_option("no default")
    @click.argument("rest", nargs=-1)
    def command(allow_test_images: bool, max_cosine_distance: float | None, rest: tuple[str, ...]) -> None:
        click.echo((allow_test_images, max_cosine_distance, rest))

    result = CliRunner().invoke(command, ["--insist", "--max-departure=0.5", "--", "--insist"], catch_exceptions=False)

    assert result.output == "(True, 0.5, ('--insist',))\n"
    assert [text.split(" now")[0] for text in warnings] == [
        "--insist is called --allow-test-images",
        "--max-departure is called --max-cosine-distance",
    ]


def test_limits_of_the_sensitivity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--max-map-drop 2 is a fraction of 0.02 to the search; --max-cosine-distance is taken as it is."""
    seen: list[Any] = []

    def options(*arguments: Any) -> None:
        seen.extend(argument for argument in arguments if isinstance(argument, Limits))
        raise InputError("that is all")

    monkeypatch.setattr(run, "SensitivityOptions", options)

    arguments = [str(tmp_path), "--calib", str(tmp_path), "--max-map-drop", "2", "--max-cosine-distance", "0.03"]
    result = CliRunner().invoke(sensitivity_command.sensitivity, arguments)

    assert isinstance(result.exception, InputError) and str(result.exception) == "that is all"
    assert (seen[0].map_drop, seen[0].departure) == (0.02, 0.03)


def test_old_names_of_values_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a value in release 0.1.0 is its new one, with a warning; other values stay."""
    warnings: list[str] = []
    monkeypatch.setattr(renamed.log, "warning", lambda text, *values: warnings.append(text % values))
    choice = renamed.Choice(("auto", "external"), renamed={"beside": "external"})

    assert [choice.convert(value, None, None) for value in ("auto", "beside")] == ["auto", "external"]
    assert warnings == ["beside is called external now; the old name goes with release 0.3.0"]


class TestDatasets:
    def test_names_are_those_of_the_registry(self) -> None:
        """The choices of --dataset are the benchmarks by task, so that none is forgotten."""
        assert REID_DATASET.choices == tuple(benchmarks_of(RE_IDENTIFICATION))
        assert set(benchmarks_of(ATTRIBUTES)) <= set(ATTRIBUTE_DATASET.choices)

    @pytest.mark.parametrize(
        ("kind", "name", "message"),
        [
            (
                REID_DATASET,
                "pa100k",
                "'pa100k' is not for re-identification, which this command is for. Give one of rgb",
            ),
            (ATTRIBUTE_DATASET, "msvr310", "'msvr310' is not for attribute recognition, which this command is for"),
        ],
    )
    def test_of_another_task(self, kind: click.ParamType, name: str, message: str) -> None:
        """A set for another task is refused by its name, with those that the command takes."""
        with pytest.raises(click.BadParameter, match=message):
            kind.convert(name, None, None)


@pytest.mark.parametrize("command", [export, build, check])
def test_help_of_both_tasks(command: click.Command) -> None:
    """Help of what gates any model names the metrics and the distance of attributes too, and no number of sensors."""
    text = " ".join(command.get_help(click.Context(command, terminal_width=200, max_content_width=200)).split())

    assert "mAP (attributes: of mA and F1)" in text and "of attributes largest difference of a logit" in text
    assert "seven sets" not in text and "the mAP of" not in text and "; mAP of" not in text
