"""Profiles: what to run and how large, as data. The algorithms never ask which one it is."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ctrh.data.noise import with_noise
from ctrh.data.photos import Photos
from ctrh.data.registry import first_photos, load_photos
from ctrh.data.validation import validation_photos
from ctrh.guide.clip import SMALL, Guide, load_guide
from ctrh.guide.finetune import FinetuneConfig
from ctrh.guide.flip import FlipConfig
from ctrh.guide.refine import MIRFLICKR as REFINE_MIRFLICKR
from ctrh.guide.refine import NUSWIDE as REFINE_NUSWIDE
from ctrh.guide.refine import RefineConfig
from ctrh.guide.word_vectors import StoredVectors, TrainedVectors
from ctrh.losses import MIRFLICKR as LOSS_MIRFLICKR
from ctrh.losses import NUSWIDE as LOSS_NUSWIDE
from ctrh.losses import LossConfig
from ctrh.methods.fjsph import FJSPHConfig
from ctrh.paper.overrides import overridden
from ctrh.training import TrainConfig


@dataclass(frozen=True)
class DataConfig:
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

    def load(self) -> Photos:
        own = {
            "protocol": self.protocol,
            **({} if self.photos else {"queries": self.queries, "train": self.train}),
        }
        photos = load_photos(self.name, **{name: value for name, value in own.items() if value is not None})
        if self.photos:
            photos = first_photos(photos, self.photos, self.queries, self.train)
        if self.noise is not None:
            photos = with_noise(photos, self.noise)
        return validation_photos(photos) if self.validation else photos


@dataclass(frozen=True)
class GuideConfig:
    """A guide by name and weights, as :func:`ctrh.guide.clip.load_guide` takes them.

    Full-size ones work on the GPU where there is one; those that are shipped give the same numbers everywhere.
    """

    name: str = "small"
    pretrained: str | None = None

    def load(self) -> Guide:
        device = "cuda" if self.name not in SMALL and torch.cuda.is_available() else "cpu"
        return load_guide(self.name, self.pretrained, device=device)


@dataclass(frozen=True)
class DatasetSettings:
    """A data set and what the article sets for it. ``article``: the data set of the article that it stands for."""

    data: DataConfig
    article: str
    refine: RefineConfig
    losses: LossConfig


@dataclass(frozen=True)
class StudyConfig:
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


# Of 6,000 and 10,600 pictures so many that a laptop is done with all tables within minutes. As in the article, one set
# is trained on the whole database, the other on a part of it.
SCENES_MIR = DataConfig("scenes-mir", photos=2400, queries=300)
SCENES_NUS = DataConfig("scenes-nus", photos=3400, queries=400, train=1500)
SMALL_STUDY = StudyConfig(
    guides=(("small", GuideConfig("small")), ("small-b", GuideConfig("small-b"))),
    backbones=tuple((name, name) for name in ("small-alexnet", "small-resnet", "small-vit", "guide")),
)
PAPER_STUDY = StudyConfig(
    guides=(
        ("CLIP", GuideConfig("ViT-B-32-quickgelu", "openai")),
        ("OpenCLIP", GuideConfig("ViT-B-32", "laion2b_s34b_b79k")),
    ),
    backbones=(
        ("AlexNet", "alexnet"),
        ("ResNet-50", "resnet50"),
        ("ViT-B-16", "vit_b_16"),
        ("CLIP (ViT-B-32)", "guide"),
    ),
)


TEXTS = ("words", "captions")


@dataclass(frozen=True)
class CrossData:
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

    def __post_init__(self) -> None:
        if self.texts not in TEXTS:
            raise ValueError(f"texts must be one of {', '.join(TEXTS)}, got {self.texts!r}")

    @property
    def name(self) -> str:
        return self.data.name


@dataclass(frozen=True)
class CrossConfig:
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


SMALL_CROSS = CrossConfig(
    datasets=(CrossData(SCENES_MIR, "mirflickr", database=1400, train=1024),),
    # Few steps and a small rate: tuning on users' tags makes this guide worse, the more the longer.
    flip=FlipConfig(FinetuneConfig(epochs=1, learning_rate=3e-5), ratio=0.5, unmasked=0),
    tuned=512,
    fjsph=FJSPHConfig(
        width=128,
        train=TrainConfig(epochs=15, batch_size=256, lr_head=0.4, schedule="cosine", monitor=512),
    ),
)
PAPER_CROSS = CrossConfig(
    datasets=(
        CrossData(DataConfig("mirflickr", protocol="cross-modal"), "mirflickr"),
        CrossData(DataConfig("nuswide", protocol="cross-modal"), "nuswide"),
        CrossData(DataConfig("coco"), "coco", texts="captions", optional=True),
    ),
    # CLIP's weights have seen whole pictures only: some epochs with hidden patches, then FLIP's unmasked tuning.
    flip=FlipConfig(FinetuneConfig(epochs=6, decay_every=2), ratio=0.5, unmasked=1),
    tuned=None,
    fjsph=FJSPHConfig(
        width=512,
        train=TrainConfig(epochs=50, batch_size=128, lr_head=0.2, schedule="cosine", accelerator="auto"),
    ),
    bits=(16, 32, 64, 128),
)


@dataclass(frozen=True)
class Profile:
    """All that the notebooks need to know. ``top``: the k of mAP@k (the article's 5000 is a fifth of MirFlickr).

    ``end_to_end``: train the backbone along, from pictures; else the codes are learned on its features. ``words``: the
    word vectors that the weakly supervised baselines learn from. ``rates``: for a method and data set by name, by how
    much all learning rates of ``train`` are multiplied, as :mod:`ctrh.paper.selection` chose it; 1 for the others.
    ``heads``, ``ffn_ratio``: of CTRH's tag weighting.
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
    methods: tuple[str, ...] = ("LSH", "SH", "ITQ", "WDHT", "MGRN", "EWSH", "WSHRCA", "CTRH")
    words: TrainedVectors | StoredVectors = TrainedVectors()
    rates: tuple[tuple[str, str, float], ...] = ()
    heads: int = 8
    ffn_ratio: int = 4

    @classmethod
    def named(cls, name: str) -> Profile:
        """``smoke``, ``demo``, ``paper``, or the one in the file ``$CTRH_PROFILE_FILE`` (as ``run_all.sh --profile FILE``
        sets it), which is called as the file; ``ValueError`` for any other.
        """
        file = Path(os.environ.get("CTRH_PROFILE_FILE") or "none")
        if name == file.stem and name not in PROFILES and file.suffix == ".json":
            return read_profile(file)
        if name not in PROFILES:
            raise ValueError(f"no profile is called {name!r}: choose one of {', '.join(PROFILES)}")
        return PROFILES[name]

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

    def train_of(self, method: str, dataset: str) -> TrainConfig:
        """How ``method`` is trained on the data set of that name."""
        factors = {(one, other): factor for one, other, factor in self.rates}
        return self.train.faster(factors.get((method, dataset), 1.0))


DEMO = Profile(
    name="demo",
    datasets=(
        DatasetSettings(SCENES_MIR, "mirflickr", REFINE_MIRFLICKR, LOSS_MIRFLICKR),
        DatasetSettings(SCENES_NUS, "nuswide", REFINE_NUSWIDE, LOSS_NUSWIDE),
    ),
    guide=GuideConfig(),
    backbone="guide",
    end_to_end=False,
    # Less than the paper's 30 epochs: the small guide has its own pre-training just behind it.
    finetune=FinetuneConfig(epochs=1),
    # Fewer and larger steps than the paper's, for minutes on a laptop; so the rates are larger too (``rates``). A training
    # takes a second: one checkpoint, at its end, is enough.
    train=TrainConfig(epochs=3, batch_size=128, schedule="cosine", checkpoint_every=3),
    top=500,
    seeds=(0, 1, 2),
    study=SMALL_STUDY,
    cross=SMALL_CROSS,
    rates=(
        ("WDHT", "scenes-mir", 300.0),
        ("WDHT", "scenes-nus", 300.0),
        ("MGRN", "scenes-mir", 100.0),
        ("MGRN", "scenes-nus", 100.0),
        ("EWSH", "scenes-mir", 300.0),
        ("EWSH", "scenes-nus", 300.0),
        ("WSHRCA", "scenes-mir", 1000.0),
        ("WSHRCA", "scenes-nus", 3000.0),
        ("CTRH", "scenes-mir", 300.0),
        ("CTRH", "scenes-nus", 300.0),
    ),
    # The small guide's text is half as wide as CLIP's: heads of the same width, and an FFN that takes a laptop's time.
    heads=4,
    ffn_ratio=1,
)
SMOKE = replace(
    DEMO,
    name="smoke",
    datasets=tuple(
        replace(each, data=replace(each.data, photos=360, queries=40, train=160)) for each in DEMO.datasets
    ),
    finetune=replace(DEMO.finetune, epochs=1),
    train=replace(DEMO.train, epochs=2, batch_size=32, checkpoint_every=2),
    top=50,
    seeds=(0,),
    bits=(16, 32),
    study=replace(
        DEMO.study,
        bits=32,
        alphas=(0.0, 0.25, 0.5, 1.0),
        margins=(0.7, 0.9),
        tag_balances=(0.0, 15.0),
        noise_rates=(0.0, 1.0),
        factors=(10.0, 100.0),
        full_size=False,
    ),
    cross=replace(
        DEMO.cross,
        datasets=tuple(
            replace(
                each,
                data=replace(each.data, photos=360, queries=40, train=160),
                database=160,
                train=120,
            )
            for each in DEMO.cross.datasets
        ),
        flip=replace(DEMO.cross.flip, finetune=replace(DEMO.cross.flip.finetune, batch=32)),
        tuned=64,
        fjsph=replace(
            DEMO.cross.fjsph, width=32, train=replace(DEMO.cross.fjsph.train, epochs=2, batch_size=32)
        ),
        bits=(16, 32),
        seeds=(0,),
        speed_pictures=4,
        speed_vit=False,
    ),
)
PAPER = Profile(
    name="paper",
    datasets=(
        DatasetSettings(DataConfig("mirflickr"), "mirflickr", REFINE_MIRFLICKR, LOSS_MIRFLICKR),
        DatasetSettings(DataConfig("nuswide"), "nuswide", REFINE_NUSWIDE, LOSS_NUSWIDE),
    ),
    guide=GuideConfig("ViT-B-32-quickgelu", "openai"),
    backbone="alexnet",
    end_to_end=True,
    finetune=FinetuneConfig(),
    train=TrainConfig(accelerator="auto", augment=True),
    top=5000,
    seeds=(0, 1, 2),
    study=PAPER_STUDY,
    cross=PAPER_CROSS,
    words=StoredVectors(),
)
# Real users' tags of drawings, which the article knows nothing of; the demo's guide, and one learning rate for all.
OPENCLIPART = replace(
    DEMO,
    name="openclipart",
    datasets=(DatasetSettings(DataConfig("openclipart"), "", REFINE_MIRFLICKR, LOSS_MIRFLICKR),),
    train=replace(DEMO.train, epochs=6, checkpoint_every=6),
    top=1000,
    seeds=(0, 1),
    bits=(32, 64),
    rates=tuple((method, "openclipart", 30.0) for method in ("WDHT", "MGRN", "EWSH", "WSHRCA", "CTRH")),
    study=replace(SMALL_STUDY, backbones=(("guide", "guide"), ("EfficientNet-Lite0", "efficientnet-lite0"))),
    cross=replace(
        SMALL_CROSS, datasets=(CrossData(DataConfig("openclipart"), "", database=1400, train=1024),)
    ),
)
PROFILES = {profile.name: profile for profile in (SMOKE, DEMO, PAPER, OPENCLIPART)}


def read_profile(path: Path) -> Profile:
    """A profile of one's own: a JSON file that says what is other than in the profile ``base`` (default: paper), as
    :mod:`ctrh.paper.overrides` reads it. ``ValueError`` that names file and place for what does not fit.
    """
    try:
        changes = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    base = changes.pop("base", "paper") if isinstance(changes, dict) else "paper"
    if base not in PROFILES:
        raise ValueError(f"{path}: base must be one of {', '.join(PROFILES)}, got {base!r}")
    if isinstance(changes, dict) and "name" in changes:
        raise ValueError(f"{path}: name does not exist: a profile is called as its file")
    try:
        return replace(overridden(PROFILES[base], changes), name=path.stem)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
