"""Unpickler that returns plain values alone; it calls no code of the file."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar, NoReturn

from ..foreign_text import shown_text

#: Nesting depth of the values.
_DEEPEST = 50


class PlainPickleError(ValueError):
    """Unsupported content in the pickle; `name` is the name it would import, where known."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class Call:
    """Function of this package that stands for a name in the pickle and takes plain values."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        """Call the function with a pickle's arguments."""
        return self._function(*arguments)


class PlainUnpickler(pickle._Unpickler):
    """Python's unpickler restricted to the opcodes of plain values; names map to functions of this package.

    Attributes:
        known: for "module name" in the pickle a `Call`, or a value.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    known: ClassVar[dict[str, Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return the function or value for a name in the pickle.

        Raises:
            PlainPickleError: the name is not known.
        """
        if (known := self.known.get(f"{module} {name}")) is not None:
            return known
        raise PlainPickleError("it names code", f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """Reject values that are stored elsewhere."""
        raise PlainPickleError("its values are stored in an unknown way")

    def load_reduce(self) -> None:
        """Call a function of this package; nothing else is called."""
        arguments, function = self.stack.pop(), self.stack[-1]  # type: ignore[attr-defined]
        if type(function) is not Call or type(arguments) is not tuple:
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
    raise PlainPickleError("it holds an instruction that plain values do not need")


_USED = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE "
    "SHORT_BINUNICODE BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE1 "
    "TUPLE2 TUPLE3 TUPLE APPEND APPENDS BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL BINPERSID"
)
_OWN = {"REDUCE": "load_reduce", "BUILD": "load_build", "SETITEM": "load_setitem", "SETITEMS": "load_setitems"}


def restrict(unpickler: type[PlainUnpickler], own: dict[str, str] | None = None, used: str = "") -> None:
    """Set the opcodes of a class: those of plain values, and further ones.

    Args:
        unpickler: the class.
        own: opcodes by name, with the names of the methods that handle them.
        used: further opcodes that Python's own methods handle, separated by spaces.
    """
    unpickler.dispatch = dict(pickle._Unpickler.dispatch)
    methods = {**_OWN, **(own or {})}
    allowed = {*_USED.split(), *used.split()}
    for opcode in pickletools.opcodes:
        if opcode.name in methods:
            unpickler.dispatch[ord(opcode.code)] = getattr(unpickler, methods[opcode.name])
        elif opcode.name not in allowed:
            unpickler.dispatch[ord(opcode.code)] = _unread


restrict(PlainUnpickler)


def dictionary(items: Any = ()) -> dict[Any, Any]:
    """Build an ordered dict or a counter; a counter has its content as a dict, old ordered dicts as a list of pairs."""
    if type(items) is dict:
        return dict(items)
    pairs = items if type(items) in (list, tuple) else None
    if pairs is None or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise PlainPickleError("a dictionary is described in an unknown way")
    if not all(isinstance(pair[0], str | int) for pair in pairs):
        raise PlainPickleError("a key is no name")
    return {pair[0]: pair[1] for pair in pairs}


def listed(items: Any = ()) -> list[Any]:
    """Build a list in place of a set."""
    if type(items) not in (list, tuple):
        raise PlainPickleError("a set is described in an unknown way")
    return list(items)


#: Containers of the standard library, as dicts and lists.
CONTAINERS: dict[str, Any] = {
    "collections OrderedDict": Call(dictionary),
    "collections Counter": Call(dictionary),
    "builtins set": Call(listed),
    "__builtin__ set": Call(listed),
}


class LimitedFile:
    """File view for an unpickler, limited to the next `limit` bytes."""

    def __init__(self, file: BinaryIO, limit: int, what: str = "") -> None:
        self._file, self._left, self._limit, self._what = file, limit, limit, what

    def read(self, size: int) -> bytes:
        """Read `size` bytes, or the rest of the file."""
        if size > self._left:
            raise PlainPickleError(f"it has more than {self._limit:,} bytes{self._what}")
        self._left -= size
        return self._file.read(size)

    def readline(self) -> bytes:
        """Read the next line."""
        line = self._file.readline(self._left + 1)
        if len(line) > self._left:
            raise PlainPickleError(f"it has more than {self._limit:,} bytes{self._what}")
        self._left -= len(line)
        return line


def load_plain(unpickler: type[PlainUnpickler], file: LimitedFile, most: int) -> Any:
    """Read the next pickle, of at most `most` values, repeated references counted each time.

    Raises:
        PlainPickleError: other content, or too many values.
        Exception: damaged in one of very many ways.
    """
    try:
        value = unpickler(file, encoding="utf-8").load()
    except KeyError as error:
        raise ValueError("it holds bytes that are no instruction of a pickle") from error
    _count(value, most)
    return value


def _count(value: Any, most: int) -> None:
    """Reject nested containers whose full walk would not end in reasonable time."""
    left, waiting = most, [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if not isinstance(one, dict | list | tuple):
            continue
        left -= len(one)
        if left < 0 or depth > _DEEPEST:
            raise PlainPickleError(f"it holds more than {most:,} values, or nests them {_DEEPEST} deep")
        waiting.extend((child, depth + 1) for child in (one.values() if isinstance(one, dict) else one))


def shown_reason(error: Exception) -> str:
    """Return one line of a reader's error, made printable."""
    return shown_text((str(error).strip().splitlines() or [type(error).__name__])[0].rstrip("."))
