"""The ONNX function of the selective scan in ONNX Runtime on the CPU, beside the form one would write first.

Two forms to compare with, both with the state as (channels, state) and y as a sum over it: `obvious` computes
everything token by token, `hoisted` computes what does not need the state in front of the Scan. The forms take turns
in one process, one session at a time; ms are medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import click
import numpy as np
import onnx
import onnxruntime
from mambapro.plugins.selective_scan.onnx.function import function_proto
from mambapro.plugins.selective_scan.onnx.node import scan_model
from onnx import FunctionProto, helper, parser

#: batch, length, channels, groups: the intra- and inter-modality scans of MambaPro, for one sample and for eight
SIZES = [(1, 128, 3072, 3), (1, 384, 1024, 1), (8, 128, 3072, 3), (8, 384, 1024, 1)]
STATE = 16

_FUNCTION = """
<domain: "mambapro", opset_import: ["" : 20]>
SelectiveScan <plugin_namespace, plugin_version> (u, delta, A, B, C, D, delta_bias) => (y)
{
    last = Constant <value_ints = [-1]> ()
    one_but_last = Constant <value_ints = [-2]> ()
    sizes = Shape <start = 0, end = 3> (B)
    per_token = Concat <axis = 0> (sizes, last)
    batch = Shape <start = 0, end = 1> (B)
    groups = Shape <start = 2, end = 3> (B)
    state = Shape <start = 3> (B)
    shape_A = Concat <axis = 0> (groups, last, state)
    split_A = Reshape (A, shape_A)
    shape_D = Concat <axis = 0> (groups, last)
    split_D = Reshape (D, shape_D)
    split_bias = Reshape (delta_bias, shape_D)
    shape_split_A = Shape (split_A)
    shape_h = Concat <axis = 0> (batch, shape_split_A)
    h0 = ConstantOfShape (shape_h)
    split_u = Reshape (u, per_token)
    split_delta = Reshape (delta, per_token)
    %s
    shape_u = Shape (u)
    y = Reshape (split_y, shape_u)
}
"""

_OBVIOUS = """
    h_last, A_last, D_last, bias_last, split_y = Scan <
        body = step (float[b, g, c, n] h, float[g, c, n] A_in, float[g, c] D_in, float[g, c] bias_in,
                     float[b, g, c] u_t, float[b, g, c] delta_t, float[b, g, n] B_t, float[b, g, n] C_t)
            => (float[b, g, c, n] h_next, float[g, c, n] A_out, float[g, c] D_out, float[g, c] bias_out,
                float[b, g, c] y_t) {
            last_axis = Constant <value_ints = [-1]> ()
            state_axis = Constant <value_ints = [-2]> ()
            raw = Add (delta_t, bias_in)
            d = Softplus (raw)
            d_column = Unsqueeze (d, last_axis)
            exponent = Mul (d_column, A_in)
            decay = Exp (exponent)
            kept = Mul (decay, h)
            du = Mul (d, u_t)
            du_column = Unsqueeze (du, last_axis)
            B_row = Unsqueeze (B_t, state_axis)
            added = Mul (du_column, B_row)
            h_next = Add (kept, added)
            C_row = Unsqueeze (C_t, state_axis)
            hC = Mul (h_next, C_row)
            Ch = ReduceSum <keepdims = 0> (hC, last_axis)
            Du = Mul (D_in, u_t)
            y_t = Add (Ch, Du)
            A_out = Identity (A_in)
            D_out = Identity (D_in)
            bias_out = Identity (bias_in)
        }, num_scan_inputs = 4, scan_input_axes = [1, 1, 1, 1], scan_output_axes = [1]
    > (h0, split_A, split_D, split_bias, split_u, split_delta, B, C)
"""

_HOISTED = """
    raw = Add (split_delta, split_bias)
    d = Softplus (raw)
    du = Mul (d, split_u)
    d_columns = Unsqueeze (d, last)
    du_columns = Unsqueeze (du, last)
    B_rows = Unsqueeze (B, one_but_last)
    C_rows = Unsqueeze (C, one_but_last)
    h_last, A_last, Ch = Scan <
        body = step (float[b, g, c, n] h, float[g, c, n] A_in, float[b, g, c, one] d_t, float[b, g, c, one] du_t,
                     float[b, g, one, n] B_t, float[b, g, one, n] C_t)
            => (float[b, g, c, n] h_next, float[g, c, n] A_out, float[b, g, c] y_t) {
            last_axis = Constant <value_ints = [-1]> ()
            exponent = Mul (d_t, A_in)
            decay = Exp (exponent)
            kept = Mul (decay, h)
            added = Mul (du_t, B_t)
            h_next = Add (kept, added)
            hC = Mul (h_next, C_t)
            y_t = ReduceSum <keepdims = 0> (hC, last_axis)
            A_out = Identity (A_in)
        }, num_scan_inputs = 4, scan_input_axes = [1, 1, 1, 1], scan_output_axes = [1]
    > (h0, split_A, d_columns, du_columns, B_rows, C_rows)
    Du = Mul (split_D, split_u)
    split_y = Add (Ch, Du)
"""


def obvious_function() -> FunctionProto:
    """State (channels, state), everything token by token; float32 only."""
    return parser.parse_function(_FUNCTION % _OBVIOUS)


def hoisted_function() -> FunctionProto:
    """The same with softplus, d u and D u for all tokens at once; float32 only."""
    return parser.parse_function(_FUNCTION % _HOISTED)


FORMS: dict[str, Callable[[], FunctionProto]] = {
    "obvious": obvious_function,
    "hoisted": hoisted_function,
    "ours": function_proto,
}


def model_with(function: FunctionProto) -> onnx.ModelProto:
    """The one-node model in float32, its function replaced."""
    model = scan_model("float32")
    del model.functions[:]
    model.functions.append(function)
    model.functions[0].opset_import[0].CopyFrom(helper.make_opsetid("", model.opset_import[0].version))
    return model


def inputs(batch: int, length: int, channels: int, groups: int) -> dict[str, np.ndarray]:
    """Random float32 inputs by name."""
    shapes = dict.fromkeys(("u", "delta"), (batch, length, channels))
    shapes |= dict.fromkeys(("B", "C"), (batch, length, groups, STATE))
    shapes |= {"A": (channels, STATE), "D": (channels,), "delta_bias": (channels,)}
    normal = np.random.default_rng(0).standard_normal
    arrays = {name: normal(shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["A"] = -np.exp(arrays["A"])
    return arrays


def milliseconds(function: FunctionProto, arrays: dict[str, np.ndarray], runs: int, threads: int = 0) -> list[float]:
    """Times of `runs` calls after two that are not counted, in a session of their own.

    Args:
        threads: of one operator; 0 leaves it to ONNX Runtime.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # as mambapro's runtime does: the state decays into denormal numbers
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    model = model_with(function).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        session.run(None, arrays)
        times.append(1e3 * (time.perf_counter() - start))
    return times[2:]


@click.command(help=__doc__)
@click.option("--runs", default=15, show_default=True, help="Calls of each form and size.")
@click.option("--threads", default=0, help="Threads of one operator; 0 leaves it to ONNX Runtime.")
def main(runs: int, threads: int) -> None:
    """Print the table."""
    click.echo(f"ONNX Runtime {onnxruntime.__version__}, CPU, float32, {STATE} states, median ms of {runs}")
    click.echo("batch  length  groups x channels  " + "".join(f"{name:>9}" for name in FORMS) + "  obvious/ours")
    for size in SIZES:
        batch, length, channels, groups = size
        arrays = inputs(*size)
        median = {name: statistics.median(milliseconds(make(), arrays, runs, threads)) for name, make in FORMS.items()}
        cells = "".join(f"{value:9.1f}" for value in median.values())
        ratio = median["obvious"] / median["ours"]
        click.echo(f"{batch:5}  {length:6}  {groups:6} x {channels // groups:<8}  {cells}  {ratio:11.2f}x")


if __name__ == "__main__":
    main()
