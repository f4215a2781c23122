"""Finding, choosing and registering TensorRT's fronts, on the surface of TensorRT alone."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mambapro.plugins
import pytest
from mambapro.errors import InputError, SetupError
from mambapro.plugins.cuda import compiler as cuda_compiler
from mambapro.plugins.cuda.compiler import ARCHITECTURES
from mambapro.plugins.selective_scan.tensorrt import plugin_library, registration, variants
from mambapro.plugins.selective_scan.tensorrt.rules import NAME, NAMESPACE, PLUGIN_VERSION
from mambapro.plugins.tensorrt import importing

CSRC = Path(mambapro.plugins.__file__).parent / "selective_scan" / "tensorrt" / "csrc"


def fake_tensorrt(name: str = "tensorrt", version: str = "10.3.0", creators: tuple[Any, ...] = ()) -> Any:
    """The surface of a TensorRT module that finding and registering touch."""
    registry = SimpleNamespace(all_creators=list(creators))
    return SimpleNamespace(__name__=name, __version__=version, get_plugin_registry=lambda: registry)


OURS = SimpleNamespace(name=NAME, plugin_namespace=NAMESPACE, plugin_version=PLUGIN_VERSION)


class TestOneFront:
    def test_a_second_front_is_refused(self) -> None:
        """With the name taken by one front, registering another says which has it."""
        trt = fake_tensorrt("tensorrt_of_a_test", creators=(OURS,))
        registration.remember(trt, "library")

        assert registration.is_registered(trt, "library")
        with pytest.raises(SetupError, match=r"'library' already, so 'python' cannot be"):
            registration.is_registered(trt, "python")

    def test_a_strangers_plugin_is_refused(self) -> None:
        """A plugin of that name which this process's mambapro did not register counts as another front."""
        with pytest.raises(SetupError, match="code other than mambapro's"):
            registration.is_registered(fake_tensorrt("tensorrt_of_a_stranger", creators=(OURS,)), "aot")

    def test_other_names_do_not_matter(self) -> None:
        """A plugin of another namespace or version leaves the name free."""
        others = [SimpleNamespace(**{**vars(OURS), key: "other"}) for key in vars(OURS)]

        assert not registration.is_registered(fake_tensorrt("free", creators=tuple(others)), "aot")

    def test_a_registry_that_took_nothing_is_an_error(self) -> None:
        """If the plugin is not there afterwards, registering has failed."""
        with pytest.raises(SetupError, match="did not take the plugin"):
            registration.remember(fake_tensorrt("deaf"), "python")


class TestHeaders:
    @pytest.mark.parametrize(
        ("text", "version"),
        [
            (
                "#define NV_TENSORRT_MAJOR 10 //!<\n#define NV_TENSORRT_MINOR 3\n#define NV_TENSORRT_PATCH 0\n",
                (10, 3, 0),
            ),
            (
                "#define X_MAJOR 11\n#define NV_TENSORRT_MAJOR X_MAJOR\n"
                "#define NV_TENSORRT_MINOR 1\n#define NV_TENSORRT_PATCH 2\n",
                (11, 1, 2),
            ),
        ],
    )
    def test_version(self, tmp_path: Path, text: str, version: tuple[int, int, int]) -> None:
        """The version is read in the form of TensorRT 10.3 and in that of 11."""
        (tmp_path / "NvInferVersion.h").write_text(text)

        assert plugin_library.headers_version(tmp_path) == version

    def test_headers_without_version(self, tmp_path: Path) -> None:
        """A folder that tells no version is refused."""
        with pytest.raises(SetupError, match="does not tell TensorRT's version"):
            plugin_library.headers_version(tmp_path)

    def test_missing_headers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error says where it looked and that pip packages do not bring headers."""
        monkeypatch.setenv("TENSORRT_INCLUDE_DIR", str(tmp_path))

        with pytest.raises(SetupError, match=re.escape(str(tmp_path)) + ".*not with its pip packages"):
            plugin_library.include_folder()

    @pytest.mark.parametrize(
        ("name", "version", "headers", "fits"),
        [
            ("tensorrt", "10.9.0", (10, 3, 0), True),
            ("tensorrt", "11.4.0", (10, 3, 0), False),
            ("tensorrt", "10.9.0", (11, 1, 0), False),
            ("tensorrt_rtx", "1.7.1", (11, 1, 0), True),
            ("tensorrt_rtx", "1.7.1", (1, 7, 0), True),
            ("tensorrt_rtx", "1.7.1", (10, 3, 0), False),
        ],
    )
    def test_major_versions_have_to_fit(
        self, name: str, version: str, headers: tuple[int, int, int], fits: bool
    ) -> None:
        """A library for TensorRT 10 is not loaded into 11, nor the other way round."""
        trt = fake_tensorrt(name, version)

        if fits:
            plugin_library.check_headers(trt, headers)
        else:
            with pytest.raises(SetupError, match="the headers are those of TensorRT"):
                plugin_library.check_headers(trt, headers)

    def test_sources_exist_and_cmake_reads_the_same_list(self) -> None:
        """There is one list of sources, and CMake builds for the same architectures."""
        cmake = (CSRC / "CMakeLists.txt").read_text()

        assert [path for path in plugin_library.sources() if not path.is_file()] == []
        assert "tensorrt_sources.txt" in cmake
        assert f"set(architectures {' '.join(ARCHITECTURES)})" in cmake


class TestFronts:
    def test_reasons(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """For a TensorRT without any of it every front says why it cannot be used."""
        monkeypatch.setenv("TENSORRT_INCLUDE_DIR", str(tmp_path))

        reasons = variants.unavailable(fake_tensorrt("tensorrt_that_is_old", "8.6.1"))

        assert {front: bool(reason) for front, reason in reasons.items()} == dict.fromkeys(variants.FRONTS, True)
        assert "headers were not found" in str(reasons["library"])
        assert "10.9" in str(reasons["aot"])
        assert "IPluginV3OneBuild" in str(reasons["python"])

    def test_no_compiler(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """With headers but no nvcc the library's front says so."""

        def missing() -> Path:
            raise SetupError("no CUDA compiler found")

        version = "#define NV_TENSORRT_MAJOR 10\n#define NV_TENSORRT_MINOR 3\n#define NV_TENSORRT_PATCH 0\n"
        (tmp_path / "NvInferVersion.h").write_text(version)
        (tmp_path / "NvInferRuntime.h").touch()
        monkeypatch.setenv("TENSORRT_INCLUDE_DIR", str(tmp_path))
        monkeypatch.setattr(cuda_compiler, "nvcc", missing)

        assert plugin_library.available(fake_tensorrt()) == "no CUDA compiler found"

    def test_unknown_names(self) -> None:
        """A front or a TensorRT that does not exist is refused with those that do."""
        with pytest.raises(InputError, match="library, aot, python"):
            variants.register(fake_tensorrt(), "c++")
        with pytest.raises(InputError, match="tensorrt, tensorrt_rtx"):
            importing.import_module("tensorrt_lean")

    def test_a_front_that_cannot_be_used(self) -> None:
        """Registering it raises the reason."""
        with pytest.raises(SetupError, match=r"the variant 'python' cannot be used: .* lacks IPluginV3OneBuild"):
            variants.register(fake_tensorrt("tensorrt_that_is_old", "8.6.1"), "python")
