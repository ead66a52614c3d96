"""The demo on all of its data, trained until losses stand still, with five seeds: what the README's tables rest on.

TIME
"""

from dataclasses import replace

from ctrh.paper.profiles import CrossData, DataConfig, read_rates
from profiles.demo import PROFILE as DEMO

# All 6,000 and 10,600 pictures, split as the data sets are.
SCENES_MIR = DataConfig("scenes-mir")
SCENES_NUS = DataConfig("scenes-nus")
EPOCHS = 30

PROFILE = replace(
    DEMO,
    name="full",
    datasets=tuple(
        replace(settings, data=data)
        for settings, data in zip(DEMO.datasets, (SCENES_MIR, SCENES_NUS), strict=True)
    ),
    train=replace(DEMO.train, epochs=EPOCHS, checkpoint_every=EPOCHS),
    top=1000,
    seeds=(0, 1, 2, 3, 4),
    # About 25 times the demo's steps, so rates are smaller.
    study=replace(DEMO.study, factors=(1.0, 3.0, 10.0, 30.0, 100.0, 300.0)),
    cross=replace(
        DEMO.cross,
        datasets=(CrossData(SCENES_MIR, "mirflickr"),),
        fjsph=replace(DEMO.cross.fjsph, train=replace(DEMO.cross.fjsph.train, epochs=EPOCHS)),
        seeds=(0, 1, 2, 3, 4),
    ),
    rates=read_rates("full"),
)
