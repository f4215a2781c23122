"""The selective scan's contract: names, inputs, and the one place where shapes and types are ruled.

    d_t = softplus(delta_t + delta_bias)
    h_t = exp(d_t A) h_{t-1} + (d_t u_t) B_t,   h_0 = 0
    y_t = <C_t, h_t> + D u_t

Letters as in Mamba (Gu and Dao 2023, algorithm 2): u is the input x, delta the step size before softplus, A (channels,
state) the decay rates, B and C the input and output maps, D the skip. `length` is the number of tokens, `state` is N,
`groups` is the number of channel blocks that have a B and C of their own: one scan call carries several directions
or modalities that way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...errors import InputError

DOMAIN = "mambapro"
OP_TYPE = "SelectiveScan"
VERSION = 1
INPUTS = ("u", "delta", "A", "B", "C", "D", "delta_bias")
#: Inputs that are float32 beside u, delta, B and C of any type (float64 beside float64).
PARAMETERS = ("A", "D", "delta_bias")
OUTPUT = "y"
#: Attributes of every node: without the namespace TensorRT silently ignores a registered plugin.
NODE_ATTRIBUTES = {"plugin_namespace": DOMAIN, "plugin_version": str(VERSION)}
#: Types of u, delta, B, C and y.
IO_TYPES = ("float32", "float16", "bfloat16", "float64")
MAX_STATE = 64


class ScanShape(NamedTuple):
    """Five sizes of a scan."""

    batch: int
    length: int
    channels: int
    groups: int
    state: int


def check_shapes(shapes: Mapping[str, Sequence[int]]) -> ScanShape:
    """Return the sizes of a scan from the shapes of its seven inputs.

    Raises:
        InputError: a shape that violates the contract; the message has the expected one.
    """
    u, b = tuple(shapes["u"]), tuple(shapes["B"])
    if len(u) != 3:
        raise InputError(f"selective scan: u must be (batch, length, channels), got {u}.")
    if len(b) != 4:
        raise InputError(f"selective scan: B must be (batch, length, groups, state), got {b}.")
    batch, length, channels = u
    groups, state = b[2:]
    if groups < 1 or channels % groups:
        raise InputError(f"selective scan: {channels} channels cannot be divided into {groups} groups of equal size.")
    if not 1 <= state <= MAX_STATE:
        raise InputError(f"selective scan: state must be 1 to {MAX_STATE}, got {state}.")
    expected = {
        "delta": (batch, length, channels),
        "A": (channels, state),
        "B": (batch, length, groups, state),
        "C": (batch, length, groups, state),
        "D": (channels,),
        "delta_bias": (channels,),
    }
    for name, shape in expected.items():
        if tuple(shapes[name]) != shape:
            raise InputError(f"selective scan: {name} must have shape {shape} beside u {u}, got {tuple(shapes[name])}.")
    return ScanShape(batch, length, channels, groups, state)


def check_types(types: Mapping[str, str]) -> str:
    """Return the I/O type T from the type names of the seven inputs ("float32", "float16", ...).

    Raises:
        InputError: u, delta, B, C differ or are of another type; A, D, delta_bias are not float32.
    """
    io = types["u"]
    if io not in IO_TYPES:
        raise InputError(f"selective scan: u is {io}; allowed are {', '.join(IO_TYPES)}.")
    for name in ("delta", "B", "C"):
        if types[name] != io:
            raise InputError(f"selective scan: {name} is {types[name]} but u is {io}; they must be of one type.")
    parameter = "float64" if io == "float64" else "float32"
    for name in PARAMETERS:
        if types[name] != parameter:
            raise InputError(f"selective scan: {name} is {types[name]}; beside {io} input it must be {parameter}.")
    return io
