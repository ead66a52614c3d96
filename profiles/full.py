"""The demo on all of its data, trained until losses stand still, with five seeds.

First ``python -m ctrh.paper.selection --profile full``, which writes its learning rates to ``rates.csv``, then ``./run_all.sh
--profile full``. Both can be interrupted: a finished training is kept in the cache, and none takes long.

About two and a half hours on two free cores, at most three. In the demo a step of CTRH takes 9 ms on a free core (14 ms on a busy one: 700
steps in 9.6 s); 30 epochs on 4,600 and 4,000 training photos are 1,050 and 930 steps. So 1,012 trainings of CTRH and 598 of the others, which
take 0.6 as long, are 12,300 s on one core, 1.7 hours on two; features, the cross-modal study, notebooks and the report should take less than
another. In the last fifth of those 700 steps CTRH's loss went from 1.05 to 1.02, having begun at 6.97 (factor 10).
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
