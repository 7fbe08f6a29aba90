"""Values as JSON and back, by their types: dataclasses, tuples, enums, bytes.

For what one control process tells the next (remembering.py). A field that is missing has its default and one
that is unknown is passed over: the next may be of another build.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any


def to_plain(value: Any) -> Any:
    """Of what `from_plain` reads."""
    if value is None or isinstance(value, str | bool | float) or type(value) is int:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if dataclasses.is_dataclass(value):
        kind: Any = type(value)
        return {name: to_plain(getattr(value, name)) for name in _fields(kind)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(each) for key, each in value.items()}
    return [to_plain(each) for each in value]


def from_plain(kind: Any, value: Any) -> Any:
    """A `kind` out of what to_plain made of one; TypeError, ValueError or KeyError when it is none."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (each for each in parts if each is not type(None))
        return None if value is None else from_plain(inner, value)
    if origin is tuple and parts[-1] is Ellipsis:
        return tuple(from_plain(parts[0], each) for each in _list(value))
    if origin is tuple:
        return tuple(from_plain(part, each) for part, each in zip(parts, _list(value), strict=True))
    if origin is dict:
        return {from_plain(parts[0], _key(parts[0], k)): from_plain(parts[1], v) for k, v in value.items()}
    if dataclasses.is_dataclass(kind):
        make: Any = kind
        fields = _fields(make)
        read = {name: from_plain(fields[name], each) for name, each in value.items() if name in fields}
        return make(**read)
    if issubclass(kind, tuple):  # a NamedTuple
        parts = tuple(_fields(kind).values())
        return kind(*(from_plain(part, each) for part, each in zip(parts, _list(value), strict=True)))
    if kind is bytes:
        return bytes.fromhex(value)
    if issubclass(kind, Enum):
        return kind(value)
    if type(value) is not kind:
        raise TypeError
    return value


@cache
def _fields(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _key(kind: Any, key: str) -> Any:
    return int(key) if kind is int else key
