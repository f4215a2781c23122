"""One list of cases, three faces: the definition, PyTorch, ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from mambapro.errors import InputError
from mambapro.plugins.selective_scan import reference
from mambapro.plugins.selective_scan.onnx_op import add_function, function_proto
from mambapro.plugins.selective_scan.schema import DOMAIN, INPUTS, NODE_ATTRIBUTES, OP_TYPE, check_shapes, check_types
from mambapro.plugins.selective_scan.torch_op import CHUNK, selective_scan
from onnx import TensorProto, helper
from reference_model import FOLDER

#: batch, length, channels, groups, state
CASES = [(1, 1, 4, 1, 1), (2, 7, 12, 3, 4), (3, CHUNK, 8, 2, 16), (1, CHUNK + 1, 8, 1, 16), (2, 130, 32, 1, 16)]
GOLDENS = ("c0", "c1", "c3", "c4", "c5")
IDS = ["b{}-l{}-c{}-g{}-n{}".format(*case) for case in CASES]


def inputs(case: tuple[int, ...], seed: int = 0) -> dict[str, np.ndarray]:
    """Random float64 inputs of a case, by name."""
    batch, length, channels, groups, state = case
    normal = np.random.default_rng(seed).standard_normal
    return {
        "u": normal((batch, length, channels)),
        "delta": normal((batch, length, channels)),
        "A": -np.exp(normal((channels, state))),
        "B": normal((batch, length, groups, state)),
        "C": normal((batch, length, groups, state)),
        "D": normal((channels,)),
        "delta_bias": normal((channels,)),
    }


def golden(case: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Recorded inputs and float64 output, in the operator's token-major layout."""
    with np.load(FOLDER / "selective_scan.npz") as arrays:
        values = {name: arrays[f"{case}_{name}"] for name in (*INPUTS, "y")}
    for name in ("u", "delta", "y", "B", "C"):
        values[name] = np.ascontiguousarray(values[name].transpose(0, 2, 1))
    for name in ("B", "C"):
        values[name] = values[name][:, :, None]
    return {name: values[name] for name in INPUTS}, values["y"]


def with_torch(arrays: dict[str, np.ndarray], dtype: torch.dtype) -> torch.Tensor:
    """The PyTorch operator on arrays, with A, D and bias in the type the contract wants."""
    parameter = torch.float64 if dtype == torch.float64 else torch.float32
    kinds = {name: parameter if name in ("A", "D", "delta_bias") else dtype for name in INPUTS}
    return selective_scan(**{name: torch.from_numpy(arrays[name]).to(kinds[name]) for name in INPUTS})


def onnx_model(kind: int) -> onnx.ModelProto:
    """A model of one SelectiveScan node and its function, all sizes dynamic."""
    shapes = {"A": "cn", "B": "blgn", "C": "blgn", "D": "c", "delta_bias": "c", "u": "blc", "delta": "blc"}
    kinds = {name: TensorProto.FLOAT if name in ("A", "D", "delta_bias") else kind for name in INPUTS}
    values = [helper.make_tensor_value_info(name, kinds[name], list(shapes[name])) for name in INPUTS]
    y = helper.make_tensor_value_info("y", kind, list("blc"))
    node = helper.make_node(OP_TYPE, list(INPUTS), ["y"], domain=DOMAIN, **NODE_ATTRIBUTES)
    graph = helper.make_graph([node], "scan", values, [y])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    add_function(model)
    return model


def with_onnxruntime(model: onnx.ModelProto, arrays: dict[str, np.ndarray], dtype: type) -> np.ndarray:
    """The model's output for arrays, through ONNX Runtime."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    kinds = {name: np.float32 if name in ("A", "D", "delta_bias") else dtype for name in INPUTS}
    return session.run(None, {name: arrays[name].astype(kinds[name]) for name in INPUTS})[0]


class TestGoldens:
    @pytest.mark.parametrize("case", GOLDENS)
    def test_definition(self, case: str) -> None:
        """The NumPy definition returns the recorded float64 output within 1e-11 of its largest value."""
        arrays, y = golden(case)

        assert np.abs(reference.selective_scan(**arrays) - y).max() <= 1e-11 * np.abs(y).max()

    @pytest.mark.parametrize("case", GOLDENS)
    def test_torch(self, case: str) -> None:
        """PyTorch in float32 within 5e-6 of the largest value, in float64 within 1e-11."""
        arrays, y = golden(case)

        assert np.abs(with_torch(arrays, torch.float32).numpy() - y).max() <= 5e-6 * np.abs(y).max()
        assert np.abs(with_torch(arrays, torch.float64).numpy() - y).max() <= 1e-11 * np.abs(y).max()

    @pytest.mark.parametrize("case", GOLDENS)
    def test_onnx(self, case: str) -> None:
        """The ONNX function in float32 within 5e-6 of the largest value."""
        arrays, y = golden(case)

        found = with_onnxruntime(onnx_model(TensorProto.FLOAT), arrays, np.float32)

        assert np.abs(found - y).max() <= 5e-6 * np.abs(y).max()


class TestTorch:
    @pytest.mark.parametrize("case", CASES, ids=IDS)
    @pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 2e-6), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
    def test_agrees_with_the_definition(self, case: tuple[int, ...], dtype: torch.dtype, limit: float) -> None:
        """Every size and type agrees with the definition on the rounded inputs; the output has u's type."""
        arrays = {
            name: array if name in ("A", "D", "delta_bias") else torch.from_numpy(array).to(dtype).double().numpy()
            for name, array in inputs(case).items()
        }
        wanted = reference.selective_scan(**arrays)

        found = with_torch(arrays, dtype)

        assert found.dtype == dtype
        assert np.abs(found.double().numpy() - wanted).max() <= limit * np.abs(wanted).max()

    @pytest.mark.parametrize("case", [(2, 5, 6, 3, 2), (1, CHUNK + 2, 2, 1, 3)])
    def test_gradients(self, case: tuple[int, ...]) -> None:
        """The backward pass agrees with numerical derivatives in all seven inputs."""
        arguments = [torch.from_numpy(array).requires_grad_() for array in inputs(case).values()]

        assert torch.autograd.gradcheck(selective_scan, arguments)

    def test_is_a_sound_operator(self) -> None:
        """torch's own checks of schema, fake tensors and autograd pass."""
        arguments = [torch.from_numpy(array).requires_grad_() for array in inputs((2, 5, 6, 3, 2)).values()]

        results = torch.library.opcheck(torch.ops.mambapro.selective_scan, arguments)

        assert set(results.values()) == {"SUCCESS"}

    def test_groups_are_scans_of_their_own(self) -> None:
        """A call with groups equals one call for each block of channels."""
        arrays = inputs((2, 9, 12, 3, 4))
        together = with_torch(arrays, torch.float32)

        for g in range(3):
            part = slice(4 * g, 4 * g + 4)
            alone = {name: arrays[name][..., part] for name in ("u", "delta", "D", "delta_bias")}
            alone |= {"A": arrays["A"][part], **{name: arrays[name][:, :, g : g + 1] for name in ("B", "C")}}
            torch.testing.assert_close(with_torch(alone, torch.float32), together[..., part])

    def test_decayed_states_cost_no_time(self) -> None:
        """States that have decayed to nothing do not slow the scan down: denormal numbers would, fifty times."""
        import time

        arrays = inputs((8, 256, 64, 1, 16))
        arrays["u"][:, 1:] = 0
        slow = {**arrays, "A": np.full_like(arrays["A"], -0.05)}
        fast = {**arrays, "A": np.full_like(arrays["A"], -3.0)}
        threads = torch.get_num_threads()
        torch.set_num_threads(1)

        def seconds(case: dict[str, np.ndarray]) -> float:
            times = []
            for _ in range(7):
                start = time.perf_counter()
                with_torch(case, torch.float32)
                times.append(time.perf_counter() - start)
            return min(times)

        try:
            ratio = seconds(fast) / seconds(slow)
        finally:
            torch.set_num_threads(threads)

        assert ratio < 5


class TestOnnx:
    @pytest.mark.parametrize("case", CASES, ids=IDS)
    @pytest.mark.parametrize(("kind", "dtype", "limit"), [(1, np.float32, 2e-6), (10, np.float16, 2e-3)])
    def test_agrees_with_the_definition(self, case: tuple[int, ...], kind: int, dtype: type, limit: float) -> None:
        """The function of one file serves every size, in float32 and float16."""
        arrays = {
            name: array if name in ("A", "D", "delta_bias") else array.astype(dtype).astype(np.float64)
            for name, array in inputs(case).items()
        }
        wanted = reference.selective_scan(**arrays)

        found = with_onnxruntime(onnx_model(kind), arrays, dtype)

        assert found.dtype == dtype
        assert np.abs(found - wanted).max() <= limit * np.abs(wanted).max()

    def test_is_valid_onnx(self, tmp_path: Path) -> None:
        """The model passes ONNX's full check with shape inference."""
        onnx.checker.check_model(onnx_model(TensorProto.FLOAT), full_check=True)

    def test_the_scan_captures_nothing(self) -> None:
        """Every name the Scan's body reads is its own: captured values break other runtimes."""
        (scan,) = [node for node in function_proto().node if node.op_type == "Scan"]
        body = next(attribute.g for attribute in scan.attribute if attribute.name == "body")
        known = {value.name for value in body.input}

        for node in body.node:
            assert set(node.input) <= known, node
            known |= set(node.output)

    def test_casts_stand_inside_the_scan(self) -> None:
        """In front of the Scan a cast breaks TensorRT-RTX in float16."""
        assert not {node.op_type for node in function_proto().node} & {"Cast", "CastLike", "Softplus"}


class TestContract:
    def test_sizes_come_from_shapes(self) -> None:
        """The five sizes are read off u and B."""
        shapes = {name: array.shape for name, array in inputs((2, 7, 12, 3, 4)).items()}

        assert check_shapes(shapes) == (2, 7, 12, 3, 4)

    @pytest.mark.parametrize(
        ("name", "shape", "message"),
        [
            ("u", (2, 7), "u must be"),
            ("delta", (2, 7, 11), "delta must have shape"),
            ("A", (4, 12), "A must have shape"),
            ("B", (2, 7, 5, 4), "groups of equal size"),
            ("C", (2, 7, 1, 4), "C must have shape"),
            ("D", (1,), "D must have shape"),
        ],
    )
    def test_a_wrong_shape_is_named(self, name: str, shape: tuple[int, ...], message: str) -> None:
        """InputError says which input, what it is and what it should be."""
        shapes = {key: array.shape for key, array in inputs((2, 7, 12, 3, 4)).items()}

        with pytest.raises(InputError, match=message):
            check_shapes({**shapes, name: shape})

    @pytest.mark.parametrize(("name", "kind"), [("u", "int8"), ("B", "float16"), ("A", "float16"), ("D", "float64")])
    def test_a_wrong_type_is_named(self, name: str, kind: str) -> None:
        """InputError for mixed or unknown types."""
        types = dict.fromkeys(INPUTS, "float32")

        with pytest.raises(InputError, match=name):
            check_types({**types, name: kind})

    def test_the_operator_checks_both(self) -> None:
        """The PyTorch function refuses what the contract refuses."""
        tensors = {name: torch.from_numpy(array).float() for name, array in inputs((1, 2, 4, 1, 2)).items()}

        with pytest.raises(InputError, match="delta is float16"):
            selective_scan(**{**tensors, "delta": tensors["delta"].half()})
