"""The methods by name, in the order of the tables. A new one is a file in this folder, and its class in this tuple."""

from __future__ import annotations

from sklearn.base import BaseEstimator

from ctrh.methods.cross_modal import CrossModalITQ, RandomPairs, TagSide
from ctrh.methods.ctrh import CTRH
from ctrh.methods.ewsh import EWSH
from ctrh.methods.fjsph import FJSPH
from ctrh.methods.itq import ITQ
from ctrh.methods.lsh import LSH
from ctrh.methods.method import Method
from ctrh.methods.mgrn import MGRN
from ctrh.methods.random import RandomCodes
from ctrh.methods.sh import SH
from ctrh.methods.wdht import WDHT
from ctrh.methods.wshrca import WSHRCA

METHODS: dict[str, type[Method]] = {
    method.name: method for method in (RandomCodes, LSH, SH, ITQ, WDHT, MGRN, EWSH, WSHRCA, CTRH)
}

# Those that give photos and texts codes of one kind.
CROSS_MODAL: dict[str, type[Method]] = {
    method.name: method for method in (RandomPairs, CrossModalITQ, TagSide, FJSPH)
}


def compared() -> tuple[str, ...]:
    """Those that tables show."""
    return tuple(name for name, method in METHODS.items() if method.compared)


def untaught() -> tuple[str, ...]:
    """Those that need features alone."""
    return tuple(name for name, method in METHODS.items() if method.needs == "features")


def estimator(name: str, bits: int, seed: int) -> BaseEstimator:
    """One of :func:`untaught`; ``seed``: where it draws."""
    made = METHODS[name](bits=bits)
    return made.set_params(seed=seed) if "seed" in made.get_params() else made
