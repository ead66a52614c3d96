"""All tables and figures on the embedded data: minutes on a laptop without a GPU or network."""

from ctrh.guide.finetune import FinetuneConfig
from ctrh.guide.flip import FlipConfig
from ctrh.guide.refine import MIRFLICKR as REFINE_MIRFLICKR
from ctrh.guide.refine import NUSWIDE as REFINE_NUSWIDE
from ctrh.losses import MIRFLICKR as LOSS_MIRFLICKR
from ctrh.losses import NUSWIDE as LOSS_NUSWIDE
from ctrh.methods.fjsph import FJSPHConfig
from ctrh.paper.profiles import (
    CrossConfig,
    CrossData,
    DataConfig,
    DatasetSettings,
    GuideConfig,
    Profile,
    StudyConfig,
    read_rates,
)
from ctrh.training import TrainConfig

# Of 6,000 and 10,600 pictures so many that a laptop is done with all tables within minutes. As in the article, one set
# is trained on the whole database, the other on a part of it.
SCENES_MIR = DataConfig("scenes-mir", photos=2400, queries=300)
SCENES_NUS = DataConfig("scenes-nus", photos=3400, queries=400, train=1500)

STUDY = StudyConfig(
    guides=(("small", GuideConfig("small")), ("small-b", GuideConfig("small-b"))),
    backbones=tuple((name, name) for name in ("small-alexnet", "small-resnet", "small-vit", "guide")),
)

CROSS = CrossConfig(
    datasets=(CrossData(SCENES_MIR, "mirflickr", database=1400, train=1024),),
    # Few steps and a small rate: tuning on users' tags makes this guide worse, the more the longer.
    flip=FlipConfig(FinetuneConfig(epochs=1, learning_rate=3e-5), ratio=0.5, unmasked=0),
    tuned=512,
    fjsph=FJSPHConfig(
        width=128,
        train=TrainConfig(epochs=15, batch_size=256, lr_head=0.4, schedule="cosine", monitor=512),
    ),
)

PROFILE = Profile(
    name="demo",
    datasets=(
        DatasetSettings(SCENES_MIR, "mirflickr", REFINE_MIRFLICKR, LOSS_MIRFLICKR),
        DatasetSettings(SCENES_NUS, "nuswide", REFINE_NUSWIDE, LOSS_NUSWIDE),
    ),
    guide=GuideConfig(),
    backbone="guide",
    end_to_end=False,
    # Less than the article's 30 epochs: the small guide has its own pre-training just behind it.
    finetune=FinetuneConfig(epochs=1),
    # Fewer and larger steps than the article's, for minutes on a laptop; so the rates are larger too (``rates.csv``). A training
    # takes a second: one checkpoint, at its end, is enough.
    train=TrainConfig(epochs=3, batch_size=128, schedule="cosine", checkpoint_every=3),
    top=500,
    seeds=(0, 1, 2),
    study=STUDY,
    cross=CROSS,
    rates=read_rates("demo"),
    # The small guide's text is half as wide as CLIP's: heads of the same width, and an FFN that takes a laptop's time.
    heads=4,
    ffn_ratio=1,
)
