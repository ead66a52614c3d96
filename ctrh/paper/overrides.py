"""Settings out of a JSON file: what it names is changed, with names and types checked, all else stays.

    {"base": "paper", "seeds": [0], "train": {"epochs": 20, "workers": 8},
     "datasets": {"nuswide": null, "mirflickr": {"data": {"protocol": "wshrca"}}},
     "study": {"backbones": {"ViT-B-16": null}}}

Of a list whose parts have names (data sets, guides, backbones) the parts are changed by name, and null takes one away.
Where settings are of one of several kinds, the kind's name chooses another one, as in "words": "TrainedVectors".
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any


class OverrideError(ValueError):
    """A change that does not fit; the message says where and what would."""


def overridden(settings: Any, changes: Mapping[str, Any], where: str = "") -> Any:
    """``settings``, a frozen dataclass, with ``changes`` by field name. Raises `OverrideError`."""
    if not isinstance(changes, Mapping):
        raise OverrideError(f"{where or 'the file'} must be an object with names, got {changes!r}")
    names = [field.name for field in dataclasses.fields(settings)]
    unknown = [name for name in changes if name not in names]
    if unknown:
        raise OverrideError(f"{_at(where, unknown[0])} does not exist; there are {', '.join(names)}")
    hints = typing.get_type_hints(type(settings))
    new = {}
    for name, change in changes.items():
        new[name] = _changed(getattr(settings, name), change, hints[name], _at(where, name))
    try:
        return dataclasses.replace(settings, **new)
    except ValueError as error:
        raise OverrideError(f"{where or 'the file'}: {error}") from error


def _changed(value: Any, change: Any, hint: Any, where: str) -> Any:
    kinds = {kind.__name__: kind for kind in typing.get_args(hint) if dataclasses.is_dataclass(kind)}
    if isinstance(change, str) and change in kinds:
        return kinds[change]()
    if dataclasses.is_dataclass(value):
        return overridden(value, change, where)
    if isinstance(value, tuple) and isinstance(change, Mapping):
        return _changed_by_name(value, change, where)
    return _typed(change, hint, where)


def _changed_by_name(parts: tuple, changes: Mapping[str, Any], where: str) -> tuple:
    known = {_name(part): part for part in parts}
    if len(known) != len(parts) or None in known:
        raise OverrideError(f"{where} has no names: give a list")
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise OverrideError(f"{_at(where, unknown[0])} does not exist; there are {', '.join(known)}")
    new = []
    for name, part in known.items():
        if name not in changes:
            new.append(part)
        elif changes[name] is not None:
            at = _at(where, name)
            if isinstance(part, tuple):
                part = (name, _changed(part[1], changes[name], type(part[1]), at))
            else:
                part = overridden(part, changes[name], at)
            new.append(part)
    if not new:
        raise OverrideError(f"{where} must keep one of {', '.join(known)}")
    return tuple(new)


def _name(part: Any) -> str | None:
    """Of a pair (name, value), or of the settings of a data set, that of the article's data set."""
    if isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], str):
        return part[0]
    return getattr(part, "article", None)


def _typed(change: Any, hint: Any, where: str) -> Any:
    """``change`` as a value of the type ``hint``: lists become tuples and whole numbers floats, nothing else is bent."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for each in inner:
            try:
                return _typed(change, each, where)
            except OverrideError:
                continue
    elif origin is tuple and isinstance(change, list):
        each = [inner[0]] * len(change) if inner[1:] == (Ellipsis,) else inner
        if len(each) == len(change):
            return tuple(_typed(item, kind, where) for item, kind in zip(change, each))
    elif hint is float and isinstance(change, int) and not isinstance(change, bool):
        return float(change)
    elif hint is type(None) and change is None:
        return None
    elif isinstance(hint, type) and type(change) is hint:
        return change
    raise OverrideError(f"{where} must be {_in_words(hint)}, got {change!r}")


def _in_words(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint)) if not typing.get_args(hint) else str(hint)


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
