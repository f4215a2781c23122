"""Unpickler for PyTorch files that returns plain values and tensor descriptions; it calls no code of the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from ....common.formats.plain_pickles import (
    CONTAINERS,
    Call,
    LimitedFile,
    PlainPickleError,
    PlainUnpickler,
    listed,
    load_plain,
    restrict,
)

#: Bytes of a pickle without the values of its tensors; a thousand tensors take 150 kB.
LARGEST = 4 * 2**20
#: Number of values, repeated references counted each time.
_MOST_VALUES = 500_000

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
#: Functions that rebuild unsupported kinds of tensors, and the kind.
_ODD_TENSORS = {
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_qtensor": "a quantised tensor",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_meta_tensor_no_storage": "a tensor without values (device meta)",
    "_rebuild_wrapper_subclass": "a tensor of a class of its own",
    "_rebuild_tensor_v3": "a tensor of a type that is not read",
    "_rebuild_device_tensor_from_numpy": "a tensor of another kind of device",
    "_rebuild_device_tensor_from_cpu_tensor": "a tensor of another kind of device",
}
#: Names that only annotate a tensor; their values are not needed.
_WORDS = {"torch.storage UntypedStorage", "torch Tensor", "torch.nn.parameter Parameter"}


@dataclass(frozen=True)
class StoredValues:
    """Storage that tensors are views of: `count` values under a key; a `type` of None is not supported."""

    key: str
    type: torch.dtype | None
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """Tensor whose values are stored elsewhere, with its sizes as in the file, not validated yet."""

    values: StoredValues
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class OddTensor:
    """Tensor of an unsupported kind; `kind` includes the article."""

    kind: str


class _TorchUnpickler(PlainUnpickler):
    """Unpickler of state dicts: names are kinds of tensors."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the function of this module for a name in the pickle.

        Raises:
            PlainPickleError: the name is neither a tensor nor a plain container.
        """
        if f"{module} {name}" in self.known:
            return super().find_class(module, name)
        if module in ("torch._utils", "torch._tensor") and name in _ODD_TENSORS:
            odd = OddTensor(_ODD_TENSORS[name])
            return Call(lambda *_: odd)
        if module in ("torch", "torch.cuda") and name.endswith("Storage"):
            return _STORAGES.get(name, name)
        if f"{module} {name}" in _WORDS or (module == "torch" and isinstance(vars(torch).get(name), _NAMED)):
            return name
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> StoredValues:
        """Return the stored values that a persistent id describes."""
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise PlainPickleError("its values are stored in an unknown way")
        _, kind, key, _, count = pid[:5]
        if len(pid) == 6 and pid[5] is not None:
            raise PlainPickleError("its values are views of a format that PyTorch left long ago")
        if not isinstance(key, str) or not _is_size(count):
            raise PlainPickleError("its values are stored in an unknown way")
        return StoredValues(key, kind if isinstance(kind, torch.dtype) else None, count)


restrict(_TorchUnpickler)
_NAMED = (torch.dtype, torch.qscheme, torch.layout)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _are_sizes(value: Any) -> bool:
    return type(value) is tuple and len(value) <= 64 and all(map(_is_size, value))


def _tensor(
    values: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    _grad: Any = None,
    _hooks: Any = None,
    marks: Any = None,
    *_: Any,
) -> StoredTensor | OddTensor:
    if isinstance(values, StoredValues) and values.type is None:
        return OddTensor("a tensor of a type that is not read")
    if marks:
        return OddTensor("a tensor that is conjugated or negated when it is read")
    right = isinstance(values, StoredValues) and _is_size(offset) and _are_sizes(shape) and _are_sizes(strides)
    if not right or len(shape) != len(strides):
        raise PlainPickleError("a tensor is described in an unknown way")
    return StoredTensor(values, offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> Any:
    if not isinstance(tensor, StoredTensor | OddTensor):
        raise PlainPickleError("a parameter is no tensor")
    return tensor


def _of_type(function: Any, _type: Any, arguments: Any, *_: Any) -> Any:
    if type(function) is not Call or type(arguments) is not tuple:
        raise PlainPickleError("a tensor is described in an unknown way")
    return function(arguments)


_TorchUnpickler.known = {
    **CONTAINERS,
    "torch Size": Call(lambda sizes=(): tuple(listed(sizes))),
    "torch._utils _rebuild_tensor": Call(_tensor),
    "torch._utils _rebuild_tensor_v2": Call(_tensor),
    "torch._utils _rebuild_parameter": Call(_parameter),
    "torch._utils _rebuild_parameter_with_state": Call(_parameter),
    "torch._tensor _rebuild_from_type_v2": Call(_of_type),
    "torch.serialization _get_layout": Call(lambda *_: "layout"),
    "torch device": Call(lambda *_: "device"),
}


def limited(file: BinaryIO, limit: int) -> LimitedFile:
    """Return a view of the file's next `limit` bytes, for `read_plain`."""
    return LimitedFile(file, limit, " beside the values of its tensors")


def read_plain(file: LimitedFile) -> Any:
    """Read the next pickle: dicts, lists, tuples, text, numbers and tensors of this module's kinds.

    Raises:
        PlainPickleError: other content, or too many values.
        Exception: damaged in one of very many ways.
    """
    return load_plain(_TorchUnpickler, file, _MOST_VALUES)
