"""What runs have in common: photos, features, tags and their text, made once and kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy.sparse as sp

from ctrh.backbones import Backbone, Pictures, backbone_features, load_backbone
from ctrh.data.photos import Images, Photos, Split
from ctrh.data.scenes import clean_tags
from ctrh.guide.calibrate import Calibration, calibrate, calibrated_tags
from ctrh.guide.clip import Guide
from ctrh.guide.features import concept_distribution, image_features
from ctrh.guide.finetune import FinetuneConfig, finetune
from ctrh.guide.refine import RefineConfig, mixed_guide, replaced_tags, tags_to_keep
from ctrh.guide.word_vectors import AnyVectors, word_vectors
from ctrh.paper.keys import code_key
from ctrh.paper.profiles import DataConfig, GuideConfig
from ctrh.store import cached_arrays, content_key

VARIANTS = ("user", "replaced", "clean")
# Of :mod:`ctrh.guide.calibrate`: the K_i of Eq. (3) most probable words; all that are more probable than not; of these the
# users' own.
CALIBRATED = ("calibrated", "probable", "users' probable")


@dataclass(frozen=True)
class InputConfig:
    """What codes are made from: ``backbone`` by name ("guide": the guide's class tokens; "concepts": its distribution over
    the vocabulary), trained along or frozen."""

    backbone: str
    guide: GuideConfig
    end_to_end: bool = False


@dataclass(frozen=True)
class TagConfig:
    """Which tags teach: the users', those that replace them (Eq. 2-8), or the true ones where they are known; or none, but
    "concepts", how the zero-shot guide distributes photos over the vocabulary.

    The tags' text features (Eq. 10) come from the guide of Eq. (2) in all three cases; or with ``words`` they are word
    vectors, and tags without one are left out.
    """

    variant: str
    guide: GuideConfig
    finetune: FinetuneConfig
    refine: RefineConfig
    words: AnyVectors | None = None

    def __post_init__(self) -> None:
        if self.variant not in (*VARIANTS, *CALIBRATED, "concepts"):
            raise ValueError(f"tags must be one of {', '.join((*VARIANTS, *CALIBRATED))} or concepts, got {self.variant!r}")


@dataclass(frozen=True)
class HashingTask:
    """N photos to be hashed. ``features``: (N, F) of a frozen backbone, or None: then ``backbone`` reads ``images``.

    ``tags``: (N, C) bool CSR (or concepts, an array) and ``text``: (C, D), or None where none were asked for; ``labels``:
    (N, L) bool. ``key`` names the content.
    """

    key: str
    split: Split
    labels: np.ndarray
    features: np.ndarray | None
    images: Images
    backbone: Backbone | None
    tags: sp.csr_array | np.ndarray | None
    text: np.ndarray | None

    def inputs(self, rows: np.ndarray) -> np.ndarray | Pictures:
        """What a method's ``fit`` and ``encode`` take for the photos ``rows``."""
        return Pictures(self.images, self.backbone, rows) if self.features is None else self.features[rows]


@lru_cache(maxsize=32)  # a study varies tags a lot; what is large, the features, they share
def hashing_task(data: DataConfig, inputs: InputConfig, tags: TagConfig | None) -> HashingTask:
    """Loads and computes what is missing. Raises ``ValueError`` for photos without labels or without a known truth."""
    photos = photos_of(data)
    photos.relevant()  # raises without labels: before minutes of training, not after
    features = None if inputs.end_to_end else frozen_features(replace(data, noise=None), inputs)
    backbone = _backbone(inputs) if inputs.end_to_end else None
    words, text = (None, None) if tags is None else _taught(photos, data, tags)
    source = backbone.key if backbone else features
    key = content_key(photos.images.key, photos.split, photos.labels, source, words, text)
    return HashingTask(key, photos.split, photos.labels, features, photos.images, backbone, words, text)


@lru_cache(maxsize=8)
def frozen_features(data: DataConfig, inputs: InputConfig) -> np.ndarray:
    """(N, F) features of a frozen backbone, read once for all tags."""
    images = photos_of(data).images
    if inputs.backbone == "concepts":
        return concepts_of(data, inputs.guide)
    if inputs.backbone == "guide":
        return image_features(guide_of(inputs.guide), images).class_token
    return backbone_features(images, _backbone(inputs))


@lru_cache(maxsize=4)
def concepts_of(data: DataConfig, guide: GuideConfig) -> np.ndarray:
    """(N, C): the zero-shot guide's :func:`ctrh.guide.features.concept_distribution` of all photos over the vocabulary."""
    photos, zero_shot = photos_of(data), guide_of(guide)
    return concept_distribution(zero_shot, photos.images, word_features(zero_shot, photos.vocabulary))


def _taught(photos: Photos, data: DataConfig, config: TagConfig) -> tuple[sp.csr_array | np.ndarray, np.ndarray]:
    """Tags, or concepts, and their text; tags without text are left out."""
    if config.variant == "concepts":
        return concepts_of(data, config.guide), text_of(photos, data, config)
    tags, text = tags_of(photos, data, config), text_of(photos, data, config)
    if config.words is None:
        return tags, text
    coordinates = tags.tocoo()
    known = word_vectors(photos, config.words).known[coordinates.col]
    kept = (coordinates.data[known], (coordinates.row[known], coordinates.col[known]))
    return sp.csr_array(kept, shape=tags.shape), text


@lru_cache(maxsize=8)
def photos_of(data: DataConfig) -> Photos:
    """The photos of ``data``, loaded once."""
    return data.load()


def variants_of(data: DataConfig) -> tuple[str, ...]:
    """Those of ``VARIANTS`` that ``data`` has: nobody knows the clean tags of real photos."""
    return VARIANTS if photos_of(data).truth is not None else VARIANTS[:2]


@lru_cache(maxsize=4)
def guide_of(config: GuideConfig) -> Guide:
    """The zero-shot guide, loaded once."""
    return config.load()


@lru_cache(maxsize=8)
def mixed_guide_of(data: DataConfig, config: TagConfig) -> Guide:
    """The guide of Eq. (2): fine-tuned on the users' tags of ``data`` and averaged with the zero-shot weights."""
    guide, alpha = guide_of(config.guide), config.refine.alpha
    fine_tuned = finetune(guide, photos_of(data), config=config.finetune) if alpha else None
    return mixed_guide(guide, fine_tuned, alpha)


def tags_of(
    photos: Photos, data: DataConfig, config: TagConfig, rows: np.ndarray | None = None
) -> sp.csr_array:
    """(N, C) bool CSR: the tags of the variant that ``config`` asks for.

    Tags are replaced for the photos ``rows`` (default: those for training, which nothing else learns from); the others
    have none then.
    """
    if config.variant == "user":
        return photos.tags
    if config.variant == "clean":
        return clean_tags(photos)
    rows = photos.split.train if rows is None else np.asarray(rows)
    guide, settings = mixed_guide_of(data, config), config.refine

    def replace_tags() -> dict[str, np.ndarray]:
        if config.variant in CALIBRATED:
            tags = _calibrated(photos, data, config, rows)
            return {"photos": rows[tags.nonzero()[0]], "words": tags.nonzero()[1]}
        counts = tags_to_keep(photos.tags[rows], photos.common)
        text = text_of(photos, data, replace(config, words=None))
        tags = replaced_tags(image_features(guide, photos.images, rows), text, counts, settings)
        return {"photos": rows[tags.nonzero()[0]], "words": tags.nonzero()[1]}

    # Eq. (2) has been done: of the settings those that concern scores are left.
    settings = replace(settings, alpha=0.0)
    if config.variant in CALIBRATED:
        settings = config.variant, code_key("ctrh.guide.calibrate")
    key = content_key("2", photos.images.key, photos.tags, photos.common, rows, guide.key, settings)
    stored = cached_arrays("replaced-tags", key, replace_tags)
    ones = np.ones(len(stored["words"]), dtype=bool)
    return sp.csr_array((ones, (stored["photos"], stored["words"])), shape=photos.tags.shape)


def calibration_of(photos: Photos, data: DataConfig, config: TagConfig, rows: np.ndarray) -> Calibration:
    """How probable each word is for the photos ``rows``, learned from them, by the guide of Eq. (2)."""
    text = text_of(photos, data, replace(config, words=None))
    return calibrate(image_features(mixed_guide_of(data, config), photos.images, rows).class_token, text, photos.tags[rows])


def _calibrated(photos: Photos, data: DataConfig, config: TagConfig, rows: np.ndarray) -> sp.csr_array:
    """The tags (N, C) of a variant of ``CALIBRATED`` for the N photos ``rows``."""
    probability, users = calibration_of(photos, data, config, rows).probability, photos.tags[rows]
    if config.variant == "users' probable":
        probability = sp.csr_array(probability.multiply(users))
    counts = tags_to_keep(users, photos.common) if config.variant == "calibrated" else None
    return calibrated_tags(probability, users, counts=counts)


def text_of(photos: Photos, data: DataConfig, config: TagConfig) -> np.ndarray:
    """Eq. (10): (C, D) text features of the vocabulary, by the guide of Eq. (2); or word vectors, if ``config`` says so."""
    if config.words is not None:
        return word_vectors(photos, config.words).vectors
    return word_features(mixed_guide_of(data, config), photos.vocabulary)


def word_features(guide: Guide, words: Sequence[str]) -> np.ndarray:
    """(C, D) text features of ``words``, from the cache where they have been asked for before."""
    key = content_key(guide.key, tuple(words))
    return cached_arrays("text-features", key, lambda: {"text": guide.text_features(words)})["text"]


def _backbone(inputs: InputConfig) -> Backbone:
    return load_backbone(inputs.backbone, guide_of(inputs.guide) if inputs.backbone == "guide" else "default")
