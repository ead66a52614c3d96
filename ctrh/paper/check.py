"""What a profile needs from outside, tried before hours of computing; all that lacks is said at once, with the remedy."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from ctrh.backbones import Backbone, load_backbone
from ctrh.data.photos import Photos
from ctrh.data.registry import EMBEDDED
from ctrh.guide.clip import SMALL, Guide
from ctrh.guide.word_vectors import StoredVectors
from ctrh.paper.launch import say
from ctrh.paper.profiles import GuideConfig, Profile
from ctrh.paper.runs import HASHERS
from ctrh.paper.tasks import photos_of
from ctrh.small_backbones import SMALL as SMALL_BACKBONES
from ctrh.store import cache_dir, content_key


class PreflightError(ValueError):
    """Something that the profile needs is missing; the message names all of it."""


def preflight(profile: Profile) -> str:
    """Loads every data set and network of ``profile`` that does not come with the package, and says what it found.

    Returns a name of the content of all of them. Raises `PreflightError`.
    """
    keys, problems, needed = [], [], 0
    photo_sets = []
    for settings in profile.datasets:
        if settings.data.name not in EMBEDDED:
            photos = _tried(
                settings.data.name, lambda data=settings.data: photos_of(data), _about_photos, problems
            )
            if photos is not None:
                photo_sets.append(photos)
                keys.append(photos.key)
    for name, config in _guides(profile).items():
        guide = _tried(name, config.load, lambda guide: f"D = {guide.width}", problems)
        if guide is not None:
            keys.append(guide.key)
            needed += sum(_cached_bytes(photos, guide) for photos in photo_sets)
        del guide
    for name in _backbones(profile):
        backbone = _tried(
            name, lambda name=name: load_backbone(name), lambda found: f"F = {found.width}", problems
        )
        if backbone is not None:
            keys.append(backbone.key)
            if name == profile.backbone and profile.end_to_end:
                needed += _checkpoint_bytes(profile, backbone)
    learners = [name for name in profile.methods if name in HASHERS and name != "CTRH"]
    if isinstance(profile.words, StoredVectors) and learners:
        path = _tried(f"word vectors (for {', '.join(learners)})", profile.words.find, str, problems)
        if path is not None:
            keys.append(_file_state(path))
    problems += _no_space(needed)
    if not torch.cuda.is_available() and profile.end_to_end:
        say("  no GPU is seen: training end to end on the CPU takes days at full size")
    if problems:
        listed = "".join(f"\n  ({number}) {problem}" for number, problem in enumerate(problems, start=1))
        raise PreflightError(f"profile {profile.name} cannot run yet:{listed}")
    return content_key(keys)


def _guides(profile: Profile) -> dict[str, GuideConfig]:
    """Those that are not shipped, by name and weights."""
    configs = [profile.guide, *(config for _, config in profile.study.guides)]
    return {f"{each.name}, {each.pretrained}": each for each in configs if each.name not in SMALL}


def _backbones(profile: Profile) -> list[str]:
    """Those that are not shipped, without the guides' encoders."""
    names = dict.fromkeys([profile.backbone, *(name for _, name in profile.study.backbones)])
    return [name for name in names if name != "guide" and name not in SMALL_BACKBONES]


def _tried(name: str, load: Callable, about: Callable, problems: list[str]):
    """What ``load`` gives, or None after noting why not; warnings are said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = load()
        except (ValueError, OSError) as error:
            problems.append(f"{name}: {' '.join(str(error).split())}")
            return None
    say(f"  {name}: {about(found)}")
    for warning in caught:
        say(f"    warning: {' '.join(str(warning.message).split())}")
    return found


def _about_photos(photos: Photos) -> str:
    split = photos.split
    sizes = {"queries": split.query, "database": split.database, "training": split.train}
    return (
        f"{len(photos):,} photos ("
        + ", ".join(f"{len(rows):,} {name}" for name, rows in sizes.items())
        + f"), {len(photos.vocabulary):,} tags, {len(photos.label_names)} labels"
    )


def _cached_bytes(photos: Photos, guide: Guide) -> int:
    """What fine-tuning and features of one guide leave in the cache: pictures as bytes, weights, three sets of features."""
    size = np.atleast_1d(guide.model.visual.image_size)
    pixels = len(photos.split.train) * 3 * int(size[0]) * int(size[-1])
    weights = 4 * sum(parameter.numel() for parameter in guide.model.parameters())
    return pixels + weights + 3 * 2 * 4 * guide.width * len(photos)


def _checkpoint_bytes(profile: Profile, backbone: Backbone) -> int:
    """What the trainings of Tables 1 and 2 leave: the weights of each."""
    trainings = len(profile.datasets) * len(profile.bits) * len(profile.seeds)
    trainings *= sum(name in HASHERS for name in profile.methods)
    return trainings * 4 * sum(parameter.numel() for parameter in backbone.module.parameters())


def _no_space(needed: int) -> Iterator[str]:
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        yield (
            f"the cache {folder} will take {needed / 1e9:.1f} GB and more (fine-tuned guides, pictures as bytes, "
            f"checkpoints), {free / 1e9:.1f} GB are free: "
            "set CTRH_CACHE to a folder on another disk"
        )


def _file_state(path: Path) -> list:
    state = path.stat()
    return [str(path), state.st_size, state.st_mtime_ns]
