"""What each generation of TensorRT is told, by stand-ins of its objects that note what is set."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from mambapro.errors import ExportError, SetupError
from mambapro.export.engines.builder_config import builder_config, capabilities_of
from mambapro.export.engines.engine_options import EngineOptions
from mambapro.export.engines.messages import BuildRequest
from mambapro.export.engines.network import parsed_network, set_weak_types
from mambapro.plugins.tensorrt.versions import Generation

JOB = BuildRequest("a.onnx", "a.engine", "tensorrt", (1, 8, 32), 2, (), "same", False, "auto", None, None, None, False,
          ("NVIDIA A2", "8.6"))  # fmt: skip
STRONG = Generation(False, (10, 12))


class TestConfiguration:
    @staticmethod
    def configured(job: BuildRequest) -> Any:
        builder = MagicMock()
        network = SimpleNamespace(num_inputs=0)
        plugin: Any = SimpleNamespace(serialized=[])
        builder_config(MagicMock(), builder, network, job, STRONG, plugin)
        return builder.create_builder_config.return_value

    @pytest.mark.parametrize("tf32", [False, True])
    def test_tf32_only_where_asked_for(self, tf32: bool) -> None:
        """TensorRT has TF32 on by itself: it is switched off, unless it was asked for."""
        assert self.configured(replace(JOB, tf32=tf32)).clear_flag.called is not tf32

    def test_workspace(self) -> None:
        """The limit is set in bytes where there is one, and only there."""
        limited = self.configured(replace(JOB, workspace=12345))

        assert limited.set_memory_pool_limit.call_args.args[1] == 12345
        assert not self.configured(JOB).set_memory_pool_limit.called

    @pytest.mark.parametrize(("capability", "fits"), [("7.5", False), ("8.0", True), ("8.6", True), ("12.0", True)])
    def test_ampere_begins_at_8(self, capability: str, fits: bool) -> None:
        """hardware ampere+ is built on GPUs from 8.0 on."""
        job = replace(JOB, hardware="ampere+", gpu=("a GPU", capability))

        if fits:
            assert capabilities_of(None, job, STRONG) == (capability,)
        else:
            with pytest.raises(SetupError, match=r"8\.0 or later"):
                capabilities_of(None, job, STRONG)


class TestNetwork:
    @pytest.mark.parametrize(
        ("plugins", "kind", "fits"),
        [(2, "external", True), (1, "external", False), (0, "external", False), (0, "none", True), (1, "none", False)],
    )
    def test_every_scan_is_a_plugin(self, plugins: int, kind: str, fits: bool) -> None:
        """Of two scans both must have become plugins, and none where none is wanted."""
        trt = MagicMock(__version__="10.12.0")
        layers = [SimpleNamespace(type=trt.LayerType.PLUGIN_V3)] * plugins + [SimpleNamespace(type="other")]
        builder = MagicMock()
        network = builder.create_network.return_value
        network.num_layers, network.get_layer = len(layers), layers.__getitem__
        plugin: Any = SimpleNamespace(front="library", kind=kind)

        if fits:
            assert parsed_network(trt, builder, None, JOB, Generation(True, (1, 7)), plugin)[0] is network
        else:
            trt.__name__ = "tensorrt"
            with pytest.raises(ExportError, match=f"made {plugins} plugin layers of 2 scans"):
                parsed_network(trt, builder, None, JOB, Generation(True, (1, 7)), plugin)

    def test_float32_islands_are_held(self) -> None:
        """With weak types a softmax in float32 among float16 layers is bound to float32; what only moves is not."""
        trt = MagicMock()

        def layer(kind: Any, dtype: Any) -> MagicMock:
            made = MagicMock(type=kind, num_outputs=1, num_inputs=0, precision=None)
            made.get_output.return_value = SimpleNamespace(dtype=dtype, name="y")
            return made

        softmax, product = (
            layer(trt.LayerType.SOFTMAX, trt.DataType.FLOAT),
            layer(trt.LayerType.MATRIX_MULTIPLY, trt.DataType.HALF),
        )
        moved = layer(trt.LayerType.SHUFFLE, trt.DataType.FLOAT)
        layers = [softmax, product, moved]
        network = SimpleNamespace(num_layers=3, get_layer=layers.__getitem__)

        set_weak_types(trt, network, MagicMock())

        assert softmax.precision is trt.DataType.FLOAT
        softmax.set_output_type.assert_called_once_with(0, trt.DataType.FLOAT)
        assert product.precision is None and moved.precision is None


def test_external_plugin_under_its_old_name() -> None:
    """The name of release 0.1.0 is accepted with a warning."""
    with pytest.warns(DeprecationWarning, match="external"):
        assert EngineOptions(plugin="beside") == EngineOptions(plugin="external")
