"""The plugin in Python, on a stand-in for TensorRT's classes: what it answers, and what it launches."""

from __future__ import annotations

import ctypes
import gc
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mambapro.errors import InputError, SetupError
from mambapro.plugins.selective_scan.cuda import launch
from mambapro.plugins.selective_scan.schema import NODE_ATTRIBUTES, ScanShape
from mambapro.plugins.selective_scan.tensorrt import registration, variants

KINDS = {name: SimpleNamespace(name=name) for name in ("FLOAT", "HALF", "BF16", "INT8")}
LINEAR, OTHER_FORMAT = SimpleNamespace(name="LINEAR"), SimpleNamespace(name="HWC")
SIZES = ScanShape(2, 7, 12, 3, 4)


class Registry:
    """IPluginRegistry."""

    def __init__(self) -> None:
        self.all_creators: list[Any] = []

    def register_creator(self, creator: Any, namespace: str) -> bool:
        assert namespace == creator.plugin_namespace
        self.all_creators.append(creator)
        return True


def interface() -> type:
    """A class like those of TensorRT's bindings, whose objects must be initialised for each of them."""
    return type("Interface", (), {"__init__": lambda self: None})


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module like tensorrt, with nothing registered."""
    monkeypatch.setattr(registration, "_REGISTERED", {})
    registry = Registry()
    names = ("IPluginV3", "IPluginV3OneCore", "IPluginV3OneBuild", "IPluginV3OneRuntime", "IPluginCreatorV3One")

    class Module(SimpleNamespace):
        __hash__ = object.__hash__  # type: ignore[assignment]

    return Module(
        __name__="tensorrt",
        __version__="10.3.0",
        get_plugin_registry=lambda: registry,
        PluginFieldCollection=list,
        PluginField=lambda name, data, kind: SimpleNamespace(name=name, data=data, type=kind),
        PluginFieldType=SimpleNamespace(INT32="INT32"),
        TensorFormat=SimpleNamespace(LINEAR=LINEAR),
        DimsExprs=list,
        **{name: interface() for name in names},
    )


def plugin(trt: Any, fields: list[Any] | None = None) -> Any:
    """A plugin as TensorRT makes it for a node or an engine."""
    variants.register(trt, "python")
    return trt.get_plugin_registry().all_creators[0].create_plugin("scan", fields or [], None)


def shapes(sizes: ScanShape) -> list[tuple[int, ...]]:
    """Of the seven inputs and the output."""
    u, b = sizes[:3], (*sizes[:2], *sizes[3:])
    return [u, u, (sizes.channels, sizes.state), b, b, (sizes.channels,), (sizes.channels,), u]


def descs(kind: str, sizes: ScanShape) -> list[Any]:
    """DynamicPluginTensorDesc of every tensor: a batch of 1 to twice the usual."""
    found = []
    for i, shape in enumerate(shapes(sizes)):
        own = KINDS["FLOAT" if i in (2, 5, 6) else kind]
        least, most = ((1, *shape[1:]), (2 * shape[0], *shape[1:])) if len(shape) > 2 else (shape, shape)
        desc = SimpleNamespace(dims=shape, type=own, format=LINEAR)
        found.append(SimpleNamespace(desc=desc, min=least, opt=shape, max=most))
    return found


class TestBuilding:
    def test_output_type(self, trt: Any) -> None:
        """y has the type of u; other types are refused by name."""
        half = [x.desc.type for x in descs("HALF", SIZES)[:7]]

        assert plugin(trt).get_output_data_types(half) == [KINDS["HALF"]]
        with pytest.raises(InputError, match="A is float16"):
            plugin(trt).get_output_data_types([KINDS["HALF"]] * 7)
        with pytest.raises(InputError, match=r"it has 7 inputs .* got 6"):
            plugin(trt).get_output_data_types(half[:6])

    def test_formats(self, trt: Any) -> None:
        """Every tensor is LINEAR, and of its own type."""
        tensors, scan = descs("BF16", SIZES), plugin(trt)

        assert all(scan.supports_format_combination(i, tensors, 7) for i in range(8))
        for i in range(8):
            right = tensors[i].desc
            for wrong in ({"format": OTHER_FORMAT}, {"type": KINDS["HALF"]}, {"type": KINDS["INT8"]}):
                if i == 0 and wrong == {"type": KINDS["HALF"]}:
                    continue
                tensors[i].desc = SimpleNamespace(**{**vars(right), **wrong})
                assert not scan.supports_format_combination(i, tensors, 7), (i, wrong)
            tensors[i].desc = right

    @pytest.mark.parametrize(("state", "tactics"), [(1, [1, 4, 16]), (16, [1, 4, 16]), (17, [4, 16]), (64, [4, 16])])
    def test_tactics(self, trt: Any, state: int, tactics: list[int]) -> None:
        """TensorRT times the splits that have a kernel for the state it was configured for."""
        scan = plugin(trt)
        tensors = descs("FLOAT", SIZES._replace(state=state))
        scan.configure_plugin(tensors[:7], tensors[7:])

        assert scan.get_valid_tactics() == tactics
        assert scan.clone().get_valid_tactics() == tactics

    def test_every_shape_of_a_profile_is_checked(self, trt: Any) -> None:
        """A profile whose largest shapes do not go together is refused."""
        tensors = descs("FLOAT", SIZES)
        tensors[1].max = (2, 8, 12)

        with pytest.raises(InputError, match="delta must have shape"):
            plugin(trt).configure_plugin(tensors[:7], tensors[7:])

    def test_the_chosen_split_is_serialised(self, trt: Any) -> None:
        """What set_tactic chose is in the engine's fields, and a plugin made from them has it, as have its clones."""
        scan = plugin(trt)
        scan.set_tactic(16)

        fields = scan.get_fields_to_serialize()

        assert [(field.name, list(field.data), field.type) for field in fields] == [("lanes", [16], "INT32")]
        again = plugin(trt, fields)
        assert (again.lanes, again.clone().lanes, again.attach_to_context(None).lanes) == (16, 16, 16)

    def test_a_serialised_field_stays_where_it_is(self, trt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """TensorRT's fields are raw pointers: what they point to lives as long as the plugin, and says the latest."""
        read: list[tuple[weakref.ref[np.ndarray], int]] = []

        def by_address(name: str, data: np.ndarray, kind: str) -> str:
            read.append((weakref.ref(data), data.ctypes.data))
            return name

        monkeypatch.setattr(trt, "PluginField", by_address)
        scan = plugin(trt)
        for lanes in (4, 16):
            scan.set_tactic(lanes)
            scan.get_fields_to_serialize()
        gc.collect()

        assert all(array() is not None for array, _ in read)
        assert [ctypes.c_int32.from_address(address).value for _, address in read] == [16, 16]

    def test_attributes_of_the_node_are_passed_over(self, trt: Any) -> None:
        """plugin_namespace and plugin_version, should they arrive as fields, change nothing."""
        fields = [SimpleNamespace(name=name, data=value.encode()) for name, value in NODE_ATTRIBUTES.items()]

        assert plugin(trt, fields).lanes == 0

    def test_three_lanes_are_refused(self, trt: Any) -> None:
        """A split there is no kernel for is refused, from a field and from a tactic."""
        with pytest.raises(InputError, match=r"lanes must be one of .*, got 3"):
            plugin(trt).set_tactic(3)
        with pytest.raises(InputError, match=r"lanes must be one of .*, got 3"):
            plugin(trt, [SimpleNamespace(name="lanes", data=np.array([3]))])


class TestRunning:
    @pytest.mark.parametrize(("kind", "ours"), [("FLOAT", "float32"), ("HALF", "float16"), ("BF16", "bfloat16")])
    def test_enqueue(self, trt: Any, monkeypatch: pytest.MonkeyPatch, kind: str, ours: str) -> None:
        """The kernel is loaded when the shapes are told, and launched on TensorRT's addresses and stream."""
        calls: list[tuple[Any, ...]] = []
        for name in ("prepare", "forward"):
            monkeypatch.setattr(launch, name, lambda *arguments, name=name: calls.append((name, *arguments)))
        plain = [x.desc for x in descs(kind, SIZES)]
        scan = plugin(trt)
        scan.set_tactic(4)

        scan.on_shape_change(plain[:7], plain[7:])
        scan.enqueue(plain[:7], plain[7:], list(range(100, 107)), [200], 0, 300)

        assert calls == [("prepare", SIZES, ours, 4), ("forward", SIZES, ours, list(range(100, 107)), 200, 4, 300)]

    def test_shapes_of_a_call_are_checked(self, trt: Any) -> None:
        """Shapes that do not go together never reach a kernel."""
        plain = [x.desc for x in descs("FLOAT", SIZES)]
        plain[5].dims = (13,)

        with pytest.raises(InputError, match="D must have shape"):
            plugin(trt).on_shape_change(plain[:7], plain[7:])


class TestRegistering:
    def test_twice_is_once(self, trt: Any) -> None:
        """Registering the same front again changes nothing."""
        variants.register(trt, "python")
        variants.register(trt, "python")

        (creator,) = trt.get_plugin_registry().all_creators
        node = {"plugin_namespace": creator.plugin_namespace, "plugin_version": creator.plugin_version}
        assert node == NODE_ATTRIBUTES
        assert list(creator.field_names) == []

    def test_beside_another_front_it_is_refused(self, trt: Any) -> None:
        """Where the library's plugin has the name, the Python front is refused and the registry stays as it is."""
        variants.register(trt, "python")
        registration.remember(trt, "library")

        with pytest.raises(SetupError, match="by the variant 'library' already"):
            variants.register(trt, "python")
        assert len(trt.get_plugin_registry().all_creators) == 1
