"""The methods by name, in the order of the tables. A new one is a file in this folder, and its class in this tuple."""

from __future__ import annotations

from sklearn.base import BaseEstimator

from ctrh.methods.cross_modal import CrossModalITQ, RandomPairs, TagSide
from ctrh.methods.ctrh import CTRH
from ctrh.methods.ewsh import EWSH
from ctrh.methods.fjsph import FJSPH
from ctrh.methods.itq import ITQ, RotatedPCA
from ctrh.methods.lsh import LSH
from ctrh.methods.method import Method
from ctrh.methods.mgrn import MGRN
from ctrh.methods.random import RandomCodes
from ctrh.methods.references import ConceptITQ, FloatConcepts, FloatFeatures
from ctrh.methods.sh import SH
from ctrh.methods.uhscm import UHSCM
from ctrh.methods.wdht import WDHT
from ctrh.methods.wshrca import WSHRCA

UNSUPERVISED = RandomCodes, LSH, SH, RotatedPCA, ITQ
DEEP = WDHT, MGRN, EWSH, WSHRCA, UHSCM, CTRH
REFERENCES = FloatFeatures, FloatConcepts, ConceptITQ
METHODS: dict[str, type[Method]] = {method.name: method for method in (*UNSUPERVISED, *DEEP, *REFERENCES)}

# Those that give photos and texts codes of one kind.
CROSS_MODAL: dict[str, type[Method]] = {
    method.name: method for method in (RandomPairs, CrossModalITQ, TagSide, FJSPH)
}


def compared() -> tuple[str, ...]:
    """Those that tables compare."""
    return tuple(name for name, method in METHODS.items() if method.compared)


def references() -> tuple[str, ...]:
    """Those that tables show beside them."""
    return tuple(name for name, method in METHODS.items() if not method.compared)


def printed_name(name: str) -> str:
    """A method's name as tables print it; any other name as it is."""
    return f"{name} (reconstruction)" if name in METHODS and METHODS[name].reconstructed else name


def untaught() -> tuple[str, ...]:
    """Those that need features alone to give codes."""
    return tuple(name for name, method in METHODS.items() if method.needs == "features" and method.binary)


def estimator(name: str, bits: int, seed: int) -> BaseEstimator:
    """One that trains no network; ``seed``: where it draws."""
    made = METHODS[name](bits=bits)
    return made.set_params(seed=seed) if "seed" in made.get_params() else made
