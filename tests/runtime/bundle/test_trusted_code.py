"""Code in a bundle is loaded where the caller asked for it, and nowhere else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from mambapro.common.files.atomic import sha256_of
from mambapro.runtime import loader, selection
from mambapro.runtime.bundle.artifact import EngineNeeds, Plugin, Sidecar
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.catalog import add_artifact
from mambapro.runtime.bundle.checksums import MODEL
from mambapro.runtime.run_options import RunOptions
from mambapro.runtime.selection import why_not


class TestCode:
    """Code in a bundle is loaded where the caller asked for it, and nowhere else."""

    def test_a_plugin_under_its_old_name(self) -> None:
        """Bundles of release 0.1.0 call an external plugin "beside"."""
        assert Plugin("beside", "tensorrt-fp16.so", "0" * 64) == Plugin("external", "tensorrt-fp16.so", "0" * 64)

    @pytest.mark.parametrize(
        ("plugin", "version_compatible", "word"),
        [
            (Plugin("external", "tensorrt-fp16.so", "0" * 64), False, "a plugin library"),
            (Plugin("embedded", None, "0" * 64), False, "a plugin library"),
            (Plugin("none"), True, "a runtime of TensorRT"),
            (Plugin("embedded"), False, None),
            (Plugin("external"), False, None),
            (Plugin("none"), False, None),
        ],
    )
    def test_engines_that_hold_code(
        self,
        plugin: Plugin,
        version_compatible: bool,
        word: str | None,
        with_int8: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Such an engine is not taken, and the reason names the switch; with it, or without code, it is."""
        monkeypatch.setattr(selection, "_verdict", lambda *_: None)
        bundle = Bundle.open(with_int8)
        needs = EngineNeeds("10.12.0.36", ("8.6",), "same", version_compatible, "linux-x86_64", plugin)
        engine = replace(bundle.artifacts[1], target="tensorrt", engine=needs)

        reason = why_not(bundle, engine, RunOptions())

        assert reason is None if word is None else f"holds code ({word})" in str(reason)
        assert word is None or "load_plugins=True (--load-plugins)" in str(reason)
        assert why_not(bundle, engine, RunOptions(load_plugins=True)) is None

    @pytest.mark.parametrize("trusted", [False, True])
    def test_what_the_backend_may_load(
        self,
        trusted: bool,
        with_int8: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        sidecar_of: Callable[..., Sidecar],
    ) -> None:
        """The library beside an engine, and code inside of one, reach TensorRT only with load_plugins."""
        from mambapro.runtime.backends.tensorrt import backend as tensorrt

        (tmp_path / "scan").write_bytes(b"library")
        plugin = Plugin("external", "tensorrt-fp16.so", sha256_of(tmp_path / "scan"))
        needs = EngineNeeds("10.12.0.36", ("8.6",), "same", False, "linux-x86_64", plugin)
        shutil.copyfile(with_int8 / MODEL, tmp_path / "plan")
        made = sidecar_of(tmp_path / "plan", "tensorrt", "fp16", engine=needs)
        add_artifact(with_int8, made, {made.file: tmp_path / "plan", "tensorrt-fp16.so": tmp_path / "scan"})
        given: list[dict] = []

        metadata = Bundle.open(with_int8).metadata
        inputs, outputs = ([tensor.name for tensor in side] for side in (metadata.inputs, metadata.outputs))

        def backend(*_: object, plugin_library: Path | None, **options: object) -> SimpleNamespace:
            # the library is a copy that lives while the engine is loaded
            given.append({**options, "library": plugin_library and plugin_library.read_bytes()})
            return SimpleNamespace(inputs=inputs, outputs=outputs)

        monkeypatch.setattr(tensorrt, "TensorRtBackend", backend)

        loader.open_backend(Bundle.open(with_int8), made, RunOptions(load_plugins=trusted))

        assert given == [{"library": b"library" if trusted else None, "host_code": trusted}]
