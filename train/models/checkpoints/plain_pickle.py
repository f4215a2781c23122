"""Unpickler for PyTorch files that returns plain values and tensor descriptions; it calls no code of the file."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, NoReturn

import torch

from ....common.foreign_text import shown_text

#: Bytes of a pickle without the values of its tensors; a thousand tensors take 150 kB.
LARGEST = 4 * 2**20
#: Number of values, repeated references counted each time, and nesting depth.
_MOST_VALUES, _DEEPEST = 500_000, 50

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


class PlainPickleError(ValueError):
    """Unsupported content in the pickle; `name` is the name it would import, where known."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


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


class _Call:
    """Function of this module that stands for a name in the pickle and takes plain values."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        return self._function(*arguments)


class PlainUnpickler(pickle._Unpickler):
    """Python's unpickler restricted to the opcodes of state dicts; names map to functions of this module."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """Return the function of this module for a name in the pickle.

        Raises:
            PlainPickleError: the name is neither a tensor nor a plain container.
        """
        if (known := _KNOWN.get(f"{module} {name}")) is not None:
            return known
        if module in ("torch._utils", "torch._tensor") and name in _ODD_TENSORS:
            odd = OddTensor(_ODD_TENSORS[name])
            return _Call(lambda *_: odd)
        if module in ("torch", "torch.cuda") and name.endswith("Storage"):
            return _STORAGES.get(name, name)
        if f"{module} {name}" in _WORDS or (module == "torch" and isinstance(vars(torch).get(name), _NAMED)):
            return name
        raise PlainPickleError("it names code", f"{module}.{name}")

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

    def load_reduce(self) -> None:
        """Call a function of this module; nothing else is called."""
        arguments, function = self.stack.pop(), self.stack[-1]  # type: ignore[attr-defined]
        if type(function) is not _Call or type(arguments) is not tuple:
            raise PlainPickleError("it calls what is no function")
        self.stack[-1] = function(arguments)  # type: ignore[attr-defined]

    def load_build(self) -> None:
        """Discard attributes of a container, where PyTorch stores versions of modules."""
        self.stack.pop()  # type: ignore[attr-defined]
        if type(self.stack[-1]) is not dict:  # type: ignore[attr-defined]
            raise PlainPickleError("it sets attributes of what is no container")

    def load_setitem(self) -> None:
        """Put one entry into a dict."""
        self._set_items([self.stack.pop(-2), self.stack.pop()])  # type: ignore[attr-defined]

    def load_setitems(self) -> None:
        """Put entries into a dict."""
        self._set_items(self.pop_mark())  # type: ignore[attr-defined]

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]  # type: ignore[attr-defined]
        if type(target) is not dict or len(items) % 2:
            raise PlainPickleError("it fills what is no dictionary")
        for key in items[::2]:
            # the hash of a nested key can take unbounded time
            if not isinstance(key, str | int | float | bool | bytes | None):
                raise PlainPickleError(f"a key is a {type(key).__name__}, not a name or a number")
        target.update(zip(items[::2], items[1::2], strict=True))


def _unread(unpickler: Any) -> NoReturn:
    raise PlainPickleError("it holds an instruction that no state dict needs")


_NAMED = (torch.dtype, torch.qscheme, torch.layout)
_USED = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE "
    "SHORT_BINUNICODE BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE1 "
    "TUPLE2 TUPLE3 TUPLE APPEND APPENDS BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL BINPERSID"
)
_OWN = {
    "REDUCE": PlainUnpickler.load_reduce,
    "BUILD": PlainUnpickler.load_build,
    "SETITEM": PlainUnpickler.load_setitem,
    "SETITEMS": PlainUnpickler.load_setitems,
}
for _opcode in pickletools.opcodes:
    if _opcode.name not in _USED.split():
        PlainUnpickler.dispatch[ord(_opcode.code)] = _OWN.get(_opcode.name, _unread)


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
    if type(function) is not _Call or type(arguments) is not tuple:
        raise PlainPickleError("a tensor is described in an unknown way")
    return function(arguments)


def _dictionary(items: Any = ()) -> dict[Any, Any]:
    """Build an ordered dict or a counter; a counter has its content as a dict, old ordered dicts as a list of pairs."""
    if type(items) is dict:
        return dict(items)
    pairs = items if type(items) in (list, tuple) else None
    if pairs is None or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise PlainPickleError("a dictionary is described in an unknown way")
    if not all(isinstance(pair[0], str | int) for pair in pairs):
        raise PlainPickleError("a key is no name")
    return {pair[0]: pair[1] for pair in pairs}


def _listed(items: Any = ()) -> list[Any]:
    if type(items) not in (list, tuple):
        raise PlainPickleError("a set is described in an unknown way")
    return list(items)


_KNOWN = {
    "collections OrderedDict": _Call(_dictionary),
    "collections Counter": _Call(_dictionary),
    "builtins set": _Call(_listed),
    "__builtin__ set": _Call(_listed),
    "torch Size": _Call(lambda sizes=(): tuple(_listed(sizes))),
    "torch._utils _rebuild_tensor": _Call(_tensor),
    "torch._utils _rebuild_tensor_v2": _Call(_tensor),
    "torch._utils _rebuild_parameter": _Call(_parameter),
    "torch._utils _rebuild_parameter_with_state": _Call(_parameter),
    "torch._tensor _rebuild_from_type_v2": _Call(_of_type),
    "torch.serialization _get_layout": _Call(lambda *_: "layout"),
    "torch device": _Call(lambda *_: "device"),
}


class LimitedFile:
    """File view for an unpickler, limited to the next `limit` bytes."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file, self._left, self._limit = file, limit, limit

    def read(self, size: int) -> bytes:
        """Read `size` bytes, or the rest of the file."""
        if size > self._left:
            raise PlainPickleError(f"it has more than {self._limit:,} bytes beside the values of its tensors")
        self._left -= size
        return self._file.read(size)

    def readline(self) -> bytes:
        """Read the next line."""
        line = self._file.readline(self._left + 1)
        if len(line) > self._left:
            raise PlainPickleError(f"it has more than {self._limit:,} bytes beside the values of its tensors")
        self._left -= len(line)
        return line


def read_plain(file: LimitedFile) -> Any:
    """Read the next pickle: dicts, lists, tuples, text, numbers and tensors of this module's kinds.

    Raises:
        PlainPickleError: other content, or too many values.
        Exception: damaged in one of very many ways.
    """
    try:
        value = PlainUnpickler(file, encoding="utf-8").load()
    except KeyError as error:
        raise ValueError("it holds bytes that are no instruction of a pickle") from error
    _count(value)
    return value


def _count(value: Any) -> None:
    """Reject nested containers whose full walk would not end in reasonable time."""
    left, waiting = _MOST_VALUES, [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if not isinstance(one, dict | list | tuple):
            continue
        left -= len(one)
        if left < 0 or depth > _DEEPEST:
            raise PlainPickleError(f"it holds more than {_MOST_VALUES:,} values, or nests them {_DEEPEST} deep")
        waiting.extend((child, depth + 1) for child in (one.values() if isinstance(one, dict) else one))


def shown_reason(error: Exception) -> str:
    """Return one line of a reader's error, made printable."""
    return shown_text((str(error).strip().splitlines() or [type(error).__name__])[0].rstrip("."))
