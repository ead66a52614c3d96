"""What the cross-modal study runs in each profile, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ctrh.guide.finetune import FinetuneConfig
from ctrh.guide.flip import FlipConfig
from ctrh.methods.fjsph import FJSPHConfig
from ctrh.paper.profiles import DataConfig, GuideConfig, Profile
from ctrh.training import TrainConfig

TEXTS = ("words", "captions")


@dataclass(frozen=True)
class CrossData:
    """A data set as pairs of a photo and its text.

    ``article``: the data set of CTRH's article whose settings CTRH takes here. ``database``, ``train``: so many of its
    database and of its training photos, drawn by seed 0 (None: all); FJSPH knows the labels of these training photos.
    ``texts``: a photo's text is its tags, as the mean of the features of its "words", or its "captions" (all tags in
    one sentence where nobody wrote any).
    """

    data: DataConfig
    article: str
    database: int | None = None
    train: int | None = None
    texts: str = "words"

    def __post_init__(self) -> None:
        if self.texts not in TEXTS:
            raise ValueError(f"texts must be one of {', '.join(TEXTS)}, got {self.texts!r}")

    @property
    def name(self) -> str:
        return self.data.name


@dataclass(frozen=True)
class CrossProfile:
    """``tuned``: how many training pairs tune the guide in FLIP's manner (``flip``); ``ablation_bits``: the length of
    the ablation; ``ks``: of mAP@k; ``ratios``: masking ratios whose speed is measured, on ``speed_pictures``, with
    ``speed_vit`` also by the size of ViT-B-32.
    """

    datasets: tuple[CrossData, ...]
    guide: GuideConfig
    flip: FlipConfig
    tuned: int | None
    fjsph: FJSPHConfig
    bits: tuple[int, ...] = (16, 32, 64)
    ablation_bits: int = 32
    seeds: tuple[int, ...] = (0, 1, 2)
    ks: tuple[int, ...] = (50, 1000)
    ratios: tuple[float, ...] = (0.0, 0.5, 0.75)
    speed_pictures: int = 24
    speed_vit: bool = True


DEMO = CrossProfile(
    datasets=(CrossData(DataConfig("scenes-mir"), "mirflickr", database=1400, train=1024),),
    guide=GuideConfig(),
    # Few steps and a small rate: tuning on users' tags makes this guide worse, the more the longer.
    flip=FlipConfig(FinetuneConfig(epochs=1, learning_rate=3e-5), ratio=0.5, unmasked=0),
    tuned=512,
    fjsph=FJSPHConfig(
        width=128, train=TrainConfig(epochs=15, batch_size=256, lr_head=0.4, schedule="cosine", monitor=512)
    ),
)
SMOKE = replace(
    DEMO,
    datasets=(
        CrossData(
            DataConfig("scenes-mir", photos=360, queries=40, train=160), "mirflickr", database=160, train=120
        ),
    ),
    flip=replace(DEMO.flip, finetune=replace(DEMO.flip.finetune, batch=32)),
    tuned=64,
    fjsph=replace(DEMO.fjsph, width=32, train=replace(DEMO.fjsph.train, epochs=2, batch_size=32)),
    bits=(16, 32),
    seeds=(0,),
    speed_pictures=4,
    speed_vit=False,
)
PAPER = CrossProfile(
    datasets=(
        CrossData(DataConfig("mirflickr", protocol="cross-modal"), "mirflickr"),
        CrossData(DataConfig("nuswide", protocol="cross-modal"), "nuswide"),
        CrossData(DataConfig("coco"), "mirflickr", texts="captions"),
    ),
    guide=GuideConfig("ViT-B-32-quickgelu", "openai"),
    # CLIP's weights have seen whole pictures only: some epochs with hidden patches, then FLIP's unmasked tuning.
    flip=FlipConfig(FinetuneConfig(epochs=6, decay_every=2), ratio=0.5, unmasked=1),
    tuned=None,
    fjsph=FJSPHConfig(
        width=512,
        train=TrainConfig(epochs=50, batch_size=128, lr_head=0.2, schedule="cosine", accelerator="auto"),
    ),
    bits=(16, 32, 64, 128),
)


def cross_profile(profile: Profile) -> CrossProfile:
    """The study's settings in ``profile``; one of one's own takes those of the profile whose guide it has."""
    known = {"smoke": SMOKE, "demo": DEMO, "paper": PAPER}
    if profile.name in known:
        return known[profile.name]
    return PAPER if profile.guide == PAPER.guide else DEMO
