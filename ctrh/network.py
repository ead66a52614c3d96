"""CTRH's network from parts to whole: hash layer (Eq. 1), mapping (Eq. 9), tag weighting (Eq. 11-14).

Letters: N images, K bits, C tags, D text width, M the most tags that an image has, a one of ``heads`` heads.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctrh.losses import LossConfig, total_loss
from ctrh.parallel import gathered
from ctrh.training import TrainConfig, TrainingData

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


class CTRHNetwork(nn.Module):
    """Backbone, hash layer, mapping and tag weighting, with the loss of a batch: what
    :func:`ctrh.training.train` takes.

    ``backbone`` maps x to (N, F) with F = ``width``; ``nn.Identity()`` where x already is features. ``text``:
    (C, D) tag features (Eq. 10), kept as a fixed buffer. ``beta``: (C,) for Eq. (18), or None for 1/C.
    ``weighting`` None is the paper's Baseline and +TR: r is the mean of the tag features, and (18) is left
    out. ``alternate`` > 0: that many epochs for tag weighting, as many for the rest, in turn; 0 trains all
    jointly.
    """

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        bits: int,
        text: Tensor,
        losses: LossConfig,
        weighting: TagWeighting | None,
        beta: Tensor | None = None,
        alternate: int = 0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.hash = HashLayer(width, bits)
        self.mapping = Mapping(bits, text.shape[1])
        self.weighting = weighting
        self.register_buffer("text", text)
        self.register_buffer("beta", beta)
        # text = Q R with orthonormal Q: so |asked @ text.T| is |asked @ R.T|, whatever the size of the vocabulary.
        self.register_buffer("root", torch.linalg.qr(text, mode="r").R)
        self.losses = losses
        self.alternate = alternate

    def forward(self, x: Tensor) -> Tensor:
        """Eq. (1): x (N, F) features or (N, 3, H, W) pictures -> h (N, K); the binary code is h > 0.5."""
        return self.hash(self.backbone(x))

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. (9)-(19) of a batch: ``x`` as in ``forward``, ``tag_ids`` (N, M) -> loss, its terms."""
        h = self(batch["x"])
        v = self.mapping(h)
        tag_ids = without_padding(batch["tag_ids"])
        if self.weighting is None:
            r, own, asked = mean_text(self.text, tag_ids), None, None
        else:
            r, (own, asked) = self.weighting(v, self.text, tag_ids)
        # Half precision is for the layers: (17) subtracts nearly equal numbers.
        with torch.autocast(h.device.type, enabled=False):
            h, v, r, own, asked = (
                part if part is None else part.to(torch.promote_types(part.dtype, torch.float32))
                for part in (h, v, r, own, asked)
            )
            length = None if asked is None else torch.linalg.vector_norm(asked @ self.root.T, dim=1)
            h, v, r = gathered(h, v, r)  # (18) is a mean over images: each device's own are enough
            return total_loss(h, v, r, own, tag_ids != NO_TAG, self.losses, self._beta(tag_ids), length)

    def _beta(self, tag_ids: Tensor) -> Tensor:
        """Eq. (18)'s balance factors of each image's own tags: (N, M), or one number for all."""
        if self.beta is None:
            return self.text.new_tensor(1 / len(self.text))
        return self.beta[tag_ids.clamp(min=0)]

    def parameter_groups(self, config: TrainConfig) -> list[dict[str, Any]]:
        """The optimiser's groups, by the paper's three learning rates; frozen parameters are left out."""
        groups = {
            "backbone": (config.lr_backbone, [self.backbone]),
            "head": (config.lr_head, [self.hash, self.mapping]),
            "tags": (config.lr_tags, [] if self.weighting is None else [self.weighting]),
        }
        return [
            {"name": name, "lr": rate, "params": params}
            for name, (rate, modules) in groups.items()
            if (params := [p for module in modules for p in module.parameters() if p.requires_grad])
        ]

    def active_groups(self, epoch: int) -> set[str]:
        """The names of the groups that are updated in ``epoch`` (from 0)."""
        if not self.alternate:
            return {"backbone", "head", "tags"}
        return {"tags"} if epoch // self.alternate % 2 == 0 else {"backbone", "head"}

    def begin_epoch(self, epoch: int, data: TrainingData) -> None:
        """Nothing is left to do between epochs."""
