"""EWSH: weakly supervised hashing with iterative tag refinement (Wang et al.).

Between epochs each image looks at its visual neighbours: a tag that they share more often than chance is relevant,
and weighs more in the tag vector that teaches from then on. Letters as in
:mod:`ctrh.methods.wdht`, whose network and losses these are: the model size in the article's Table 3 is that
of WDHT with its tag head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from ctrh.encoding import relaxed_codes
from ctrh.methods.deep import DeepHasher
from ctrh.methods.wdht import TagEmbeddingConfig, TagEmbeddingNetwork
from ctrh.network import NO_TAG, padded_tags
from ctrh.training import TrainingData


@dataclass(frozen=True)
class EWSHConfig(TagEmbeddingConfig):
    """WDHT's settings, as the article gives none. ``rounds`` of refinement, evenly over the epochs; each asks
    ``neighbours`` images."""

    rounds: int = 2
    neighbours: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounds < 0 or self.neighbours < 1:
            raise ValueError(
                f"rounds must be >= 0 and neighbours >= 1, got {self.rounds} and {self.neighbours}"
            )


def nearest(x: Tensor, count: int) -> Tensor:
    """The ``count`` other rows of highest cosine with each.  x: (N, F) -> (N, min(count, N-1)) int64."""
    unit = torch.nn.functional.normalize(x, dim=1)
    count = min(count, len(x) - 1)
    found = []
    for start in range(0, len(x), 512):
        cosine = unit[start : start + 512] @ unit.T
        cosine[
            torch.arange(len(cosine)), torch.arange(start, start + len(cosine))
        ] = -2  # nobody votes for itself
        found.append(cosine.topk(count, dim=1).indices)
    return torch.cat(found)


def neighbour_votes(tags: csr_array, neighbours: Tensor) -> tuple[csr_array, np.ndarray]:
    """How many of an image's neighbours carry each tag, and how many would by chance, the share of all images that do.

    Their difference is the tagRelevance of Li, Snoek, Worring, Learning social tag relevance by neighbor voting, IEEE TMM
    2009 ("TagVote"); they count a user once, where he is known.  tags: (N, C), neighbours: (N, J) -> (N, C) CSR, (C,).
    """
    each, starts = neighbours.shape[1], np.arange(len(neighbours) + 1) * neighbours.shape[1]
    links = (np.ones(neighbours.numel()), neighbours.numpy().ravel(), starts)
    tags = tags.astype(float)
    return csr_array(links, shape=(len(neighbours), len(neighbours))) @ tags, each * tags.mean(axis=0)


def tag_relevance(tag_ids: Tensor, neighbours: Tensor, words: int) -> Tensor:
    """max(1, votes - votes expected by chance) of each image's tags, divided by the image's mean.

    Of :func:`neighbour_votes`: a tag of every image gains nothing from being seen around. tag_ids: (N, M), neighbours: (N, J) -> (N, M), of mean 1 over an image's tags, 0 at ``NO_TAG``.
    """
    own = (tag_ids != NO_TAG).numpy()
    counts = own.sum(axis=1)
    rows, columns = np.repeat(np.arange(len(own)), counts), tag_ids.numpy()[own]
    tags = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(own), words))
    votes, by_chance = neighbour_votes(tags, neighbours)
    relevance = np.zeros(own.shape)
    relevance[own] = np.maximum(votes[rows, columns] - by_chance[columns], 1)
    mean = relevance.sum(axis=1) / np.maximum(counts, 1)
    return torch.from_numpy(relevance / np.where(mean > 0, mean, 1)[:, None]).float()


class EWSHNetwork(TagEmbeddingNetwork):
    """``relevance``: (N, M) for the N training images, a buffer, and so part of every checkpoint."""

    def __init__(self, *parts: object, relevance: Tensor) -> None:
        super().__init__(*parts)
        self.register_buffer("relevance", relevance)

    def tag_weights(self, batch: dict[str, Tensor]) -> Tensor:
        return self.relevance[batch["row"]]

    def begin_epoch(self, epoch: int, data: TrainingData) -> None:
        """A round of refinement, when it is time for one: the mean of the weights so far and of the votes' verdict,
        which one round of bad neighbours cannot ruin."""
        epochs, rounds = self.config.train.epochs, self.config.rounds
        if epoch and epoch in {round(epochs * i / (rounds + 1)) for i in range(1, rounds + 1)}:
            seen = relaxed_codes(_Seen(self), data.inputs, workers=self.config.train.workers)
            neighbours = nearest(seen.to(self.relevance.device), self.config.neighbours).cpu()
            refined = tag_relevance(data.targets["tag_ids"], neighbours, words=len(self.text))
            self.relevance.lerp_(refined.to(self.relevance.device), 0.5)


class _Seen(nn.Module):
    """A network's backbone, in its present state, as a network."""

    def __init__(self, network: TagEmbeddingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.backbone(x)


class EWSH(DeepHasher):
    """WDHT's codes, from tags that visual neighbours confirm."""

    name, needs = "EWSH", "words"
    colour, dashes, marker = "#009E73", (0, (5, 1, 1, 1)), "v"
    reconstructed = True
    config_type = EWSHConfig
    facts = ("text", "relevance")

    def _targets(self, tags: csr_array) -> dict[str, Tensor]:
        return {**super()._targets(tags), "row": torch.arange(tags.shape[0])}

    def _facts(self, tags: csr_array, text: Tensor) -> dict[str, Tensor]:
        return {"text": text, "relevance": (padded_tags(tags) != NO_TAG).float()}

    def _network(self, backbone: nn.Module, width: int, facts: dict[str, Tensor]) -> EWSHNetwork:
        return EWSHNetwork(backbone, width, facts["text"], self.config, relevance=facts["relevance"])
