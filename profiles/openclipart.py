"""Real users' tags of drawings, which the article knows nothing of: Table 1 alone. Needs --data (python -m ctrh data openclipart)."""

from dataclasses import replace

from ctrh.guide.refine import MIRFLICKR as REFINE
from ctrh.guide.word_vectors import SentenceVectors
from ctrh.losses import MIRFLICKR as LOSSES
from ctrh.paper.profiles import CrossData, DataConfig, DatasetSettings, read_rates
from profiles.demo import PROFILE as DEMO

OPENCLIPART = DataConfig("openclipart")

PROFILE = replace(
    DEMO,
    name="openclipart",
    datasets=(DatasetSettings(OPENCLIPART, "", REFINE, LOSSES),),
    train=replace(DEMO.train, epochs=6, checkpoint_every=6),
    top=1000,
    words=SentenceVectors(),
    rates=read_rates("openclipart"),
    study=replace(DEMO.study, backbones=(("guide", "guide"), ("EfficientNet-Lite0", "timm:tf_efficientnet_lite0"))),
    cross=replace(DEMO.cross, datasets=(CrossData(OPENCLIPART, "", database=1400, train=1024),)),
)
