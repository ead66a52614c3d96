"""The demo on tiny subsets of its data, for the tests: under two minutes."""

from dataclasses import replace

from profiles.demo import PROFILE as DEMO


def tiny(data):
    """A few photos of a data set."""
    return replace(data, photos=360, queries=40, train=160)


cross = DEMO.cross

PROFILE = replace(
    DEMO,
    name="smoke",
    datasets=tuple(replace(settings, data=tiny(settings.data)) for settings in DEMO.datasets),
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
        cross,
        datasets=tuple(
            replace(pairs, data=tiny(pairs.data), database=160, train=120) for pairs in cross.datasets
        ),
        flip=replace(cross.flip, finetune=replace(cross.flip.finetune, batch=32)),
        tuned=64,
        fjsph=replace(cross.fjsph, width=32, train=replace(cross.fjsph.train, epochs=2, batch_size=32)),
        bits=(16, 32),
        seeds=(0,),
        speed_pictures=4,
        speed_vit=False,
    ),
)
