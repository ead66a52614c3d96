"""MIRFLICKR-25K and NUS-WIDE with the article's own settings: needs --data, --weights and a GPU."""

from ctrh.guide.finetune import FinetuneConfig
from ctrh.guide.flip import FlipConfig
from ctrh.guide.refine import MIRFLICKR as REFINE_MIRFLICKR
from ctrh.guide.refine import NUSWIDE as REFINE_NUSWIDE
from ctrh.guide.word_vectors import StoredVectors
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
)
from ctrh.training import TrainConfig

CLIP = GuideConfig("ViT-B-32-quickgelu", "openai")

STUDY = StudyConfig(
    guides=(("CLIP", CLIP), ("OpenCLIP", GuideConfig("ViT-B-32", "laion2b_s34b_b79k"))),
    backbones=(
        ("AlexNet", "alexnet"),
        ("ResNet-50", "resnet50"),
        ("ViT-B-16", "vit_b_16"),
        ("CLIP (ViT-B-32)", "guide"),
    ),
)

CROSS = CrossConfig(
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

PROFILE = Profile(
    name="paper",
    datasets=(
        DatasetSettings(DataConfig("mirflickr"), "mirflickr", REFINE_MIRFLICKR, LOSS_MIRFLICKR),
        DatasetSettings(DataConfig("nuswide"), "nuswide", REFINE_NUSWIDE, LOSS_NUSWIDE),
    ),
    guide=CLIP,
    backbone="alexnet",
    end_to_end=True,
    finetune=FinetuneConfig(),
    # Every photo is decoded once, and four processes cut the views of each epoch: reading anew costs more than learning.
    train=TrainConfig(accelerator="auto", augment=True, decoded=True, workers=4),
    top=5000,
    seeds=(0, 1, 2),
    study=STUDY,
    cross=CROSS,
    words=StoredVectors(),
)
