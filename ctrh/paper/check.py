"""What a profile needs from outside, tried before hours of computing."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ctrh.backbones import Backbone, load_backbone
from ctrh.data.photos import Photos
from ctrh.data.registry import EMBEDDED
from ctrh.guide.clip import Guide
from ctrh.guide.names import SMALL
from ctrh.guide.word_vectors import StoredVectors
from ctrh.methods.registry import METHODS
from ctrh.paper.launch import say
from ctrh.paper.profiles import Profile
from ctrh.paper.tasks import photos_of
from ctrh.small_backbones import SMALL as SMALL_BACKBONES
from ctrh.store import cache_dir, content_key


def preflight(profile: Profile) -> str:
    """Loads all data sets and networks of ``profile`` that do not come with the package, and says what it found.

    Returns a name of their content. ``ValueError`` once, for all that is missing, with the remedies."""
    keys, problems, photo_sets, needed = [], [], [], 0
    trainings = len(profile.learners) * len(profile.datasets) * len(profile.bits) * len(profile.seeds)
    for name, load in _needs(profile):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                found = load()
            except (ValueError, OSError) as error:
                problems.append(f"{name}: {' '.join(str(error).split())}")
                continue
        # Networks are large: only what is known of them is kept.
        if isinstance(found, Path):  # gigabytes: named by size and time
            about, key = str(found), [str(found), found.stat().st_size, found.stat().st_mtime_ns]
        elif isinstance(found, Photos):
            split, tags, labels = found.split, len(found.vocabulary), len(found.label_names)
            about = f"{len(found):,} photos ({len(split.query):,} queries, {len(split.database):,} database, "
            about += f"{len(split.train):,} training), {tags:,} tags, {labels} labels"
            photo_sets.append(found)
            key = found.key
        else:
            about, key = f"{'D' if isinstance(found, Guide) else 'F'} = {found.width}", found.key
            if isinstance(found, Guide):
                needed += sum(_cached_bytes(photos, found) for photos in photo_sets)
            elif name == profile.backbone and profile.end_to_end:
                needed += trainings * _bytes(found.module)
        keys.append(key)
        say(f"  {name}: {about}")
        for warning in caught:
            say(f"    warning: {' '.join(str(warning.message).split())}")
    (folder := cache_dir()).mkdir(parents=True, exist_ok=True)
    if needed > (free := shutil.disk_usage(folder).free):
        why = f"{needed / 1e9:.1f} GB and more (fine-tuned guides, pictures as bytes, checkpoints)"
        remedy = f"{free / 1e9:.1f} GB are free: set CTRH_CACHE to a folder on another disk"
        problems.append(f"the cache {folder} will take {why}, {remedy}")
    if not torch.cuda.is_available() and profile.end_to_end:
        say("  no GPU is seen: training end to end on the CPU takes days at full size")
    if problems:
        listed = "".join(f"\n  ({number}) {problem}" for number, problem in enumerate(problems, start=1))
        raise ValueError(f"profile {profile.name} cannot run yet:{listed}")
    return content_key(keys)


def _needs(profile: Profile) -> Iterator[tuple[str, Callable[[], Photos | Guide | Backbone | Path]]]:
    """What is not shipped, by name, and how it is loaded."""
    for settings in profile.datasets:
        if settings.data.name not in EMBEDDED:
            yield settings.data.name, partial(photos_of, settings.data)
    for config in dict.fromkeys([profile.guide, *(config for _, config in profile.study.guides)]):
        if config.name not in SMALL:
            yield f"{config.name}, {config.pretrained}", config.load
    for name in dict.fromkeys([profile.backbone, *(name for _, name in profile.study.backbones)]):
        if name != "guide" and name not in SMALL_BACKBONES:
            yield name, partial(load_backbone, name)
    learners = [name for name in profile.learners if METHODS[name].needs == "words"]
    if isinstance(profile.words, StoredVectors) and learners:
        yield f"word vectors (for {', '.join(learners)})", profile.words.find


def _cached_bytes(photos: Photos, guide: Guide) -> int:
    """What a guide's fine-tuning leaves in the cache: pictures as bytes, weights, two features of three guides."""
    pixels = 3 * int(np.prod(np.broadcast_to(guide.model.visual.image_size, 2)))
    return len(photos.split.train) * pixels + _bytes(guide.model) + 3 * 2 * 4 * guide.width * len(photos)


def _bytes(module: torch.nn.Module) -> int:
    return 4 * sum(parameter.numel() for parameter in module.parameters())
