"""WSHRCA: weakly supervised hashing with reconstructive cross-modal attention (Du et al., TOMM 2023,
10.1145/3589185; the authors' code: github.com/duyc168/weakly-supervised-hashing).

Letters: N images, K bits, C tags, D width of a word vector, M the most tags that an image has. ``h`` (N, K)
relaxed codes, ``v`` (N, D) what is reconstructed from them, ``r`` (N, D) the image's refined tags.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor, nn

from ctrh.losses import LossConfig, hinge_loss, quantisation_loss, similarity_loss
from ctrh.methods.deep import DeepHasher, HashNetwork, check_initialisation, full_precision, weighted_sum
from ctrh.network import Mapping, TagWeighting, without_padding
from ctrh.parallel import gathered
from ctrh.training import TrainConfig

PUBLISHED_EPOCHS = 80


@dataclass(frozen=True)
class WSHRCAConfig:
    """The published settings. ``weights``: lambda of the pairwise, hinge and quantisation terms; ``margin`` of
    the hinge: CTRH's; ``heads``, ``ffn``, ``dropout`` of the attention.

    ``turn``: so many epochs the tag module learns, then as many the image network, and so on; ``warmup``: over so many of
    its own epochs each of the two comes to its full rate. Both are out of ``PUBLISHED_EPOCHS``: a training of another length
    has the same schedule, stretched or squeezed. ``initialisation``: the "authors'" or "torch"'s of a linear layer.
    """

    bits: int = 48
    train: TrainConfig = field(default_factory=TrainConfig)
    weights: tuple[float, float, float] = (1.0, 10.0, 1.0)
    margin: float = 0.7
    heads: int = 3
    ffn: int = 512
    dropout: float = 0.1
    turn: int = 2
    warmup: int = 20
    initialisation: str = "authors"

    def __post_init__(self) -> None:
        if self.turn < 1 or self.warmup < 0:
            raise ValueError(f"turn must be >= 1 and warmup >= 0, got {self.turn} and {self.warmup}")
        check_initialisation(self.initialisation)


class CrossModalAttention(TagWeighting):
    """The image's reconstruction asks the word vectors of its own tags, as CTRH's Eq. (11)-(14) do after it, with
    an FFN of a width of its own: r = Z + Dropout(FFN(Z))."""

    def __init__(self, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__(width, heads, dropout=dropout)
        layers = nn.Linear(width, ffn), nn.ReLU(), nn.Dropout(dropout), nn.Linear(ffn, width)
        self.ffn = nn.Sequential(*layers, nn.Dropout(dropout))


class WSHRCANetwork(HashNetwork):
    """Backbone, hash layer, reconstruction v = LeakyReLU(W h + b), and cross-modal attention on the tags.

    ``text``: (C, D) word vectors, a fixed buffer.
    """

    def __init__(self, backbone: nn.Module, width: int, text: Tensor, config: WSHRCAConfig) -> None:
        super().__init__(backbone, width, config.bits)
        self.mapping = Mapping(config.bits, text.shape[1])
        self.attention = CrossModalAttention(text.shape[1], config.heads, config.ffn, config.dropout)
        self.register_buffer("text", text)
        self.config = config
        if config.initialisation == "authors":
            nn.init.xavier_normal_(self.mapping.weight)
            for layer in (self.attention.query, self.attention.key, self.attention.value):
                # nn.MultiheadAttention draws the three as one (3D, D) matrix: sqrt(6 / 4D) bounds them, not sqrt(6 / 2D).
                nn.init.xavier_uniform_(layer.weight, gain=math.sqrt(1 / 2))

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch: ``x`` as in ``forward``, ``tag_ids`` (N, M) -> Eq. (15)-(17) without the tag-balanced term."""
        h = self(batch["x"])
        v = self.mapping(h)
        r, _ = self.attention(v, self.text, without_padding(batch["tag_ids"]))
        with full_precision(*gathered(h, v, r)) as (h, v, r):
            terms = {
                "pairwise": similarity_loss(h, r),
                "hinge": hinge_loss(r, v, self.config.margin),
                "quantisation": quantisation_loss(h),
            }
            return weighted_sum(terms, self.config.weights)

    def tag_modules(self) -> list[nn.Module]:
        return [self.attention]

    def paces(self, epoch: float) -> dict[str, float]:
        """Of tag module or image network: tag, tag, image, image, ... in the published epochs, and the rates of both
        0, 1/20, 2/20, ... in the first 20 of their own."""
        config = self.config
        # Of a training of any length the last step is in the last published epoch, and so the image network's.
        published = math.ceil(epoch * PUBLISHED_EPOCHS / config.train.epochs) - 1
        turn, done = divmod(published, config.turn)
        pace = min((turn // 2 * config.turn + done) / config.warmup, 1.0) if config.warmup else 1.0
        return dict.fromkeys(("backbone", "head") if turn % 2 else ("tags",), pace)


class WSHRCA(DeepHasher):
    """Codes that follow the tags which the picture itself picks out of its own."""

    name, needs = "WSHRCA", "words"
    colour, dashes, marker = "#0072B2", "--", "D"
    config_type = WSHRCAConfig

    @classmethod
    def default_config(cls, train: TrainConfig, losses: LossConfig, **attention: int) -> WSHRCAConfig:
        return WSHRCAConfig(margin=losses.margin, train=train)

    def _network(self, backbone: nn.Module, width: int, facts: dict[str, Tensor]) -> WSHRCANetwork:
        return WSHRCANetwork(backbone, width, facts["text"], self.config)
