"""Profiles: what to run and how large, in Python files: ours in the folder ``profiles``, one's own anywhere."""

from __future__ import annotations

import argparse
import csv
import math
import os
import runpy
import sys
import traceback
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from ctrh.data.noise import with_noise
from ctrh.data.photos import Photos
from ctrh.data.registry import DATASETS, first_photos, load_photos
from ctrh.data.validation import validation_photos
from ctrh.guide.clip import Guide, load_guide
from ctrh.guide.finetune import FinetuneConfig
from ctrh.guide.flip import FlipConfig
from ctrh.guide.names import SMALL
from ctrh.guide.refine import RefineConfig
from ctrh.guide.word_vectors import SentenceVectors, StoredVectors, TrainedVectors
from ctrh.losses import LossConfig
from ctrh.methods.deep import DeepHasher
from ctrh.methods.fjsph import FJSPHConfig
from ctrh.methods.registry import METHODS, compared
from ctrh.paper.launch import ROOT, profile_file
from ctrh.retrieval.metrics import OURS, Convention
from ctrh.training import TrainConfig

RATES = ROOT / "profiles" / "rates.csv"
# The least and the most that numbers may be, where it is not 1 for whole ones and 0 for others.
ABOVE_0 = (1e-6, math.inf)
SEED = (0, math.inf)
BOUNDS = {"seeds": SEED, "validation": SEED, "alphas": (0, 1), "ratios": (0, 0.99), "factors": ABOVE_0, "rates": ABOVE_0}
CHOICES = {"texts": ("words", "captions"), "article": ("mirflickr", "nuswide", "coco", "")}


class Checked:
    """A dataclass that raises ``ValueError`` for a field that is not as annotated, in ``BOUNDS`` (NaN is not) or in
    ``CHOICES``, and for a tuple that is empty or has something twice."""

    def __post_init__(self) -> None:
        for field in fields(self):
            name, kind, value = field.name, field.type, getattr(self, field.name)
            least, most = BOUNDS.get(name, (1 if "int" in kind else 0, math.inf))
            good, wanted = _fits(value, kind, least, most), kind
            if kind.startswith("tuple"):
                good = isinstance(value, tuple) and (value or name == "rates")
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


@dataclass(frozen=True)
class DataConfig(Checked):
    """A data set by name; with ``photos`` only its first so many, split anew into ``queries`` and ``train``.

    ``protocol``: of MIRFLICKR-25K and NUS-WIDE (:mod:`ctrh.data.protocol`), with ``queries``, ``train`` and ``labels`` for its own.
    ``validation``: of its training photos alone, split by this seed (:func:`ctrh.data.validation.validation_photos`).
    ``noise``: scenes only, how careless their users are (:func:`ctrh.data.noise.with_noise`); None: as they are."""

    name: str
    photos: int | None = None
    queries: int | None = None
    train: int | None = None
    validation: int | None = None
    noise: float | None = None
    protocol: str | None = None
    labels: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.photos and not self.queries:
            raise ValueError(f"DataConfig.queries must be given with photos={self.photos}; got None")

    def load(self) -> Photos:
        if self.name not in DATASETS:
            Profile.current()  # in another process, which has not read the file that registers it
        sizes = {} if self.photos else {"queries": self.queries, "train": self.train}
        chosen = {"protocol": self.protocol, "labels": self.labels, **sizes}
        photos = load_photos(self.name, **{x: value for x, value in chosen.items() if value is not None})
        if self.photos:
            photos = first_photos(photos, self.photos, self.queries, self.train)
        if self.noise is not None:
            photos = with_noise(photos, self.noise)
        return photos if self.validation is None else validation_photos(photos, self.validation)


@dataclass(frozen=True)
class GuideConfig(Checked):
    """A guide by name and weights, as :func:`ctrh.guide.clip.load_guide` takes them."""

    name: str = "small"
    pretrained: str | None = None

    def load(self) -> Guide:
        # Those that are shipped give the same numbers everywhere.
        device = "cuda" if self.name not in SMALL and torch.cuda.is_available() else "cpu"
        return load_guide(self.name, self.pretrained, device=device)


@dataclass(frozen=True)
class DatasetSettings(Checked):
    """A data set and the article's settings for the one it stands for, ``article``: mirflickr, nuswide, "" for none."""

    data: DataConfig
    article: str
    refine: RefineConfig
    losses: LossConfig


@dataclass(frozen=True)
class StudyConfig(Checked):
    """What the studies vary. ``guides``, ``backbones``: labels and what they name. ``bits``: of studies of one length.

    Figure 9: ``alphas`` of Eq. (2), ``margins`` (ε) of Eq. (16), ``tag_balances`` (λ4) of Eq. (19).
    ``noise_rates``: as :class:`DataConfig` takes them. ``factors`` of learning rates that the selection tries.
    ``full_size``: measure the article's own networks too, where the profile's are others."""

    guides: tuple[tuple[str, GuideConfig], ...]
    backbones: tuple[tuple[str, str], ...]
    bits: int = 48
    alphas: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    margins: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9, 1.0)
    tag_balances: tuple[float, ...] = (0.0, 5.0, 10.0, 15.0, 20.0)
    noise_rates: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0)
    factors: tuple[float, ...] = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
    full_size: bool = True


@dataclass(frozen=True)
class CrossData(Checked):
    """A data set as pairs of a photo and its text, the mean of its "words" (tags) or "captions" (one of all tags where
    nobody wrote any). It is left out where the profile leaves out ``article``, or, ``optional``, where it is not there.

    ``database``, ``train``: so many of its photos, at random (None: all)."""

    data: DataConfig
    article: str
    database: int | None = None
    train: int | None = None
    texts: str = "words"
    optional: bool = False

    @property
    def name(self) -> str:
        return self.data.name


@dataclass(frozen=True)
class CrossConfig(Checked):
    """The cross-modal study. ``flip``: how the guide is tuned with hidden patches, on ``tuned`` pairs (None: all);
    ``ks``: of mAP@k; ``ratios``: of hidden patches, timed on ``speed_pictures``, ``speed_vit``: by ViT-B-32 as well."""

    datasets: tuple[CrossData, ...]
    flip: FlipConfig
    tuned: int | None
    fjsph: FJSPHConfig
    bits: tuple[int, ...] = (16, 32, 64)
    ablation_bits: int = 32
    seeds: tuple[int, ...] = (0, 1, 2)
    ks: tuple[int, ...] = (50, 1000)
    ratios: tuple[float, ...] = (0.0, 0.5, 0.75)
    speed_pictures: int = 18
    speed_vit: bool = True


@dataclass(frozen=True)
class Profile(Checked):
    """All that the notebooks need to know. ``top``: the k of mAP@k (the article's 5000 is a fifth of MirFlickr);
    ``convention``: what else mAP leaves open (:data:`ctrh.retrieval.metrics.CONVENTIONS` has those of public code).

    ``end_to_end``: train the backbone along, from pictures; else codes are learned on its features. ``words``: the
    baselines' word vectors. ``rates``: method, data set, and the factor on all learning rates of ``train`` there.
    ``heads``, ``ffn_ratio``: of CTRH's tag weighting."""

    name: str
    datasets: tuple[DatasetSettings, ...]
    guide: GuideConfig
    backbone: str
    end_to_end: bool
    finetune: FinetuneConfig
    train: TrainConfig
    top: int
    seeds: tuple[int, ...]
    study: StudyConfig
    cross: CrossConfig
    bits: tuple[int, ...] = (16, 32, 48, 64)
    methods: tuple[str, ...] = compared()
    words: TrainedVectors | StoredVectors | SentenceVectors = TrainedVectors()
    rates: tuple[tuple[str, str, float], ...] = ()
    convention: Convention = OURS
    heads: int = 8
    ffn_ratio: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := [name for name in self.methods if name not in METHODS]:
            raise ValueError(f"Profile.methods must be among {', '.join(METHODS)}; got {', '.join(unknown)}")

    @classmethod
    def named(cls, name: str) -> Profile:
        """The profile of that name or file; the file that ``$CTRH_PROFILE`` names is also known by its name alone."""
        current = os.environ.get("CTRH_PROFILE") or "demo"
        try:
            return read_profile(profile_file(current if Path(current).stem == name else name))
        except argparse.ArgumentTypeError as error:
            raise ValueError(str(error)) from error

    @classmethod
    def current(cls) -> Profile:
        """The profile that ``$CTRH_PROFILE`` names, else ``demo``."""
        return cls.named(os.environ.get("CTRH_PROFILE") or "demo")

    def dataset(self, name: str) -> DatasetSettings:
        """The settings of a data set, by its name or that of the article's."""
        for settings in self.datasets:
            if name in (settings.data.name, settings.article):
                return settings
        raise ValueError(f"profile {self.name} has no data set {name!r}")

    @property
    def learners(self) -> tuple[str, ...]:
        """Those of its methods that train a network."""
        return tuple(name for name in self.methods if issubclass(METHODS[name], DeepHasher))

    def train_of(self, method: str, dataset: str) -> TrainConfig:
        """How ``method`` is trained on the data set of that name."""
        return self.train.faster({rate[:2]: rate[2] for rate in self.rates}.get((method, dataset), 1.0))


def read_rates(profile: str) -> tuple[tuple[str, str, float], ...]:
    """Method, data set and factor, of the profile's lines in ``profiles/rates.csv``."""
    with RATES.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["profile"] == profile]
    return tuple((row["method"], row["dataset"], float(row["factor"])) for row in rows)


def read_profile(path: Path) -> Profile:
    """The file's ``PROFILE``, under the file's name. ``ValueError`` of one line that says where something is wrong."""
    if not path.is_file():
        raise ValueError(f"there is no {path}: profiles are part of a clone, not of the installed package")
    # For ``from profiles.paper import PROFILE``, wherever this package is used.
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    try:
        found = runpy.run_path(str(path)).get("PROFILE")
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        where = f"{path}, line {lines[-1]}" if lines else path
        raise ValueError(f"{where}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if not isinstance(found, Profile):
        raise ValueError(f"{path} must set PROFILE to a Profile, as profiles/demo.py does; it is {found!r}")
    return replace(found, name=path.stem)
