"""The paper profile, for two dozen photos: what keeps a run on them short is other, everything else is the paper's own."""

from dataclasses import replace

from profiles.paper import PROFILE as PAPER


def few(settings, queries, train):
    """A data set's settings, with so few photos."""
    return replace(settings, data=replace(settings.data, queries=queries, train=train))


cross = PAPER.cross
*flickr, coco = cross.datasets

PROFILE = replace(
    PAPER,
    datasets=tuple(few(settings, 5, 10) for settings in PAPER.datasets),
    finetune=replace(PAPER.finetune, epochs=1, batch=5),
    train=replace(PAPER.train, epochs=1, batch_size=5),
    top=10,
    seeds=(0,),
    bits=(4, 8),
    study=replace(
        PAPER.study, bits=8, alphas=(0.0, 0.5), margins=(0.7, 0.9), tag_balances=(0.0, 15.0), noise_rates=(1.0,)
    ),
    cross=replace(
        cross,
        datasets=(*(few(pairs, 3, 5) for pairs in flickr), coco),
        flip=replace(cross.flip, finetune=replace(cross.flip.finetune, epochs=1, batch=4), unmasked=0),
        fjsph=replace(cross.fjsph, width=8, train=replace(cross.fjsph.train, epochs=1, batch_size=4)),
        bits=(8,),
        ablation_bits=8,
        seeds=(0,),
        ks=(5,),
        speed_pictures=2,
        speed_vit=False,
    ),
)
