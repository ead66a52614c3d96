"""From photos to a model: refined tags, features, training, codes; then how good they are, where labels can tell."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ctrh.app import model_folder
from ctrh.app.inputs import say, tag_rows
from ctrh.app.model_folder import HISTORY, RESULTS, TAGS, EncoderSpec
from ctrh.app.photo_search import backbone_of, encode, features_of, guide_of, save_search
from ctrh.app.refining import refined
from ctrh.data.photos import Photos
from ctrh.data.tables import write_table
from ctrh.guide.features import concept_distribution
from ctrh.guide.refine import tags_to_keep
from ctrh.guide.word_vectors import TrainedVectors, word_vectors
from ctrh.losses import MIRFLICKR
from ctrh.methods.registry import METHODS, estimator, untaught
from ctrh.retrieval.metrics import CONVENTIONS, Convention, evaluate
from ctrh.store import cache_dir, replacing
from ctrh.training import TrainConfig


def fit(photos: Photos, spec: EncoderSpec, out: Path, args: Namespace) -> None:
    """Trains on ``photos`` as the options of `fit` say, and writes the model to ``out``; prints the scores."""
    chosen = {name: getattr(args, name) for name in ("ties", "denominator") if getattr(args, name)}
    convention = replace(CONVENTIONS[args.convention], **chosen)
    guide = guide_of(spec, args.device)
    features = features_of(photos.images, spec, guide)
    method, train = METHODS[args.method], photos.split.train
    tags, text_guide, history = photos.tags, guide, None
    if (args.tags or ("refined" if method.needs == "guide" else "user")) == "refined":
        # As many as Eq. (3) keeps: codes learn more from them than from the probable ones alone (notebook 12).
        counts = tags_to_keep(photos.tags, photos.common)
        found, text_guide = refined(photos, guide, args.alpha, args.published, counts)
        tags = sp.csr_array(found, dtype=bool)
    say(f"training {args.method}: {args.bits} bits, {len(train)} photos, at most {args.epochs} epochs")
    if method.needs == "features":
        hasher = estimator(args.method, args.bits, args.seed).fit(features[train])
    else:
        accelerator = "cuda" if args.device.startswith("cuda") else "cpu"
        config = method.default_config(
            TrainConfig(args.epochs, seed=args.seed, accelerator=accelerator), MIRFLICKR
        )
        hasher = method(replace(config, bits=args.bits))
        if method.needs == "words":
            words = word_vectors(photos, TrainedVectors())
            # A tag that too few photos carry has no vector.
            learned, text = sp.csr_array(tags * words.known), words.vectors
        else:
            learned, text = tags, text_guide.text_features(photos.vocabulary)
        if method.needs == "concepts":
            learned = concept_distribution(guide, photos.images, guide.text_features(photos.vocabulary))
        history = hasher.fit(features[train], learned[train], text, cache_dir() / "training")
    codes = encode(hasher, features)

    model_folder.begin(out)
    write_table(out / TAGS, ("image", "tags"), tag_rows(photos, tags))
    if history is not None:
        _write_frame(out / HISTORY, history)
    about = {name: getattr(args, name) for name in ("method", "bits", "epochs", "seed", "tags", "alpha", "published")}
    key = backbone_of(spec, guide).key
    tuned = None if text_guide is guide else text_guide
    save_search(out, hasher, codes, photos.images, spec, key, guide, tuned, about)
    # Scores are an extra: the model is there already, whatever becomes of them.
    if photos.labels is not None:
        results = scores(photos, features, codes, args.method, args.seed, convention)
        if len(results):
            print(results.to_string(index=False, float_format="{:.4f}".format))
            _write_frame(out / RESULTS, results)
            best = results["method"][results["mAP@all"].idxmax()]
            if best != args.method:
                say(f"{best} finds more of what these labels call relevant: fit with --method {best} to use it")


def scores(
    photos: Photos, features: np.ndarray, codes: np.ndarray, fitted: str, seed: int, convention: Convention
) -> pd.DataFrame:
    """Retrieval scores of the methods without tags, trained on the training photos' ``features`` (N, F), and of the
    ``codes`` (N, K) of the method ``fitted``: mAP over the whole ranking and its first 5,000, as in the article, and
    precision of the first ten.

    What cannot be scored is left out, and said.
    """
    bits, split = codes.shape[1], photos.split
    queries, database = photos.relevant()
    if not len(queries) or not (queries & database.any(axis=0)).any():
        say("not scored: no query among the labelled photos has a relevant photo (see --queries)")
        return pd.DataFrame()
    others = [name for name in untaught() if METHODS[name].compared and name != fitted]
    say(f"scoring {len(queries)} queries against {', '.join(others)}")
    rows, options = [], {"ks": (5000,), "ns": (10,), "convention": convention}
    for name in (*others, fitted):
        try:
            found = codes
            if name != fitted:
                found = estimator(name, bits, seed).fit(features[split.train]).transform(features)
            score = evaluate(found[split.query], found[split.database], queries, database, **options)
        except ValueError as error:
            say(f"warning: not compared with {name}: {error}")
            continue
        row = {"method": name, "bits": bits, "mAP@all": score.map_all}
        rows.append({**row, "mAP@5000": score.map_at[5000], "P@10": score.precision_at[0]})
    return pd.DataFrame(rows)


def _write_frame(path: Path, frame: pd.DataFrame) -> None:
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False)
