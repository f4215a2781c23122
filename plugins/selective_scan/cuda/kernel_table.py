"""Table of the CUDA kernels: names, launches, and the PTX that ships with the package.

Independent of driver, PyTorch and TensorRT. Kernels: csrc/scan_forward.cuh and scan_backward.cuh. The values for lanes,
grids and workspace are repeated in csrc/scan_launch*.cu; tests compare the two.
"""

from __future__ import annotations

import gzip
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ....errors import InputError
from ..schema import MAX_STATE, ScanShape

#: Names of the I/O types in kernel names.
TYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
#: For each number of lanes per channel, the available states per lane.
INSTANCES = {1: (1, 4, 16), 4: (1, 4, 16), 16: (1, 4)}
LANES = tuple(INSTANCES)
THREADS = 128
SUM_THREADS = 256
#: Tokens between the states that a backward pass stores.
BACKWARD_TILE = 16
#: Limit of a launch in its second dimension.
MAX_BATCH = 65535
PTX_FOLDER = Path(__file__).parent / "ptx"
#: Cycles of a warp per token besides the exponentials, 8 cycles each: loads, softplus, reduction.
#: With 16 lanes the softplus is shared best, but each lane repeats what belongs to the channel.
_OVERHEAD = {1: 8, 4: 4, 16: 6}


class Launch(NamedTuple):
    """Kernel, grid, and threads of a block; none has dynamic shared memory."""

    kernel: str
    grid: tuple[int, int, int]
    threads: int


def states_per_lane(lanes: int, state: int) -> int:
    """Return the states per lane of the smallest kernel that holds `state` in `lanes` lanes.

    Raises:
        InputError: there is none.
    """
    for states in INSTANCES.get(lanes, ()):
        if lanes * states >= state:
            return states
    raise InputError(
        f"selective scan: no CUDA kernel with {lanes} lanes for state {state}; "
        f"lanes are 1 (state up to 16), 4 or 16 (state up to {MAX_STATE})."
    )


def kernel_name(kind: str, lanes: int, state: int) -> str:
    """Return the forward kernel for an I/O type ("float32", "float16", "bfloat16") and a state size.

    Raises:
        InputError: a type or a number of lanes there is no kernel for.
    """
    return f"selective_scan_forward_{_type_name(kind)}_l{lanes}_s{states_per_lane(lanes, state)}"


def _type_name(kind: str) -> str:
    if kind not in TYPES:
        raise InputError(f"selective scan: no CUDA kernel for {kind}; types are {', '.join(TYPES)}.")
    return TYPES[kind]


def kernel_names() -> list[str]:
    """Return the names of all kernels."""
    names = []
    for kind in TYPES.values():
        names += [f"selective_scan_forward_{kind}_l{n}_s{s}" for n, states in INSTANCES.items() for s in states]
        names += [f"selective_scan_backward_{kind}_s{s}" for s in (1, 4)]
        names.append(f"selective_scan_sums_{kind}")
    return names


def lanes_for(state: int) -> tuple[int, ...]:
    """Return the numbers of lanes that have a kernel for a state size."""
    return tuple(lanes for lanes, states in INSTANCES.items() if lanes * states[-1] >= state)


def grid(shape: ScanShape, lanes: int) -> tuple[int, int, int]:
    """Return the blocks of a forward launch: each computes THREADS / lanes channels of one group of one sample."""
    per_block = THREADS // lanes
    return shape.groups * -(-(shape.channels // shape.groups) // per_block), shape.batch, 1


def choose_lanes(shape: ScanShape, multiprocessors: int) -> int:
    """Return the number of lanes per channel with the best estimate on a GPU of so many multiprocessors.

    The busiest multiprocessor determines the time: its blocks, times the cost of a token in a warp.
    """

    def cycles(lanes: int) -> int:
        """Estimate the cycles."""
        x, y, _ = grid(shape, lanes)
        return -(-x * y // multiprocessors) * (8 * states_per_lane(lanes, shape.state) + _OVERHEAD[lanes])

    return min(lanes_for(shape.state), key=lambda lanes: (cycles(lanes), lanes))


def forward_launch(shape: ScanShape, kind: str, lanes: int) -> Launch:
    """Return kernel and grid of a forward pass.

    Raises:
        InputError: no kernel for it, or a batch beyond what one launch can hold.
    """
    _check_batch(shape)
    return Launch(kernel_name(kind, lanes, shape.state), grid(shape, lanes), THREADS)


def _check_batch(shape: ScanShape) -> None:
    if shape.batch > MAX_BATCH:
        raise InputError(f"selective scan: batch is {shape.batch}; a launch holds at most {MAX_BATCH}: split it.")


def _backward_block(state: int) -> tuple[int, int]:
    """Return states per lane and channels per block of the backward kernel, which has 16 lanes."""
    return (1, 16) if state <= 16 else (4, 8)


def backward_launches(shape: ScanShape, kind: str) -> tuple[Launch, Launch]:
    """Return the two launches of a backward pass: over the tokens, then the sums over blocks and samples.

    Raises:
        InputError: no kernel for it, or a batch beyond what one launch can hold.
    """
    _check_batch(shape)
    name = _type_name(kind)
    states, channels = _backward_block(shape.state)
    blocks = shape.groups * -(-(shape.channels // shape.groups) // channels)
    walk = Launch(f"selective_scan_backward_{name}_s{states}", (blocks, shape.batch, 1), 16 * channels)
    elements = max(shape.batch * shape.length * shape.groups, shape.channels) * shape.state
    return walk, Launch(f"selective_scan_sums_{name}", (-(-elements // SUM_THREADS), 5, 1), SUM_THREADS)


def workspace_bytes(shape: ScanShape) -> int:
    """Return the device memory of a backward pass: sums of blocks and samples, states at tile borders."""
    states, channels = _backward_block(shape.state)
    blocks = shape.batch * shape.groups * -(-(shape.channels // shape.groups) // channels)
    tiles = -(-shape.length // BACKWARD_TILE)
    sums = shape.batch * shape.channels * (shape.state + 2) + 2 * blocks * shape.length * shape.state
    return 4 * (sums + blocks * tiles * 16 * channels * states)


def ptx_file(name: str) -> Path:
    """Return the compressed PTX of a type ("fp32", "fp16", "bf16")."""
    return PTX_FOLDER / f"scan_{name}.ptx.gz"


@cache
def module_ptx(kind: str) -> str:
    """Read the PTX of all kernels, forward and backward, of an I/O type; compute capability 7.5 and later can load it.

    Raises:
        InputError: a type there is no kernel for.
    """
    return gzip.decompress(ptx_file(_type_name(kind)).read_bytes()).decode("ascii")


@cache
def kernel_ptx(kind: str, name: str) -> str:
    """Return PTX text with only one kernel of an I/O type, as TensorRT needs it ahead of time.

    Raises:
        InputError: there is no such kernel.
    """
    return cut_kernel(module_ptx(kind), name)


#: A kernel from its `.visible .entry` to the brace that closes it; no other brace begins a line.
_ENTRY = re.compile(r"^\.visible \.entry (\w+)\(.*?^\}\n", re.MULTILINE | re.DOTALL)


def entries(ptx: str) -> list[str]:
    """Return the names of the kernels in PTX text, in its order."""
    return [entry.group(1) for entry in _ENTRY.finditer(ptx)]


def cut_kernel(ptx: str, name: str) -> str:
    """Return PTX text without all kernels but `name`.

    Raises:
        InputError: it is not in there.
    """
    if name not in entries(ptx):
        raise InputError(f"selective scan: no kernel {name} in the PTX; there are {', '.join(entries(ptx))}.")
    return _ENTRY.sub(lambda entry: entry.group(0) if entry.group(1) == name else "", ptx)
