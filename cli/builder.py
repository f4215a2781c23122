"""What `mambapro build` and `export` have in common: options become artifacts, errors come before long work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options.building import CALIBRATION, ENGINE, GATES, given_options
from .quantizing import Quantizer
from .terminal.console import needs, track

if TYPE_CHECKING:
    from ..export.artifacts.build_options import BuildOptions, BuildReport

#: What says something about int8 alone, about images, and about engines of TensorRT but not of TensorRT-RTX.
_INT8 = ("scales", "policy", "algorithm", "force")
_IMAGES = ("calib_images", "algorithm", "insist", "unpaired")
_TENSORRT = ("timing_cache",)


class Builder:
    """Builds artifacts as the options of `build_options` say; made before anything long is begun.

    Args:
        values: a command's keyword arguments; what belongs to `build_options` is taken out.
        targets: runtimes to build for; one that stands twice is built once.
        precision: None = that of the bundle, with calibration images or scales int8.
        base: precision of the exported model; None = not known yet.
        data, dataset: labelled images for the accuracy gate, which is not run without `data`: it takes long.
        more: other arguments of BuildOptions.

    Raises:
        click.UsageError: options that do not go together.
        InputError, SetupError: something that is not there, or a pair of target and precision that is not built.
    """

    def __init__(
        self,
        values: dict[str, Any],
        targets: tuple[str, ...],
        precision: str | None,
        base: str | None,
        data: Path | None,
        dataset: str | None,
        **more: Any,
    ) -> None:
        given = {name: values.pop(name) for name in (*CALIBRATION, *GATES, *ENGINE)}
        if data is not None and dataset is None:
            raise click.UsageError("--data needs --dataset, to know how to read it.")
        scaled = given["calib"] is not None or given["scales"] is not None
        self.precision = "int8" if precision is None and scaled else precision
        if base is not None and self.precision == "int8" and not scaled:
            raise click.UsageError("int8 needs calibration images (--calib) or a table of scales (--scales).")
        _refuse_idle(given, self.precision)
        _refuse_engine_options(targets)
        self.given, self.dataset, self.data = given, dataset, data
        drop = given["max_map_drop"]
        #: a fraction
        self.max_map_drop: float | None = None if drop is None else drop / 100
        if drop is not None and (self.data is None or not (targets or base == "fp16" or base is None)):
            raise click.UsageError(
                "--max-map-drop limits what fp16 or int8 loses on labelled images: give --data and --dataset too."
            )
        self.options = [self._options(target, base, more) for target in dict.fromkeys(targets)]
        self.calibration = {name: given[name] for name in CALIBRATION}
        self.quantizer(Path()).require_samples()  # a wrong folder, table or policy is told now as well

    def quantizer(self, bundle: Path) -> Quantizer:
        """Calibration of a bundle."""
        return Quantizer(bundle, self.dataset, self.data, **self.calibration)

    def build(self, bundle: Path) -> list[BuildReport]:
        """Build every target's artifact of a bundle."""
        from ..export.artifacts.build_artifact import build_artifact

        quantizer = self.quantizer(bundle)
        functions = quantizer.quantize, quantizer.range_check
        many = len(self.options) > 1
        all_of_them = track(self.options, "Building artifacts", len(self.options)) if many else self.options
        return [build_artifact(bundle, options, *functions, track) for options in all_of_them]

    def _options(self, target: str, base: str | None, more: dict[str, Any]) -> BuildOptions:
        with needs("calib"):
            from ..export.artifacts.build_checks import require_pair, require_target
            from ..export.artifacts.build_options import BuildOptions
            from ..export.engines.engine_options import EngineOptions

        engine = EngineOptions(**_engine_values({name: self.given[name] for name in ENGINE}))
        if base is not None and self.precision is not None:
            require_pair(target, self.precision, base)
        options = BuildOptions(
            target,
            self.precision,
            engine=replace(engine, library=target.replace("-", "_")) if target.startswith("tensorrt") else engine,
            force=self.given["force"],
            max_map_drop=self.max_map_drop,
            data=self.data,
            dataset=None if self.data is None else self.dataset,
            **more,
        )
        require_target(options)
        return options


def _refuse_idle(given: dict[str, Any], precision: str | None) -> None:
    """Options that would do nothing are a misunderstanding.

    Raises:
        click.UsageError: names them.
    """
    idle = given_options(_INT8)
    if idle and precision != "int8":
        raise click.UsageError(f"{', '.join(idle)} belong to int8; what is built is {precision or 'as the bundle'}.")
    if given["calib"] is not None and precision not in ("int8", "fp16"):
        raise click.UsageError(
            "--calib is for int8, and for the range check of float16. Leave it out, or say --int8 or --fp16 "
            "(build: --precision int8 or fp16)."
        )
    idle = given_options(_IMAGES)
    if idle and given["calib"] is None:
        raise click.UsageError(f"{', '.join(idle)} say how to calibrate, which needs images: give --calib.")
    if given["policy"] is not None and given["calib"] is None and given["scales"] is None:
        raise click.UsageError(
            "--policy needs scales to quantise with: give a table (--scales) or calibration images (--calib)."
        )


def _refuse_engine_options(targets: tuple[str, ...]) -> None:
    """What was said about engines, where none is built.

    Raises:
        click.UsageError: names the options.
    """
    idle = given_options(ENGINE)
    if idle and not any(target.startswith("tensorrt") for target in targets):
        what = ", ".join(dict.fromkeys(targets)) or "the exported model"
        raise click.UsageError(
            f"{', '.join(idle)} belong to --target tensorrt or tensorrt-rtx; what is built is {what}."
        )
    idle = given_options(_TENSORRT)
    if idle and "tensorrt" not in targets:
        raise click.UsageError(f"{', '.join(idle)} belong to --target tensorrt: TensorRT-RTX times nothing.")


def _engine_values(values: dict[str, Any]) -> dict[str, Any]:
    """Arguments of EngineOptions from those of the command line.

    Raises:
        click.UsageError: a profile that is not three numbers.
    """
    from ..runtime.bundle.artifact import Profile

    sizes, workspace = values["profile"], values["workspace"]
    if len(sizes) != 3:
        raise click.UsageError(f"--profile takes three batch sizes, such as 1,8,32, not {len(sizes)}.")
    return {**values, "profile": Profile(*sizes), "workspace": None if workspace is None else workspace << 20}
