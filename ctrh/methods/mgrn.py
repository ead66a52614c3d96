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

from ctrh.losses import hinge_loss, quantisation_loss, similarity_loss
from ctrh.methods.deep import DeepHasher, HashNetwork, full_precision, weighted_sum
from ctrh.network import NO_TAG
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

    n'_i = ELU(sum_j a_ij W n_j), a_i = softmax over j of LeakyReLU(p . W n_i + q . W n_j), j: the image and
    its own tags. Only the rows that are asked for are computed, and as everything before the ELU is linear,
    W is applied to the mixture and not to each node.
    """

    def __init__(self, image_width: int, width: int, slope: float) -> None:
        super().__init__()
        self.node = nn.Linear(image_width, width)
        self.project = nn.Linear(width, width, bias=False)
        self.asking, self.answering = (nn.Parameter(torch.randn(width) / math.sqrt(width)) for _ in range(2))
        self.mask = nn.Parameter(torch.zeros(width))
        self.slope = slope

    def nodes(self, x: Tensor, text: Tensor, tag_ids: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, F), text: (C, D), tag_ids: (N, M) -> nodes (N, 1+M, D), the image's first, and which of them
        there are, (N, 1+M) bool."""
        nodes = torch.cat([self.node(x)[:, None], text[tag_ids.clamp(min=0)]], dim=1)
        return nodes, F.pad(tag_ids != NO_TAG, (1, 0), value=True)

    def reason(self, nodes: Tensor, there: Tensor, asked: Tensor) -> Tensor:
        """What one node of each graph makes of all of them.  nodes: (N, 1+M, D), there: (N, 1+M), asked: (N,)
        node numbers -> (N, D)."""
        asks, answers = (self.project.weight.T @ part for part in (self.asking, self.answering))  # (D,)
        own = (nodes @ asks).gather(1, asked[:, None])  # (N, 1)
        logits = F.leaky_relu(own + nodes @ answers, self.slope).masked_fill(~there, -math.inf)
        mixed = (logits.softmax(dim=1)[:, None] @ nodes)[:, 0]
        return F.elu(self.project(mixed))

    def masked(self, nodes: Tensor, position: Tensor) -> Tensor:
        """The nodes with the learned mask in the place of node ``position`` (N,) of each graph."""
        hidden = F.one_hot(position, nodes.shape[1]).bool()[..., None]
        return torch.where(hidden, self.mask, nodes)


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
        h = self.hash(x)
        nodes, there = self.graph.nodes(x, self.text, tag_ids)
        r = self.graph.reason(nodes, there, torch.zeros_like(tag_ids[:, 0])).detach()
        place = random_tag(tag_ids)
        guess = self.graph.reason(self.graph.masked(nodes, place + 1), there, place + 1)
        tag = tag_ids.gather(1, place[:, None])[:, 0]
        with full_precision(h, self.mapping(h), r, guess) as (h, v, r, guess):
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

    config_type = MGRNConfig

    def _network(self, backbone: nn.Module, width: int, facts: dict[str, Tensor]) -> MGRNNetwork:
        return MGRNNetwork(backbone, width, facts["text"], self.config)
