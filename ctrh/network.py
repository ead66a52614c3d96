"""Layers: hash layer (Eq. 1), mapping (Eq. 9), tag weighting (Eq. 11-14), and tags as they read them.

Letters: N images, K bits, C tags, D text width, M the most tags that an image has, a one of ``heads`` heads.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

NO_TAG = -1


def padded_tags(tags: sp.csr_array) -> Tensor:
    """(N, C) sparse -> (N, M) int64: each image's tags, ascending, then ``NO_TAG``; M is at least 1."""
    csr = sp.csr_array(tags, dtype=bool, copy=True)
    csr.sum_duplicates()
    csr.eliminate_zeros()
    counts = np.diff(csr.indptr)
    padded = np.full((csr.shape[0], max(counts.max(initial=0), 1)), NO_TAG, dtype=np.int64)
    padded[np.arange(padded.shape[1]) < counts[:, None]] = csr.indices
    return torch.from_numpy(padded)


def without_padding(tag_ids: Tensor) -> Tensor:
    """(N, M) of :func:`padded_tags` -> (N, m): as many columns as the image with most tags needs, 1 at least.

    The padding of a whole data set is for its longest list, and few batches hold that one.
    """
    return tag_ids[:, : max(int((tag_ids != NO_TAG).sum(dim=1).max()), 1)]


def mean_text(text: Tensor, tag_ids: Tensor) -> Tensor:
    """r without tag weighting: the mean of an image's tag features, 0 without a tag.

    text: (C, D), tag_ids: (N, M) -> (N, D).
    """
    own = tag_ids != NO_TAG
    share = own / own.sum(dim=1, keepdim=True).clamp(min=1)
    # Sums while it gathers: no (N, M, D) array.
    return F.embedding_bag(tag_ids.clamp(min=0), text, mode="sum", per_sample_weights=share.to(text.dtype))


class HashLayer(nn.Linear):
    """Eq. (1): h = sigmoid(W x + b), (N, F) -> (N, K) in (0, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sigmoid()


class Mapping(nn.Linear):
    """Eq. (9): v = LeakyReLU(W h + b), (N, K) -> (N, D)."""

    def forward(self, h: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(h))


class Attention(NamedTuple):
    """A_i, the logits of (12) over heads. ``own``: (N, M), of each image's own tags, meaningless at the padding;
    ``asked``: (N, D), whose product with all text features, ``asked @ text.T``, is A over the vocabulary.
    """

    own: Tensor
    asked: Tensor


class TagWeighting(nn.Module):
    """Eq. (11)-(14): the mapped code v asks its image's own tags; the answer is their representation r.

    ``ffn_ratio`` is the FFN's inner width over D; ``head_reduction`` of A_i: "mean" over heads or "sum"
    (which is the same once A_i is normalised).
    """

    def __init__(
        self,
        width: int,
        heads: int = 8,
        ffn_ratio: int = 4,
        dropout: float = 0.1,
        head_reduction: str = "mean",
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"the text width {width} cannot be divided among {heads} heads")
        if head_reduction not in ("mean", "sum"):
            raise ValueError(f'head_reduction must be "mean" or "sum", got {head_reduction!r}')
        self.heads = heads
        self.head_reduction = head_reduction
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.ffn = nn.Sequential(
            nn.Linear(width, ffn_ratio * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(ffn_ratio * width, width),
        )

    def forward(self, v: Tensor, text: Tensor, tag_ids: Tensor) -> tuple[Tensor, Attention]:
        """v: (N, D), text: (C, D), tag_ids: (N, M) -> r (N, D), A over the own tags and over all of them.

        An image without a tag has Z = 0 and is given r = 0 rather than the FFN's bias; its A is defined all
        the same.
        """
        own = tag_ids != NO_TAG
        t = F.embedding(tag_ids.clamp(min=0), text)  # (N, M, D); copies whole rows, as indexing does not
        asked = self._asked(v)  # (N, heads, D)
        logits = asked @ t.transpose(1, 2)  # (N, heads, M)
        r = self._answer(_softmax_over(logits, own) @ t)
        r = (r + self.ffn(r)) * own.any(dim=1)[:, None]  # Eq. (14)
        reduce = torch.mean if self.head_reduction == "mean" else torch.sum
        return r, Attention(reduce(logits, dim=1), reduce(asked, dim=1))

    def weights(self, v: Tensor, text: Tensor, tag_ids: Tensor) -> Tensor:
        """The softmax of Eq. (12): how much each head listens to each of an image's tags.

        Shapes as in ``forward`` -> (N, heads, M), of sum 1 over an image's own tags, 0 elsewhere.
        """
        t = F.embedding(tag_ids.clamp(min=0), text)  # (N, M, D)
        return _softmax_over(self._asked(v) @ t.transpose(1, 2), tag_ids != NO_TAG)

    def _asked(self, v: Tensor) -> Tensor:
        """(N, D) -> (N, heads, D), u_a = W_k^aT W_q^a v / sqrt(d_k): then Q_a K_a^T / sqrt(d_k) is u_a . t.

        Projecting the one query back instead of each tag forward gives (12) the same logits for a fraction of
        the work, and A_i over the whole vocabulary becomes one product with the text features.
        """
        head_width = v.shape[1] // self.heads
        query = self.query(v / math.sqrt(head_width)).unflatten(
            1, (self.heads, head_width)
        )  # (N, heads, d_k)
        key = self.key.weight.unflatten(0, (self.heads, head_width))  # (heads, d_k, D)
        return (query.transpose(0, 1) @ key).transpose(0, 1)

    def _answer(self, mixed: Tensor) -> Tensor:
        """(N, heads, D) tags mixed by softmax -> Z (N, D), concat_a(W_v^a mixed_a) W_o (V_a is linear)."""
        head_width = mixed.shape[2] // self.heads
        value = self.value.weight.unflatten(0, (self.heads, head_width))  # (heads, d_k, D)
        z = mixed.transpose(0, 1) @ value.transpose(1, 2)  # (heads, N, d_k)
        return self.out(z.transpose(0, 1).flatten(1))


def _softmax_over(logits: Tensor, own: Tensor) -> Tensor:
    """Softmax of (N, heads, M) over the places where ``own`` (N, M) holds; 0 elsewhere, and where none does.

    Without a tag every logit would be -inf and softmax NaN in value and gradient: it sees zeros instead, and is
    dropped.
    """
    some = own.any(dim=1)[:, None, None]
    masked = logits.masked_fill(~own[:, None], -math.inf).masked_fill(~some, 0)
    return masked.softmax(dim=2) * own[:, None]
