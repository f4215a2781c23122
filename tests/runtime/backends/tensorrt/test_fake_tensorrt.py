"""The fakes of TensorRT are held to what is real: the listings of the bindings. For the driver see test_cuda_memory."""

from __future__ import annotations

import json
from importlib import metadata

import fake_trt
import pytest
from fake_cuda import FakeDriver
from fake_surface import GENERATIONS, fake_module, listing, members
from list_surface import surface


class TestListings:
    def test_all_generations_are_there(self):
        """Two of TensorRT 10, one of 11, one of TensorRT-RTX, each of the version that its name tells."""
        assert {name: listing(name)["version"].split(".")[:2] for name in GENERATIONS} == {
            "10.3": ["10", "3"],
            "10.12": ["10", "12"],
            "11.4": ["11", "4"],
            "rtx": ["1", "7"],
        }

    def test_they_tell_the_generations_apart(self):
        """What is known to differ differs: flags that went, arguments that came."""
        assert "FP16" in listing("10.12")["classes"]["BuilderFlag"]["values"]
        assert "FP16" not in listing("11.4")["classes"]["BuilderFlag"]["values"]
        assert "create_execution_context_without_device_memory" in members("10.3", "ICudaEngine")
        assert "create_execution_context_without_device_memory" not in members("11.4", "ICudaEngine")
        assert "cuda_graph_strategy" in members("rtx", "IRuntimeConfig")
        assert "IRuntimeConfig" not in listing("10.3")["classes"]

    def test_the_one_of_the_installed_bindings_is_theirs(self):
        """Listed anew, TensorRT-RTX gives what the file holds."""
        try:
            version = metadata.version("tensorrt-rtx")
        except metadata.PackageNotFoundError:
            pytest.skip("TensorRT-RTX is not installed")
        if version != listing("rtx")["version"]:
            pytest.skip(f"the listing is of TensorRT-RTX {listing('rtx')['version']}, installed is {version}")
        from mambapro.plugins.tensorrt.rtx import import_tensorrt_rtx

        found = json.loads(json.dumps(surface(import_tensorrt_rtx())))

        for name, kind in listing("rtx")["classes"].items():
            assert found["classes"][name] == kind

    def test_the_fakes_bring_nothing_of_their_own(self):
        """Every public member of a fake class is in the listing of some generation."""
        trt = {name: fake_trt.fake_tensorrt(name, FakeDriver()) for name in GENERATIONS}
        for name in ("Runtime", "ICudaEngine", "IExecutionContext", "IPluginRegistry", "ILogger", "Logger"):
            real = set().union(*(members(generation, name) for generation in GENERATIONS))

            own = {attribute for attribute in vars(getattr(fake_trt, name)) if not attribute.startswith("_")}

            assert own <= real, name
            assert all(hasattr(module, name) for module in trt.values())


class TestHeldModule:
    def test_what_a_generation_lacks_is_an_attribute_error(self):
        """On the module, on its objects, and where it is set."""
        trt = fake_module("10.3", {"ICudaEngine": type("ICudaEngine", (), {"create_runtime_config": lambda self: 0})})

        with pytest.raises(AttributeError, match=r"tensorrt 10\.3\.0 has no IRuntimeConfig"):
            _ = trt.IRuntimeConfig
        with pytest.raises(AttributeError, match="ICudaEngine has no create_runtime_config"):
            trt.ICudaEngine().create_runtime_config()
        with pytest.raises(AttributeError, match="has no nonsense to set"):
            trt.ICudaEngine().nonsense = 1
        with pytest.raises(AttributeError, match="has no IRuntimeConfig"):
            fake_module("10.3", {"IRuntimeConfig": type("IRuntimeConfig", (), {})})

    def test_what_the_fake_lacks_is_something_else(self):
        """NotImplementedError, for no test may take one for the other."""
        trt = fake_module("11.4", {"ICudaEngine": type("ICudaEngine", (), {})})

        with pytest.raises(NotImplementedError, match="has Builder, the fake does not"):
            _ = trt.Builder
        with pytest.raises(NotImplementedError, match=r"ICudaEngine\.num_layers"):
            _ = trt.ICudaEngine().num_layers

    def test_calls_have_the_real_arguments(self):
        """TypeError where number or names are none of the bindings' forms."""
        kind = type("ICudaEngine", (), {"get_tensor_name": lambda self, *args, **named: "x"})
        engine = fake_module("10.12", {"ICudaEngine": kind}).ICudaEngine()

        assert engine.get_tensor_name(0) == engine.get_tensor_name(index=0) == "x"
        for arguments, named in (((), {}), ((0, 1), {}), ((), {"number": 0})):
            with pytest.raises(TypeError, match="fits none of"):
                engine.get_tensor_name(*arguments, **named)

    def test_enumerations_are_the_listed_ones(self):
        """Values and names are real, two names of one value included."""
        trt = fake_module("10.3", {})

        assert (trt.DataType.BF16, trt.DataType(7).name) == (7, "BF16")
        assert trt.BuilderFlag.WEIGHTLESS is trt.BuilderFlag.STRIP_PLAN
        assert not hasattr(trt.DataType, "FP4")
