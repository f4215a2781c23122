"""ONNX files are judged by their bytes, before any library sees them."""

from __future__ import annotations

from pathlib import Path

import odd_graphs
import pytest
from mambapro.errors import ArtifactError
from mambapro.plugins.selective_scan.onnx.function import function_proto
from mambapro.plugins.selective_scan.schema import DOMAIN, OP_TYPE
from mambapro.runtime.bundle import onnx_wire
from mambapro.runtime.bundle.graph_check import VARIABLE, require_safe_file, require_safe_graph
from onnx import TensorProto, helper

GRAPHS = odd_graphs.odd_graphs()
WORDS = {
    "outside": "of its tensors in other files",
    "endless_loop": "holds Loop, which loops or branches",
    "nested_branches": "holds If, which loops or branches",
    "deep_branches": "nest more than 8 deep",
    "exploding": "nodes when its functions and branches are unfolded",
    "recursive": "calls itself",
    "scan_in_the_graph": "holds Scan, which loops",
    "scan_calls_function": "holds H, which loops",
    "many_fields": "more than 1,000,000 fields",
    "many_axes": "more than 64 axes",
    "no_graph": "holds no graph",
    "empty": "holds no graph",
}


@pytest.mark.parametrize("name", GRAPHS)
def test_odd_graphs_are_refused(name: str) -> None:
    """ArtifactError names the file and says what is wrong, with what the kind of file is known to have."""
    words = next((words for start, words in WORDS.items() if name.startswith(start)), "is not an ONNX file")

    with pytest.raises(ArtifactError, match=words) as caught:
        require_safe_graph(GRAPHS[name], Path("b.mambapro/model.onnx"))

    assert str(caught.value).startswith("b.mambapro/model.onnx ") and len(str(caught.value)) < 600


@pytest.mark.parametrize("name", [name for name in GRAPHS if name.startswith("outside")])
def test_outside_tensors_are_refused_whatever_is_allowed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option for foreign loops opens no other file."""
    monkeypatch.setenv(VARIABLE, "1")

    with pytest.raises(ArtifactError, match="in other files"):
        require_safe_graph(GRAPHS[name], "m.onnx")


def test_loops_may_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """MAMBAPRO_FOREIGN_GRAPHS=1 lets a Loop through, but nothing that explodes."""
    monkeypatch.setenv(VARIABLE, "1")

    require_safe_graph(GRAPHS["endless_loop"], "m.onnx")
    with pytest.raises(ArtifactError, match="unfolded"):
        require_safe_graph(GRAPHS["exploding_functions"], "m.onnx")


def test_plain_graphs_and_our_scan_pass(tmp_path: Path) -> None:
    """A graph without loops, and one with the product's own selective scan, in memory and as a file."""
    images = helper.make_tensor_value_info("u", TensorProto.FLOAT, None)
    scan = helper.make_node(OP_TYPE, ["u"] * 7, ["y"], domain=DOMAIN)
    graph = helper.make_graph([scan], "g", [images], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    ours = helper.make_model(graph, functions=[function_proto()])
    path = tmp_path / "ours.onnx"
    path.write_bytes(ours.SerializeToString())

    require_safe_graph(odd_graphs.plain_graph(), "m.onnx")
    require_safe_file(path, path)

    (body,) = onnx_wire.read_structure(memoryview(path.read_bytes())).functions[DOMAIN, OP_TYPE]
    assert [operator for operator, _ in body.inner] == ["Scan"]
    assert body.nodes == len(function_proto().node)


def test_every_single_bit_is_survived() -> None:
    """A flipped bit ends in ArtifactError that names the file, or in a graph that passes; never in another error."""
    content = GRAPHS["endless_loop"]
    messages = []
    for place in range(len(content) * 8):
        broken = bytearray(content)
        broken[place // 8] ^= 1 << place % 8
        try:
            require_safe_graph(bytes(broken), "m.onnx")
        except ArtifactError as error:
            messages.append(str(error))

    assert all("m.onnx" in message for message in messages)
    # the loop is found through most flips; some rename its operator, and then nothing is wrong with the graph
    assert len(content) * 4 < len(messages) < len(content) * 8


def test_numbers_of_fields_that_readers_cut_are_refused() -> None:
    """A tag beyond 32 bits, whose upper bits some libraries drop, cannot hide an outside tensor."""
    place = bytes([13 << 3 | 2])
    hidden = bytes([place[0] | 0x80, 0x80, 0x80, 0x80, 0x10])
    tensor = b"\x08\x04\x10\x01\x42\x01w"
    entry = b"\x0a\x08location\x12\x01x"

    def model(tag: bytes) -> bytes:
        body = tensor + tag + bytes([len(entry)]) + entry
        graph = bytes([5 << 3 | 2, len(body)]) + body
        return b"\x08\x09" + bytes([7 << 3 | 2, len(graph)]) + graph

    with pytest.raises(ArtifactError, match="in other files"):
        require_safe_graph(model(place), "m.onnx")
    with pytest.raises(ArtifactError, match="a number beyond 32 bits"):
        require_safe_graph(model(hidden), "m.onnx")
