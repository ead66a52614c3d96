"""``python -m ctrh fit``: a folder of tagged photos becomes a model that can be searched."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd

from ctrh.app.commands.inputs import encoder_spec, read_photos, refined, say, tag_rows
from ctrh.app.photo_search import FILES, features_of, save_search
from ctrh.data.photos import Photos
from ctrh.data.tables import write_table
from ctrh.methods.ctrh import CTRH, CTRHConfig
from ctrh.methods.registry import METHODS, estimator, untaught
from ctrh.retrieval.metrics import evaluate
from ctrh.store import cache_dir, replacing
from ctrh.training import TrainConfig

TAGS, HISTORY, RESULTS = TABLES = "tags.csv", "history.csv", "results.csv"


def run(args: Namespace) -> None:
    out = Path(args.out)
    _check_out(out)
    spec = encoder_spec(args, args.backbone)
    photos = read_photos(args, args.queries, args.train)
    guide = spec.load_guide(args.device)
    tags, text_guide = refined(photos, guide, args.alpha) if args.tags == "refined" else (photos.tags, guide)
    text = text_guide.text_features(photos.vocabulary)
    features = features_of(photos.images, spec, guide)

    train = photos.split.train
    say(f"training CTRH: {args.bits} bits, {len(train)} photos, {args.epochs} epochs")
    accelerator = "cuda" if args.device.startswith("cuda") else "cpu"
    hasher = CTRH(
        CTRHConfig(args.bits, train=TrainConfig(args.epochs, seed=args.seed, accelerator=accelerator))
    )
    history = hasher.fit(features[train], tags[train], text, cache_dir() / "training")
    codes = hasher.encode(features)
    results = None
    if photos.labels is not None:
        say(f"scoring {len(photos.split.query)} queries against LSH, SH and ITQ")
        results = scores(photos, features, codes, args.seed)
        print(results.to_string(index=False, float_format="{:.4f}".format))

    out.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        (out / name).unlink(missing_ok=True)  # of an earlier fit, perhaps with labels that have gone
    write_table(out / TAGS, ("image", "tags"), tag_rows(photos, tags))
    _write_frame(out / HISTORY, history)
    if results is not None:
        _write_frame(out / RESULTS, results)
    about = {name: getattr(args, name) for name in ("bits", "epochs", "seed", "tags", "alpha")}
    key = spec.load_backbone(guide).key
    tuned = None if text_guide is guide else text_guide
    save_search(out, hasher, codes, photos.names, Path(args.folder) / "images", spec, key, tuned, about)
    say(f'written: {out}; next: python -m ctrh search {out} QUERY_IMAGE, or --text "..."')


def scores(photos: Photos, features: np.ndarray, codes: np.ndarray, seed: int) -> pd.DataFrame:
    """Retrieval scores of the methods without tags, fitted to the training photos' ``features`` (N, F), and of CTRH's ``codes``
    (N, K): mAP over the whole ranking and its first 5,000, as in the article, and precision of the first ten.
    """
    bits, split = codes.shape[1], photos.split
    by_method = {
        name: estimator(name, bits, seed).fit(features[split.train]).transform(features)
        for name in untaught()
        if METHODS[name].compared
    }
    rows = []
    for name, found in {**by_method, "CTRH": codes}.items():
        score = evaluate(found[split.query], found[split.database], *photos.relevant(), ks=(5000,), ns=(10,))
        row = {"method": name, "bits": bits, "mAP@all": score.map_all}
        rows.append({**row, "mAP@5000": score.map_at[5000], "P@10": score.precision_at[0]})
    return pd.DataFrame(rows)


def _check_out(out: Path) -> None:
    """Said before an hour of work: the folder must be new, empty, or of an earlier fit."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: give --out a folder")
    own = {*FILES, *TABLES}
    if out.is_dir() and any(path.name not in own for path in out.iterdir()):
        raise ValueError(f"{out} holds something else: give --out a folder that is new or empty")


def _write_frame(path: Path, frame: pd.DataFrame) -> None:
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False)
