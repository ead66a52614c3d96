"""What one profile has otherwise than another, in a table."""

from __future__ import annotations

import pandas as pd

from ctrh.guide.word_vectors import TrainedVectors
from ctrh.paper.profiles import Profile
from ctrh.paper.runs import HASHERS


def profiles_side_by_side(*profiles: Profile) -> pd.DataFrame:
    """What runs and how large, a column a profile; ``trainings`` are those of Tables 1 and 2."""
    return pd.DataFrame({profile.name: _facts(profile) for profile in profiles})


def _facts(profile: Profile) -> dict[str, str]:
    train, tuned = profile.train, profile.finetune
    learners = sum(method in HASHERS for method in profile.methods)
    lengths, seeds = len(profile.bits), len(profile.seeds)
    trained_words = isinstance(profile.words, TrainedVectors)
    factors = [factor for *_, factor in profile.rates]
    return {
        "data sets": ", ".join(each.data.name for each in profile.datasets),
        "guide": " ".join(filter(None, [profile.guide.name, profile.guide.pretrained])),
        "guide fine-tuned": f"{tuned.epochs} epoch{'s' * (tuned.epochs != 1)}, batches of {tuned.batch}",
        "image network": profile.backbone + (", trained along" if profile.end_to_end else ", frozen"),
        "word vectors of the baselines": "word2vec of the training tags"
        if trained_words
        else profile.words.file,
        "training": f"{train.epochs} epochs, batches of {train.batch_size}, {train.schedule} rate",
        "random crops and flips": "yes" if train.augment else "no",
        "learning rates": f"the article's times {min(factors):g} to {max(factors):g}"
        if factors
        else "the article's",
        "bits": ", ".join(map(str, profile.bits)),
        "seeds": str(seeds),
        "trainings of Tables 1, 2": f"{learners} methods x {lengths} lengths x {seeds} seeds x {len(profile.datasets)} sets = "
        f"{learners * lengths * seeds * len(profile.datasets)}",
        "mAP@k": f"k = {profile.top}",
    }
