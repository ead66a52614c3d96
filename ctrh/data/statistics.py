"""How people tag: how many tags a photo has, how many words there are, how heavy the tail is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrh.data.photos import Photos


@dataclass(frozen=True)
class TagStatistics:
    """Counts over N photos; "uses" are pairs (photo, tag), shares lie in [0, 1] and are NaN without any use.

    ``used_20``: tags that at least 20 photos carry, as MirFlickr counts its common tags; ``common``: the data
    set's own T_common of Eq. (3); ``rarest_half``: share of uses that fall on the rarer half of the used words.
    """

    photos: int
    untagged: int
    tags_per_photo: float
    median_tags: float
    vocabulary: int
    used_20: int
    common: int
    common_share_of_words: float
    common_share_of_uses: float
    rarest_half: float
    most_used: float


def tag_statistics(photos: Photos) -> TagStatistics:
    """Of all N photos, split or not. Words of the vocabulary that none of them carries do not count."""
    per_photo = np.diff(photos.tags.indptr)
    per_word = np.bincount(photos.tags.indices, minlength=len(photos.vocabulary))
    used = np.sort(per_word[per_word > 0])
    common = photos.common & (per_word > 0)

    def share(part: float, whole: float) -> float:
        return float(part / whole) if whole else float("nan")

    return TagStatistics(
        photos=len(photos),
        untagged=int((per_photo == 0).sum()),
        tags_per_photo=share(per_photo.sum(), len(photos)),
        median_tags=float(np.median(per_photo)),
        vocabulary=len(used),
        used_20=int((used >= 20).sum()),
        common=int(common.sum()),
        common_share_of_words=share(common.sum(), len(used)),
        common_share_of_uses=share(per_word[common].sum(), used.sum()),
        rarest_half=share(used[: len(used) // 2].sum(), used.sum()),
        most_used=share(used.max(initial=0), len(photos)),
    )
