"""MGRN: masked visual-semantic graph-based reasoning (Jin, Li, Pan, Tang, ACM MM 2020).

The picture and its tags are the nodes of a graph; graph attention has to guess a tag that is masked, and so
learns which nodes speak for each other. What it reads at the picture's node teaches the codes.

Letters: N images, K bits, C tags, D width of a word vector, M the most tags that an image has. ``h`` (N, K)
relaxed codes, ``v`` (N, D) their semantics, ``r`` (N, D) the reasoned semantics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctrh.losses import LossConfig, hinge_loss, quantisation_loss, similarity_loss
from ctrh.methods.deep import DeepHasher, HashNetwork, full_precision, weighted_sum
from ctrh.network import NO_TAG
from ctrh.parallel import gathered
from ctrh.training import TrainConfig


@dataclass(frozen=True)
class MGRNConfig:
    """Losses and hyper-parameters of MGRN are not public: CTRH's and WSHRCA's stand in for them. ``weights``:
    of the pairwise, hinge, quantisation and masked-tag terms; ``slope`` of the attention's LeakyReLU."""

    bits: int = 48
    train: TrainConfig = field(default_factory=TrainConfig)
    weights: tuple[float, float, float, float] = (1.0, 10.0, 1.0, 1.0)
    margin: float = 0.7
    slope: float = 0.2


class GraphReasoning(nn.Module):
    """One layer of graph attention (Velickovic et al., ICLR 2018) over an image's node and its tags' nodes.

    n'_i = ELU(sum_j a_ij W n_j), a_i = softmax over j of LeakyReLU(p . W n_i + q . W n_j), j: the image's node
    and those of its own tags. Only rows that are asked for are computed; and what comes before the ELU is linear,
    so W is applied to the mixture, and p and q to words rather than to nodes.
    """

    def __init__(self, image_width: int, width: int, slope: float) -> None:
        super().__init__()
        self.node = nn.Linear(image_width, width)
        self.project = nn.Linear(width, width, bias=False)
        self.asking, self.answering = (nn.Parameter(torch.randn(width) / math.sqrt(width)) for _ in range(2))
        self.mask = nn.Parameter(torch.zeros(width))
        self.slope = slope

    def at_image(self, image: Tensor, text: Tensor, tag_ids: Tensor) -> Tensor:
        """r: the image's row.  image: (N, D) nodes, text: (C, D), tag_ids: (N, M) -> (N, D)."""
        p, q = self._directions()
        answers = torch.cat([(image @ q)[:, None], (text @ q)[tag_ids.clamp(min=0)]], dim=1)
        weights = self._attention((image @ p)[:, None] + answers, tag_ids)
        return F.elu(self.project(weights[:, :1] * image + _mixed(text, tag_ids, weights[:, 1:])))

    def at_mask(self, image: Tensor, text: Tensor, tag_ids: Tensor, place: Tensor) -> Tensor:
        """The row of the tag at ``place`` (N,) of tag_ids, in whose stead the graph sees the mask -> (N, D)."""
        p, q = self._directions()
        hidden = F.one_hot(place, tag_ids.shape[1]).bool()
        words = (text @ q)[tag_ids.clamp(min=0)].where(~hidden, self.mask @ q)
        answers = torch.cat([(image @ q)[:, None], words], dim=1)
        weights = self._attention(self.mask @ p + answers, tag_ids)
        of_mask = weights[:, 1:].gather(1, place[:, None])
        seen = _mixed(text, tag_ids, weights[:, 1:].masked_fill(hidden, 0))
        return F.elu(self.project(weights[:, :1] * image + of_mask * self.mask + seen))

    def _directions(self) -> tuple[Tensor, Tensor]:
        """W^T p and W^T q: (D,) each."""
        return self.asking @ self.project.weight, self.answering @ self.project.weight

    def _attention(self, logits: Tensor, tag_ids: Tensor) -> Tensor:
        """(N, 1+M) -> their softmax over the image's node and its own tags."""
        there = F.pad(tag_ids != NO_TAG, (1, 0), value=True)
        return F.leaky_relu(logits, self.slope).masked_fill(~there, -math.inf).softmax(dim=1)


def _mixed(text: Tensor, tag_ids: Tensor, weights: Tensor) -> Tensor:
    """sum_m weights_im text[tag_ids_im].  text: (C, D), tag_ids, weights: (N, M) -> (N, D)."""
    return F.embedding_bag(tag_ids.clamp(min=0), text, mode="sum", per_sample_weights=weights)


def masked_tag_loss(guess: Tensor, text: Tensor, tag: Tensor) -> Tensor:
    """-(1/N) sum_i log softmax_c(guess_i . text_c)[tag_i].  guess: (N, D), text: (C, D), tag: (N,), images
    with ``NO_TAG`` left out -> scalar, 0 when there is no other."""
    known = (tag != NO_TAG).sum()
    return F.cross_entropy(guess @ text.T, tag, ignore_index=NO_TAG, reduction="sum") / known.clamp(min=1)


def random_tag(tag_ids: Tensor) -> Tensor:
    """The place (N,) of one of each image's tags in tag_ids (N, M), drawn evenly; 0 without a tag."""
    return torch.rand(tag_ids.shape, device=tag_ids.device).masked_fill(tag_ids == NO_TAG, -1).argmax(dim=1)


class MGRNNetwork(HashNetwork):
    """Backbone, hash layer, linear semantics v of the codes, and the graph that reasons about image and tags.

    ``text``: (C, D) word vectors, a fixed buffer.
    """

    def __init__(self, backbone: nn.Module, width: int, text: Tensor, config: MGRNConfig) -> None:
        super().__init__(backbone, width, config.bits)
        self.mapping = nn.Linear(config.bits, text.shape[1])
        self.graph = GraphReasoning(width, text.shape[1], config.slope)
        self.register_buffer("text", text)
        self.config = config

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch: ``x`` as in ``forward``, ``tag_ids`` (N, M) -> loss, terms.

        The whole graph's r is a fixed target of the codes; the graph learns from the masked tags alone.
        """
        x, tag_ids = self.backbone(batch["x"]), batch["tag_ids"]
        h, image = self.hash(x), self.graph.node(x)
        with torch.no_grad():
            r = self.graph.at_image(image, self.text, tag_ids)
        place = random_tag(tag_ids)
        guess = self.graph.at_mask(image, self.text, tag_ids, place)
        tag = tag_ids.gather(1, place[:, None])[:, 0]
        with full_precision(*gathered(h, self.mapping(h), r), guess) as (h, v, r, guess):
            terms = {
                "pairwise": similarity_loss(h, r),
                "hinge": hinge_loss(r, v, self.config.margin),
                "quantisation": quantisation_loss(h),
                "masked_tag": masked_tag_loss(guess, self.text.to(guess.dtype), tag),
            }
            return weighted_sum(terms, self.config.weights)

    def tag_modules(self) -> list[nn.Module]:
        return [self.graph]


class MGRN(DeepHasher):
    """Codes that follow what graph attention reads in picture and tags together."""

    name, needs = "MGRN", "words"
    colour, dashes, marker = "#CC79A7", (0, (3, 1)), "^"
    reconstructed = True
    config_type = MGRNConfig

    @classmethod
    def default_config(cls, train: TrainConfig, losses: LossConfig, **attention: int) -> MGRNConfig:
        return MGRNConfig(margin=losses.margin, train=train)

    def _network(self, backbone: nn.Module, width: int, facts: dict[str, Tensor]) -> MGRNNetwork:
        return MGRNNetwork(backbone, width, facts["text"], self.config)
