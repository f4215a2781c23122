"""The native operator of ONNX Runtime; skipped where `ONNXRUNTIME_INCLUDE_DIR` does not name its C headers."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import scan_cases
from mambapro.errors import SetupError
from mambapro.plugins.selective_scan.onnx.node import scan_model
from mambapro.plugins.selective_scan.onnxruntime import custom_op
from scan_cases import CASES, LIMITS, Case, assert_close, stored, wanted

onnxruntime = pytest.importorskip("onnxruntime")

KINDS = ("float32", "float16", "bfloat16")
SMALL = Case(2, 7, 12, 3, 4)


@pytest.fixture(scope="module")
def library() -> Path:
    """The compiled operator."""
    if not os.environ.get(custom_op.VARIABLE):
        pytest.skip(f"{custom_op.VARIABLE} does not name the folder of ONNX Runtime's C headers")
    return custom_op.build()


def session(library: Path, kind: str = "float32", **entries: str) -> Any:
    """ONNX Runtime with the operator and a one-node model, the function inside, every size dynamic."""
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(str(library))
    for key, value in entries.items():
        options.add_session_config_entry(key.replace("_", "."), value)
    return onnxruntime.InferenceSession(
        scan_model(kind).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(runtime: Any, case: Case, kind: str) -> np.ndarray:
    """y of a case; NumPy has no bfloat16, so that goes in and out as bits."""
    value = onnxruntime.OrtValue
    feeds = {}
    for name, array in stored(case, kind).items():
        if array.dtype == np.uint16:
            feeds[name] = value.ortvalue_from_numpy_with_onnx_type(array, onnx.TensorProto.BFLOAT16)
        else:
            feeds[name] = value.ortvalue_from_numpy(array)
    (y,) = runtime.run_with_ort_values(None, feeds)
    if kind != "bfloat16":
        assert y.numpy().dtype == kind
        return y.numpy()
    assert y.data_type() == "tensor(bfloat16)"
    bits = (ctypes.c_uint16 * int(np.prod(y.shape()))).from_address(y.data_ptr())
    return scan_cases.from_bfloat16(np.array(bits, np.uint16).reshape(y.shape()))


@pytest.fixture(scope="module", params=KINDS)
def native(request: pytest.FixtureRequest, library: Path) -> tuple[str, Any]:
    """An I/O type, and the one session that serves every size of it."""
    return request.param, session(library, request.param)


class TestOperator:
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_agrees_with_the_definition(self, native: tuple[str, Any], case: Case) -> None:
        """Every case within the limit of its type; NaN and infinities come out where they belong."""
        kind, runtime = native

        assert_close(run(runtime, case, kind), wanted(case, kind), LIMITS[kind])

    def test_wins_over_the_function(self, library: Path, tmp_path: Path) -> None:
        """What runs is the operator, though the file holds the function as well."""
        options = onnxruntime.SessionOptions()
        options.register_custom_ops_library(str(library))
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        onnxruntime.InferenceSession(scan_model().SerializeToString(), options, providers=["CPUExecutionProvider"])

        optimized = onnx.load(tmp_path / "optimized.onnx")

        assert [(node.domain, node.op_type) for node in optimized.graph.node] == [("mambapro", "SelectiveScan")]

    def test_the_shape_of_y_is_known(self, library: Path, tmp_path: Path) -> None:
        """ONNX Runtime learns the output's shape from the operator, so that what follows can be planned."""
        model = scan_model()
        y = model.graph.output[0]
        y.type.tensor_type.ClearField("shape")
        options = onnxruntime.SessionOptions()
        options.register_custom_ops_library(str(library))

        runtime = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

        assert runtime.get_outputs()[0].shape == ["batch", "length", "channels"]

    def test_two_sessions_share_the_library(self, library: Path) -> None:
        """A session that is closed leaves the other as it is."""
        first, second = session(library), session(library, "float16")
        del first

        assert_close(run(second, SMALL, "float16"), wanted(SMALL, "float16"), LIMITS["float16"])

    def test_threads_change_nothing_but_the_time(self, library: Path) -> None:
        """The session entry sets the number of threads; the numbers are the same to the last bit."""
        case = Case(2, 128, 96, 3, 16)
        one, two, any_number = (
            run(session(library, mambapro_threads=threads), case, "float32") for threads in ("1", "2", "0")
        )

        assert np.array_equal(one, two)
        assert np.array_equal(one, any_number)


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "axis", "message"),
        [
            ("delta", 1, r"delta must be \(batch, length, channels\), got \(2, 1, 12\), but length is 7 in u"),
            ("A", 1, r"A must be \(channels, state\), got \(12, 1\), but state is 4 in B"),
            ("C", 2, r"C must be \(batch, length, groups, state\), got \(2, 7, 1, 4\), but groups is 3 in B"),
            ("D", 0, r"D must be \(channels,\), got \(1,\), but channels is 12 in u"),
        ],
    )
    def test_wrong_shapes(self, library: Path, name: str, axis: int, message: str) -> None:
        """InvalidArgument, with the input, what it is and what is allowed."""
        feeds = stored(SMALL, "float32")
        feeds[name] = feeds[name].take([0], axis=axis)

        with pytest.raises(Exception, match=message) as caught:
            session(library).run(None, feeds)

        assert type(caught.value).__name__ == "InvalidArgument"

    @pytest.mark.parametrize("threads", ["-1", "many", "", "1.5"])
    def test_threads_that_are_no_number(self, library: Path, threads: str) -> None:
        """The session is not made; the message says what is allowed."""
        with pytest.raises(Exception, match=rf'mambapro.threads is "{threads}"; allowed are 0'):
            session(library, mambapro_threads=threads)

    def test_a_runtime_older_than_the_headers(self, library: Path, tmp_path: Path) -> None:
        """The library says which version it was built for, instead of calling what is not there."""
        future = tmp_path / "include"
        shutil.copytree(custom_op.include_folder(), future)
        header = future / "onnxruntime_c_api.h"
        version = custom_op.api_version(future)
        text = header.read_text(encoding="utf-8")
        header.write_text(
            text.replace(f"define ORT_API_VERSION {version}", "define ORT_API_VERSION 999"), encoding="utf-8"
        )

        with pytest.raises(Exception, match=r"headers of ONNX Runtime 1\.999, which is newer than this one"):
            session(custom_op.build(future))


class TestBuild:
    def test_says_that_the_headers_are_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the variable the error names it."""
        monkeypatch.delenv(custom_op.VARIABLE, raising=False)

        with pytest.raises(SetupError, match="let \\$ONNXRUNTIME_INCLUDE_DIR name the folder"):
            custom_op.build()

    def test_says_that_the_folder_is_wrong(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A folder without the header is named."""
        monkeypatch.setenv(custom_op.VARIABLE, str(tmp_path))

        with pytest.raises(SetupError, match=f"no onnxruntime_c_api.h in {tmp_path}"):
            custom_op.build()

    def test_says_that_the_header_is_another(self, tmp_path: Path) -> None:
        """A header that does not tell its version is not ONNX Runtime's."""
        (tmp_path / "onnxruntime_c_api.h").write_text("int main(void);\n", encoding="utf-8")

        with pytest.raises(SetupError, match="does not tell its ORT_API_VERSION"):
            custom_op.build(tmp_path)
