"""Profiles: what to run and how large, as data. The algorithms never ask which one it is.

The profiles themselves are short Python files in the repository's folder ``profiles``; one's own is such a file anywhere.
"""

from __future__ import annotations

import argparse
import csv
import os
import runpy
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

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
from ctrh.guide.word_vectors import StoredVectors, TrainedVectors
from ctrh.losses import LossConfig
from ctrh.methods.fjsph import FJSPHConfig
from ctrh.methods.registry import METHODS, compared
from ctrh.paper.checked import Checked
from ctrh.paper.launch import ROOT, profile_file
from ctrh.training import TrainConfig

RATES = ROOT / "profiles" / "rates.csv"


@dataclass(frozen=True)
class DataConfig(Checked):
    """A data set by name; with ``photos`` only its first so many, split anew into ``queries`` and ``train``.

    ``protocol``: of MIRFLICKR-25K and NUS-WIDE (:mod:`ctrh.data.protocol`); ``queries`` and ``train`` in place of its own.
    ``validation``: of its training photos alone, as :func:`ctrh.data.validation.validation_photos` judges them.
    ``noise``: scenes only, how careless their users are (:func:`ctrh.data.noise.with_noise`); None: as they are.
    """

    name: str
    photos: int | None = None
    queries: int | None = None
    train: int | None = None
    validation: bool = False
    noise: float | None = None
    protocol: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.photos and not self.queries:
            raise ValueError(f"DataConfig.queries must be given with photos={self.photos}; got None")

    def load(self) -> Photos:
        """Raises ``ValueError`` for a name that no data set has, and whatever the data set raises."""
        if self.name not in DATASETS:
            Profile.current()  # in another process, which has not read the file that registers it
        chosen = {"protocol": self.protocol}
        if not self.photos:
            chosen |= {"queries": self.queries, "train": self.train}
        chosen = {name: value for name, value in chosen.items() if value is not None}
        photos = load_photos(self.name, **chosen)
        if self.photos:
            photos = first_photos(photos, self.photos, self.queries, self.train)
        if self.noise is not None:
            photos = with_noise(photos, self.noise)
        return validation_photos(photos) if self.validation else photos


@dataclass(frozen=True)
class GuideConfig(Checked):
    """A guide by name and weights, as :func:`ctrh.guide.clip.load_guide` takes them.

    Full-size ones work on the GPU where there is one; those that are shipped give the same numbers everywhere.
    """

    name: str = "small"
    pretrained: str | None = None

    def load(self) -> Guide:
        device = "cuda" if self.name not in SMALL and torch.cuda.is_available() else "cpu"
        return load_guide(self.name, self.pretrained, device=device)


@dataclass(frozen=True)
class DatasetSettings(Checked):
    """A data set and what the article sets for it. ``article``: that of its data sets for which it stands, "mirflickr" or
    "nuswide"; "" for none."""

    data: DataConfig
    article: str
    refine: RefineConfig
    losses: LossConfig


@dataclass(frozen=True)
class StudyConfig(Checked):
    """What the studies vary. ``guides`` and ``backbones``: labels and what they name, as guides of the tags and as
    :func:`ctrh.backbones.load_backbone` takes them.

    ``bits``: the length of those that have one only. ``alphas`` of Eq. (2), ``margins`` (ε) of Eq. (16) and
    ``tag_balances`` (λ4) of Eq. (19): Figure 9. ``noise_rates``: of the users' tags, as :class:`DataConfig` takes them.
    ``factors`` of the learning rates that :mod:`ctrh.paper.selection` tries. ``full_size``: whether the cost of encoding
    is also measured with the article's own networks, where the profile's are others.
    """

    guides: tuple[tuple[str, GuideConfig], ...]
    backbones: tuple[tuple[str, str], ...]
    bits: int = 48
    alphas: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    margins: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9, 1.0)
    tag_balances: tuple[float, ...] = (0.0, 5.0, 10.0, 15.0, 20.0)
    noise_rates: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0)
    factors: tuple[float, ...] = (30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)
    full_size: bool = True


@dataclass(frozen=True)
class CrossData(Checked):
    """A data set as pairs of a photo and its text. ``article``: that of the profile's data sets which it belongs to; it
    is left out where the profile leaves that one out. ``optional``: of none; left out where it is not on the machine.

    ``database``, ``train``: so many of its database and training photos, at random (None: all); FJSPH learns from the
    labels of these training photos. ``texts``: a text is the mean of the features of its "words", the photo's tags; or
    its "captions" (all tags in one sentence where nobody wrote any).
    """

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
    """The cross-modal study. ``flip``: how the guide is tuned with hidden patches, on ``tuned`` training pairs (None: all).

    ``ablation_bits``: the length of what is left out or chosen otherwise; ``ks``: of mAP@k; ``ratios``: shares of hidden
    patches whose speed is measured, on ``speed_pictures``, with ``speed_vit`` also on a tower of ViT-B-32's size.
    """

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
    """All that the notebooks need to know. ``top``: the k of mAP@k (the article's 5000 is a fifth of MirFlickr).

    ``end_to_end``: train the backbone along, from pictures; else codes are learned on its features. ``words``: the word
    vectors of the baselines. ``rates``: method, data set, and by how much all learning rates of ``train`` are multiplied
    there (:func:`read_rates`); 1 for the others. ``heads``, ``ffn_ratio``: of CTRH's tag weighting.
    """

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
    words: TrainedVectors | StoredVectors = TrainedVectors()
    rates: tuple[tuple[str, str, float], ...] = ()
    heads: int = 8
    ffn_ratio: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := [name for name in self.methods if name not in METHODS]:
            raise ValueError(f"Profile.methods must be among {', '.join(METHODS)}; got {', '.join(unknown)}")

    @classmethod
    def named(cls, name: str) -> Profile:
        """The profile of that name, or the one in the file of that path; a file of one's own that ``$CTRH_PROFILE`` names
        (as ``run_all.sh --profile FILE`` sets it) is also known by its name alone. Raises ``ValueError``."""
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
        """The settings of one of this profile's data sets, by its name or that of the article's."""
        for settings in self.datasets:
            if name in (settings.data.name, settings.article):
                return settings
        raise ValueError(f"profile {self.name} has no data set {name!r}")

    @property
    def learners(self) -> tuple[str, ...]:
        """Those of its methods that learn from tags."""
        return tuple(name for name in self.methods if METHODS[name].needs != "features")

    def train_of(self, method: str, dataset: str) -> TrainConfig:
        """How ``method`` is trained on the data set of that name."""
        factors = {rate[:2]: rate[2] for rate in self.rates}
        return self.train.faster(factors.get((method, dataset), 1.0))


def read_rates(profile: str) -> tuple[tuple[str, str, float], ...]:
    """Method, data set and factor of each line of ``profiles/rates.csv`` that is the profile's."""
    with RATES.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["profile"] == profile]
    return tuple((row["method"], row["dataset"], float(row["factor"])) for row in rows)


def read_profile(path: Path) -> Profile:
    """What the file calls ``PROFILE``, under the file's name. ``ValueError`` of one line that says where something is wrong."""
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
