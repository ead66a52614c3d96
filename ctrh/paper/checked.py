"""Settings whose values are checked when they are made, by their fields' annotations."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

# The least and the most that numbers may be, where it is not 1 for whole ones and 0 for others.
BOUNDS = {"seeds": (0, math.inf), "alphas": (0, 1), "ratios": (0, 0.99), "factors": (1e-6, math.inf)}
BOUNDS["rates"] = BOUNDS["factors"]
CHOICES = {"texts": ("words", "captions"), "article": ("mirflickr", "nuswide", "coco", "")}
MAY_BE_EMPTY = ("rates",)


class Checked:
    """A dataclass that raises ``ValueError`` for a field that is not as its annotation says, or not in ``BOUNDS`` (as NaN
    is) or ``CHOICES``, and for a tuple that is empty or has something twice."""

    def __post_init__(self) -> None:
        for field in fields(self):
            name, kind, value = field.name, field.type, getattr(self, field.name)
            least, most = BOUNDS.get(name, (1 if "int" in kind else 0, math.inf))
            good, wanted = _fits(value, kind, least, most), kind
            if kind.startswith("tuple"):
                good = isinstance(value, tuple) and (value or name in MAY_BE_EMPTY)
                good = good and all(_fits(x, kind, least, most) for x in value)
                good = good and len({_name(x) for x in value}) == len(value)
                wanted += ", one or more, all different"
            if "int" in kind or "float" in kind:
                wanted += f", each from {least:g} to {most:g}"
            if name in CHOICES:
                good, wanted = value in CHOICES[name], f"one of {', '.join(map(repr, CHOICES[name]))}"
            if not good:
                raise ValueError(f"{type(self).__name__}.{name} must be {wanted}; got {value!r}")


def _fits(x: Any, kind: str, least: float, most: float) -> bool:
    if kind.startswith("tuple[tuple") and isinstance(x, tuple) and x:
        x = x[-1]  # a label's, or a method's and a data set's
    one = kind.removesuffix(", ...]").removesuffix("]").rpartition("[")[2].rpartition(", ")[2]
    if type(x).__name__ not in one.replace("None", "NoneType").replace("float", "float | int").split(" | "):
        return False
    return type(x) not in (int, float) or (least <= x <= most and x < math.inf)


def _name(x: Any) -> Any:
    """What no two of a tuple may share: labels, the names of data sets, or all of it."""
    return x[:-1] if isinstance(x, tuple) else getattr(getattr(x, "data", x), "name", x)
