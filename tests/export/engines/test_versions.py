"""Building with every generation of TensorRT: what each is told, held to what the real bindings of it have."""

from __future__ import annotations

import json
import logging
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import pytest
from fake_builder import builder_parts
from fake_cuda import FakeDriver
from fake_surface import Module
from fake_trt import fake_tensorrt
from mambapro.errors import ExportError, InputError, SetupError
from mambapro.export.engines import plugin, timing_cache
from mambapro.export.engines.messages import BuildRequest, BuildResult
from mambapro.export.engines.timing_cache import cache_file
from mambapro.export.engines.worker import build
from mambapro.plugins.compile import cxx_compiler
from mambapro.plugins.tensorrt.versions import generation_of

GPU = ("NVIDIA Orin", "8.7")
GENERATIONS = ("10.3", "10.12", "11.4")


def fake(generation: str, version: str | None = None, **faults: Any) -> Module:
    """A TensorRT that builds."""
    return fake_tensorrt(generation, FakeDriver(), version, more=builder_parts(generation, **faults))


def job(file: Path, plan: Path, **changes: Any) -> BuildRequest:
    """A job for a file of the tiny model."""
    usual = {
        "library": "tensorrt",
        "batches": (1, 8, 32),
        "scans": 4,
        "compute_capabilities": (),
        "hardware": "same",
        "version_compatible": False,
        "plugin": "auto",
        "plugin_library": None,
        "workspace": None,
        "timing_cache": str(plan.parent / "timing"),
        "tf32": False,
        "gpu": GPU,
    }
    return BuildRequest(onnx=str(file), plan=str(plan), **{**usual, **changes})


def built(trt: Module, file: Path, folder: Path, **changes: Any) -> tuple[BuildResult, dict[str, Any], list[Any]]:
    """What building came to, the plan, and the events."""
    events: list[Any] = []
    done = build(trt, job(file, folder / "x.engine", **changes), lambda *event: events.append(event))
    return done, json.loads((folder / "x.engine").read_bytes()), events


class TestTypes:
    @pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
    @pytest.mark.parametrize("generation", ["10.12", "11.4"])
    def test_strongly_typed(self, files: dict, generation: str, precision: str, tmp_path: Path) -> None:
        """From 10.12 the types of the file are the types: no flag of a precision, no constraint."""
        done, plan, _ = built(fake(generation), files[precision], tmp_path)

        assert plan["built"]["strong"]
        assert plan["built"]["flags"] == []
        assert plan["built"]["constrained"] == 0
        assert (done.plugin_layers, done.capabilities) == (4, ("8.7",))

    @pytest.mark.parametrize(
        ("precision", "flags"),
        [
            ("fp32", set()),
            ("fp16", {"FP16", "OBEY_PRECISION_CONSTRAINTS"}),
            ("bf16", {"BF16", "OBEY_PRECISION_CONSTRAINTS"}),
            ("int8", {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"}),
        ],
    )
    def test_weakly_typed(self, files: dict, precision: str, flags: set[str], tmp_path: Path) -> None:
        """10.3 gets a flag for each type in the file, and its float32 islands are held by constraints."""
        done, plan, _ = built(fake("10.3"), files[precision], tmp_path)

        assert not plan["built"]["strong"]
        assert set(plan["built"]["flags"]) == flags
        if precision != "fp32":
            assert {"NORMALIZATION", "SOFTMAX", "REDUCE"} <= set(plan["built"]["constraints"])
        model = onnx.load(files[precision])
        norms = sum(node.op_type == "LayerNormalization" for node in model.graph.node)
        assert plan["built"]["constrained"] >= (norms if flags else 0)
        assert done.layers == len(model.graph.node)

    def test_a_flag_of_another_generation_cannot_be_set(self, files: dict) -> None:
        """The fakes have the real names: 11 knows no FP16, 10.3 no SAME_COMPUTE_CAPABILITY."""
        with pytest.raises(AttributeError):
            _ = fake("11.4").BuilderFlag.FP16
        with pytest.raises(AttributeError):
            _ = fake("10.3").HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY

    def test_tf32(self, files: dict, tmp_path: Path) -> None:
        """Float32 products are float32 unless TF32 is asked for."""
        _, plan, _ = built(fake("11.4"), files["fp32"], tmp_path, tf32=True)

        assert plan["built"]["flags"] == ["TF32"]


class TestConfiguration:
    @pytest.mark.parametrize("generation", GENERATIONS)
    def test_profile_workspace_and_compatibility(self, files: dict, generation: str, tmp_path: Path) -> None:
        """Batch sizes, workspace, version- and hardware-compatibility reach the builder."""
        _, plan, _ = built(
            fake(generation),
            files["fp32"],
            tmp_path,
            batches=(2, 3, 5),
            workspace=1 << 28,
            version_compatible=True,
            hardware="ampere+",
        )

        assert plan["profiles"] == [[2, 3, 5]]
        assert plan["built"]["pools"] == {"WORKSPACE": 1 << 28}
        assert plan["built"]["flags"] == ["VERSION_COMPATIBLE"]
        assert plan["built"]["hardware"] == "AMPERE_PLUS"

    def test_a_hardware_level_that_is_not_there(self, files: dict, tmp_path: Path) -> None:
        """10.3 has no level for one compute capability, and says which there are."""
        _, plan, _ = built(fake("10.12"), files["fp32"], tmp_path, hardware="compute-capability")

        assert plan["built"]["hardware"] == "SAME_COMPUTE_CAPABILITY"
        with pytest.raises(InputError, match=r"10\.3\.0 has no hardware level compute-capability; take ampere"):
            built(fake("10.3"), files["fp32"], tmp_path, hardware="compute-capability")

    def test_ampere_needs_an_ampere(self, files: dict, tmp_path: Path) -> None:
        """An engine for all GPUs from 8.0 is not built on an older one."""
        with pytest.raises(SetupError, match=r"needs a GPU of 8\.0"):
            built(fake("11.4"), files["fp32"], tmp_path, hardware="ampere+", gpu=("Tesla T4", "7.5"))

    @pytest.mark.parametrize("generation", GENERATIONS)
    def test_progress(self, files: dict, generation: str, tmp_path: Path) -> None:
        """The nested phases of the builder arrive as percents that grow to 100."""
        _, _, events = built(fake(generation), files["fp32"], tmp_path)

        percents = [value for kind, value in events if kind == "percent"]
        assert percents == [12, 25, 37, 50, 100]

    def test_rtx(self, files: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """TensorRT-RTX gets the compute capabilities, and no timing cache."""
        # whatever other tests imported, the fake ends no process
        monkeypatch.setattr(plugin.variants.rtx, "trap", lambda: None)
        changes = {"library": "tensorrt_rtx", "gpu": None, "compute_capabilities": ("8.6", "12.0", "8.6")}
        done, plan, _ = built(fake("rtx"), files["fp16"], tmp_path, **changes)

        assert plan["built"]["capabilities"] == ["SM86", "SM120"]
        assert done.capabilities == ("8.6", "12.0")
        assert not (tmp_path / "timing").exists()
        done, _, _ = built(fake("rtx"), files["fp16"], tmp_path, **{**changes, "compute_capabilities": ()})
        assert done.capabilities == ("8.0", "8.6", "8.9", "12.0", "12.1")

    def test_rtx_refuses_what_it_does_not_know(self, files: dict, tmp_path: Path) -> None:
        """An unknown compute capability is named, with those that there are."""
        changes = {"library": "tensorrt_rtx", "gpu": None, "compute_capabilities": ("8.6", "9.0")}
        with pytest.raises(InputError, match=r"compute capability 9\.0; it knows 7\.5, 8\.0, 8\.6, 8\.9, 12\.0, 12\.1"):
            built(fake("rtx"), files["fp16"], tmp_path, **changes)


class TestTimingCache:
    def test_kept_and_shared(self, files: dict, tmp_path: Path) -> None:
        """Each build adds to one file of its GPU and version; a damaged one starts anew."""
        file = cache_file(tmp_path / "timing", "11.4.0.106", *GPU)
        for precision in ("fp32", "fp16"):
            built(fake("11.4"), files[precision], tmp_path)

        assert file.name == "tensorrt-11.4.0.106-nvidia-orin-8.7.cache"
        assert len(json.loads(file.read_text())) == 2
        file.write_bytes(b"\x00 damaged")
        built(fake("11.4"), files["fp32"], tmp_path)
        assert len(json.loads(file.read_text())) == 1

    def test_what_another_build_stored_meanwhile_stays(self, files: dict, tmp_path: Path) -> None:
        """A build that ends adds to what is there by then."""
        file = cache_file(tmp_path / "timing", "11.4.0.106", *GPU)
        trt = fake("11.4")
        parts = builder_parts("11.4")

        class Slow(parts["Builder"]):
            def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
                file.parent.mkdir()
                file.write_text('{"of another build": 2.0}')
                return super().build_serialized_network(network, config)

        Slow.__name__ = "Builder"
        trt = fake_tensorrt("11.4", FakeDriver(), more={**parts, "Builder": Slow})
        built(trt, files["fp32"], tmp_path)

        assert set(json.loads(file.read_text())) >= {"of another build"}
        assert len(json.loads(file.read_text())) == 2

    def test_builds_that_end_together(self, tmp_path: Path) -> None:
        """Nothing is lost where many builds store their timings at once, and no half file is ever seen."""
        file, trt = tmp_path / "timing" / "gpu.cache", fake("11.4")

        def finish(number: int) -> None:
            config = trt.IBuilderConfig()
            timing_cache.load(config, file)
            config.get_timing_cache()._found[str(number)] = 1.0
            timing_cache.store(config, file)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(finish, range(40)))

        assert set(json.loads(file.read_text())) == set(map(str, range(40)))
        assert sorted(path.name for path in file.parent.iterdir()) == ["gpu.cache", "gpu.lock"]

    def test_a_lock_that_is_a_link_empties_nothing(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """The timings are not kept, with a warning; the file that it leads to keeps its content."""
        file, trt, victim = tmp_path / "timing" / "gpu.cache", fake("11.4"), tmp_path / "victim"
        file.parent.mkdir()
        victim.write_text("precious")
        file.with_suffix(".lock").symlink_to(victim)
        config = trt.IBuilderConfig()
        timing_cache.load(config, file)

        with caplog.at_level(logging.WARNING, "mambapro"):
            timing_cache.store(config, file)

        assert victim.read_text() == "precious" and not file.exists()
        assert "are not kept" in caplog.text

    def test_timings_that_others_may_write_are_not_used(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A warning names the file and its mode; the build starts without."""
        file, trt = tmp_path / "timing" / "gpu.cache", fake("11.4")
        config = trt.IBuilderConfig()
        timing_cache.load(config, file)
        config.get_timing_cache()._found["kernel"] = 1.0
        timing_cache.store(config, file)
        file.chmod(0o666)

        again = trt.IBuilderConfig()
        with caplog.at_level(logging.WARNING, "mambapro"):
            timing_cache.load(again, file)

        assert again.get_timing_cache()._found == {}
        assert "may be written by others (mode 0666)" in caplog.text


def library(folder: Path, version: int, gpus: str = "compute_75") -> Path:
    """A stand-in for the plugin library: its functions for its version and for its GPUs."""
    source, path = folder / "library.cpp", folder / "libplugin.so"
    source.write_text(
        f'extern "C" int mambapro_tensorrt_headers() {{ return {version}; }}\n'
        f'extern "C" const char *mambapro_gpus() {{ return "{gpus}"; }}\n'
    )
    subprocess.run([cxx_compiler(), "-shared", "-fPIC", str(source), "-o", str(path)], check=True)
    return path


class TestPlugin:
    @pytest.mark.parametrize("generation", GENERATIONS)
    def test_none_takes_the_function(self, files: dict, generation: str, tmp_path: Path) -> None:
        """With plugin none nothing is registered, and there is no plugin layer."""
        done, plan, _ = built(fake(generation), files["fp32"], tmp_path, plugin="none")

        assert (done.plugin, done.front, done.plugin_layers) == ("none", None, 0)
        assert not plan["plugin"]

    def test_python_needs_no_compiler_and_says_what_it_needs(self, files: dict, tmp_path: Path) -> None:
        """Without a library `auto` registers the Python plugin, with a warning about where the engine runs."""
        done, _, events = built(fake("11.4"), files["fp32"], tmp_path)

        assert (done.plugin, done.front, done.plugin_library) == ("external", "python", None)
        assert any(kind == "log" and "runs where mambapro registers" in value[1] for kind, value in events)

    def test_embed_is_refused_where_it_cannot_be(
        self, files: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Embedding without library and without ahead-of-time plugins: both reasons, and what else there is."""
        monkeypatch.setenv("TENSORRT_INCLUDE_DIR", str(tmp_path))
        with pytest.raises(SetupError, match=r"library: TensorRT's headers were not found.*aot: .*--plugin external"):
            built(fake("10.3"), files["fp32"], tmp_path, plugin="embed")

    @pytest.mark.parametrize(("kind", "serialized"), [("embed", 1), ("auto", 1), ("external", 0)])
    def test_library(self, files: dict, tmp_path: Path, kind: str, serialized: int) -> None:
        """A given library is embedded in the engine, or external."""
        path = library(tmp_path, 110400)
        changes = {"plugin": kind, "plugin_library": str(path)}
        done, plan, _ = built(fake("11.4"), files["fp32"], tmp_path, **changes)

        assert plan["built"]["serialized"] == [str(path)] * serialized
        assert (done.plugin, done.front) == ("embedded" if serialized else "external", "library")
        assert done.plugin_library == str(path)
        assert done.plugin_layers == 4

    def test_library_of_another_tensorrt(self, files: dict, tmp_path: Path) -> None:
        """A library for TensorRT 10 is refused by 11, in words."""
        path = library(tmp_path, 101200)
        with pytest.raises(SetupError, match=r"libplugin\.so is for TensorRT 10\.12, not for tensorrt 11\.4"):
            built(fake("11.4"), files["fp32"], tmp_path, plugin_library=str(path))

    def test_library_for_other_gpus(self, files: dict, tmp_path: Path) -> None:
        """A library without code for the GPU is refused, with the GPUs that it is for."""
        path = library(tmp_path, 110400, "sm_80:sm_90:compute_120")
        with pytest.raises(SetupError, match=r"has code for compute capability 8\.0, 9\.0, 12\.0, not for 7\.5"):
            built(fake("11.4"), files["fp32"], tmp_path, plugin_library=str(path), gpu=("Tesla T4", "7.5"))
        # machine code for 8.0 runs on 8.7
        assert built(fake("11.4"), files["fp32"], tmp_path, plugin_library=str(path))[0].plugin_layers == 4

    def test_a_parser_that_refuses_says_where(self, files: dict, tmp_path: Path) -> None:
        """The parser's words arrive with the node: here a scan without plugin and without function."""
        model = onnx.load(files["fp32"])
        del model.functions[:]
        onnx.save(model, tmp_path / "bare.onnx")
        with pytest.raises(ExportError, match=r"cannot read .*not found: SelectiveScan \(at SelectiveScan node_"):
            built(fake("11.4"), tmp_path / "bare.onnx", tmp_path, plugin="none")

    def test_the_function_never_comes_in_silently(
        self, files: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A parser that takes the function where the plugin was asked for is an error."""
        monkeypatch.setattr(plugin.variants, "register", lambda trt, front: None)
        with pytest.raises(ExportError, match="made 0 plugin layers of 4 scans, not 4"):
            built(fake("11.4"), files["fp32"], tmp_path)


class TestFailures:
    @pytest.mark.parametrize(
        ("generation", "version"), [("10.3", "10.2.0"), ("11.4", "12.0.1"), ("rtx", "1.6.0"), ("rtx", "2.0.0")]
    )
    def test_versions_outside_the_range(self, generation: str, version: str) -> None:
        """Too old and too new are refused with the range and three ways out."""
        with pytest.raises(SetupError) as caught:
            generation_of(fake(generation, version))

        text = str(caught.value)
        assert version in text
        assert all(way in text for way in ("install one of them", "another machine", "--target onnxruntime"))

    def test_a_builder_without_memory(self, files: dict, tmp_path: Path) -> None:
        """A lack of memory is a SetupError with the builder's own words."""
        trt = fake("11.4", build_error="Requested size was 123 bytes: cuda error: out of memory.")
        with pytest.raises(SetupError, match="ran out of memory: Requested size was 123"):
            built(trt, files["fp32"], tmp_path)

    def test_a_builder_that_refuses(self, files: dict, tmp_path: Path) -> None:
        """Any other failure is an ExportError with the builder's words, and no plan is written."""
        with pytest.raises(ExportError, match="could not build the engine: Could not find any implementation"):
            built(fake("11.4", build_error="Could not find any implementation for node x"), files["fp32"], tmp_path)
        assert not (tmp_path / "x.engine").exists()
