"""Calibrated refinement: user and guide are two witnesses of which words are true of a photo, and neither need be believed.

The article's Eq. (3)-(8) let the guide alone write the tags. Here z_ic in {0, 1} says whether word c is true of photo i,
u_ic whether its user wrote it, and s_ic is the guide's cosine in units of its own standard deviation. Given z the two
know nothing of each other:

    P(z = 1 | s) = sigmoid(slope s - offset)                 one slope and offset for all words: CLIP's cosines are made comparable
    P(u = 1 | z = 1) = a_c,    P(u = 1 | z = 0) = b_c          per word, shrunk towards what words have in common
    log odds of z = slope s - offset + u log(a_c / b_c) + (1 - u) log((1 - a_c) / (1 - b_c))

EM finds the parameters from u and s alone: no label is needed.

Only words that are *visible* to the guide have such odds: their mentions raise its score by more than chance does (a
one-sided z test of the shift d'_c) and by more than most other words' scores: nikon moves none, and a guide whose texts
mean nothing moves any. A word that passes by chance does little harm: its a_c and b_c differ little. What the guide cannot
see may still show: neighbours in feature space share a word more often than chance (a Poisson test; Benjamini and
Hochberg, 1995). A mention of such a word is believed; one of a frequent word that neither sees is not; of rare words as
many are about pictures as of frequent ones.

The *trust* t is the share of mentions of visible words, to either, that the guide sees. With probability 1 - t it knows
nothing of these pictures and their users are right: p = t P(z = 1 | s, u) + (1 - t) u. So a guide without a clue
contradicts nobody, and the users' tags stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.special import expit
from scipy.stats import norm, poisson

from ctrh.guide.refine import direct_scores

FALSE_DISCOVERIES = 0.05
LEAST_SHIFT, LEAST_LIFT = 0.3, 1.5  # real but tiny effects (nikon, on sunny days) make no visible word
MOST_CHANCE = 0.05  # in either of the two tests of a shift
NEIGHBOURS = 10
LEAST_SEEN = 0.05  # of the judged words; who sees fewer is not heard: chance finds some
JUDGED = 10  # mentions from which on a test that finds nothing means that there is nothing
STRENGTH = 5.0  # so many photos are worth what all words have in common, in d'_c, a_c and b_c
STEPS = 40  # of EM, which by then is near its end
FITTED = 5_000  # photos, at random: neighbours and EM need no more
AT_ONCE = 4_000_000  # scores
LEAST_STORED = 0.01


@dataclass(frozen=True)
class Witnesses:
    """What is known of them: ``slope``, ``offset`` of the guide; ``right`` a_c and ``wrong`` b_c, (V,), of users."""

    slope: float
    offset: float
    right: np.ndarray
    wrong: np.ndarray

    def probability(self, scores: np.ndarray, mentioned: np.ndarray | None = None) -> np.ndarray:
        """P(z = 1 | s, u) for scores and mentions (N, V); without mentions, of photos that nobody tagged, P(z = 1 | s)."""
        odds = self.slope * scores - self.offset
        if mentioned is not None:
            yes, no = np.log(self.right / self.wrong), np.log((1 - self.right) / (1 - self.wrong))
            odds = odds + np.where(mentioned, yes, no)
        return expit(odds)


@dataclass(frozen=True)
class Calibration:
    """``probability``: (N, C) float32 CSR, that a word is true of a photo, those from ``LEAST_STORED`` on.

    Per word, (C,): ``shift`` d'_c, shrunk to 0 by n / (n + 5), ``by_guide`` and ``by_neighbours``, whether it is visible to them. ``trust`` in [0, 1]:
    of the mentions of words that either sees, the share of those that the guide sees (0: it sees none).
    ``reliability``: how often a mention of a word that the guide sees is right.
    """

    probability: sp.csr_array
    shift: np.ndarray
    by_guide: np.ndarray
    by_neighbours: np.ndarray
    trust: float
    reliability: float
    witnesses: Witnesses | None


def discoveries(p_values: np.ndarray, rate: float = FALSE_DISCOVERIES) -> np.ndarray:
    """Benjamini-Hochberg: which of (C,) tests are positive if at most ``rate`` of the positives may be false -> (C,) bool."""
    ordered = np.sort(p_values)
    passed = np.flatnonzero(ordered <= rate * np.arange(1, len(ordered) + 1) / max(len(ordered), 1))
    return p_values <= (ordered[passed[-1]] if len(passed) else -1.0)


def shifts(images: np.ndarray, text: np.ndarray, tags: sp.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """d'_c = (mean of s over the photos that have word c - mean over all) / std of s, and two p-values: each (C,).

    images: (N, D), text: (C, D), unit rows; tags: (N, C). All moments of s = f.t come from (D,), (D, D) and (C, D) sums.
    The first p-value is of d'_c sqrt(n (N-1) / (N-n)), n random photos out of N; the second the share of words whose
    score is shifted as much by the photos of c as its own.
    """
    tags, count = sp.csr_array(tags, dtype=np.float64), len(images)
    images, text = images.astype(np.float64), text.astype(np.float64)
    mentions = np.asarray(tags.sum(axis=0)).ravel()
    mean = text @ images.mean(axis=0)
    variance = ((text @ (images.T @ images / max(count, 1))) * text).sum(axis=1) - mean**2
    spread = np.sqrt(np.where(variance > 1e-12, variance, np.inf))
    own = (tags.T @ images) / np.maximum(mentions, 1)[:, None]  # (C, D), the mean photo of a word
    shift, among = np.zeros(len(text)), np.ones(len(text))
    for c in np.flatnonzero(mentions):
        moved = (text @ own[c] - mean) / spread
        shift[c], among[c] = moved[c], (moved >= moved[c]).mean()
    z = shift * np.sqrt(mentions * (count - 1) / np.maximum(count - mentions, 1))
    return shift, np.where(mentions > 0, norm.sf(z), 1.0), among


def lifts(images: np.ndarray, tags: sp.csr_array, k: int = NEIGHBOURS) -> tuple[np.ndarray, np.ndarray]:
    """How many times oftener than by chance the ``k`` nearest photos of one with word c have it too, and its p-value: each (C,).

    images: (N, D) unit rows, tags: (N, C). By chance: n k (n-1) / (N-1) such pairs, Poisson.
    """
    tags, count = sp.csr_array(tags, dtype=np.float64), len(images)
    k = min(k, count - 1)
    if k < 1:
        return np.zeros(tags.shape[1]), np.ones(tags.shape[1])
    near = []
    for start in range(0, count, rows := max(1, AT_ONCE // count)):
        cosine = images[start : start + rows] @ images.T
        cosine[np.arange(len(cosine)), np.arange(start, start + len(cosine))] = -np.inf  # nobody's own neighbour
        near.append(np.argpartition(-cosine, k - 1, axis=1)[:, :k])
    pairs = (np.ones(count * k), np.concatenate(near).ravel(), np.arange(0, count * k + 1, k))
    hits = sp.csr_array(pairs, shape=(count, count)) @ tags
    found = np.asarray(hits.multiply(tags).sum(axis=0)).ravel()
    mentions = np.asarray(tags.sum(axis=0)).ravel()
    chance = mentions * k * np.maximum(mentions - 1, 0) / (count - 1)
    some = chance > 0
    p_values = np.where(some, poisson.sf(found - 1, np.where(some, chance, 1)), 1.0)
    return np.where(some, found / np.where(some, chance, 1), 0.0), p_values


def two_witnesses(scores: np.ndarray, mentioned: np.ndarray, steps: int = STEPS) -> Witnesses:
    """EM on scores and mentions (N, V) of photos that have been tagged, V words visible to the guide, at least one."""
    scores, mentioned = scores.astype(np.float64), mentioned.astype(np.float64)
    count, written = len(scores), np.maximum(mentioned.mean(axis=0), 1 / len(scores))
    slope, offset = 2.0, 2.0 * float(np.quantile(scores, 0.98))
    found = Witnesses(slope, offset, np.full_like(written, 0.4), np.minimum(written / 2, 0.2))
    for _ in range(steps):
        true = found.probability(scores, mentioned > 0)  # E
        both, total = (true * mentioned).sum(axis=0), true.sum(axis=0)
        right = (both + STRENGTH * both.sum() / total.sum()) / (total + STRENGTH)  # M: of users
        # A third of a word's mentions is wrong, before anything is known of it.
        wrong = (mentioned.sum(axis=0) - both + STRENGTH * written / 3) / (count - total + STRENGTH)
        right = np.clip(right, 1e-4, 0.98)
        wrong = np.clip(wrong, 1e-6, right)
        slope, offset = _logistic_step(scores, true, slope, offset)  # M: of the guide
        found = Witnesses(slope, offset, right, wrong)
    return found


def _logistic_step(x: np.ndarray, target: np.ndarray, slope: float, offset: float) -> tuple[float, float]:
    """One Newton step of the regression of ``target`` in [0, 1] on sigmoid(slope x - offset)."""
    p = expit(slope * x - offset)
    error, w = target - p, p * (1 - p)
    gradient = np.array([(error * x).sum(), -error.sum()])
    across = -(w * x).sum()
    hessian = np.array([[(w * x * x).sum(), across], [across, w.sum()]]) + 1e-6 * np.eye(2)
    step = np.linalg.solve(hessian, gradient)
    # A slope below 0 would believe the guide's opposite.
    return max(slope + float(step[0]), 0.0), offset + float(step[1])


def calibrate(
    images: np.ndarray, text: np.ndarray, tags: sp.csr_array, fitted: np.ndarray | None = None
) -> Calibration:
    """How probable every word is for every photo. images: (N, D) class tokens, text: (C, D), tags: (N, C) bool.

    ``fitted``: rows from which parameters may be learned (default: all); of these ``FITTED`` tagged ones at random, seed 0.
    """
    images, text = (part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) for part in (images, text))
    tags = sp.csr_array(tags, dtype=bool)
    allowed = np.arange(len(images)) if fitted is None else np.asarray(fitted)
    written = np.diff(tags.indptr) > 0
    learned = allowed[written[allowed]]
    if not len(learned):  # nobody wrote anything
        nothing = np.zeros(len(text))
        return Calibration(sp.csr_array(tags.shape, dtype=np.float32), nothing, nothing > 0, nothing > 0, 0.0, 1.0, None)
    shift, chance, among = shifts(images[learned], text, tags[learned])
    mentions = np.asarray(tags[learned].sum(axis=0)).ravel()
    judged = mentions >= JUDGED
    shift = shift * mentions / (mentions + STRENGTH)
    by_guide = _heard((shift >= LEAST_SHIFT) & (np.maximum(chance, among) <= MOST_CHANCE), judged)
    sample = np.sort(np.random.default_rng(0).permutation(learned)[:FITTED])
    lift, chance = lifts(images[sample], tags[sample])
    by_neighbours = _heard(discoveries(chance) & (lift >= LEAST_LIFT), judged)
    seen = by_guide | by_neighbours

    witnesses, columns, unit, reliability = None, np.flatnonzero(by_guide), 1.0, 1.0
    if len(columns):
        unit = float(np.std(direct_scores(images[sample], text)))
        scores, told = images[sample] @ text[columns].T / unit, tags[sample][:, columns].toarray()
        witnesses = two_witnesses(scores, told)
        reliability = float(witnesses.probability(scores, told)[told].mean())
    trust = float(mentions[by_guide].sum() / max(mentions[seen].sum(), 1))
    worth = (trust * reliability + 1 - trust) * _about_pictures(seen, by_neighbours, judged)
    probability = _of_all(images, text, tags, witnesses, columns, unit, np.where(by_guide, 0, worth), trust)
    return Calibration(probability, shift, by_guide, by_neighbours, trust, reliability, witnesses)


def _heard(seen: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """The words (C,) that a witness sees, or none where it sees too few of the ``judged`` ones."""
    return seen & (seen[judged].mean() >= LEAST_SEEN if judged.any() else False)


def _about_pictures(seen: np.ndarray, by_neighbours: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """(C,), of words that the guide does not see: how likely they say something about pictures at all."""
    if not seen.any():
        return np.ones(len(seen))  # nobody sees anything: no reason to contradict anybody
    return np.where(by_neighbours, 1.0, np.where(judged, 0.0, seen[judged].mean()))


def _of_all(images, text, tags, witnesses, columns, unit, worth, trust) -> sp.csr_array:
    """The (N, C) probabilities, block by block; ``worth``: (C,), of mentions of words that the guide does not see."""
    unseen = sp.csr_array(tags.astype(np.float32).multiply(worth.astype(np.float32)[None]))
    if witnesses is None:
        return unseen
    blocks, rows = [], max(1, AT_ONCE // len(columns))
    for start in range(0, len(images), rows):
        part = slice(start, start + rows)
        scores, told = images[part] @ text[columns].T / unit, tags[part][:, columns].toarray()
        seen = witnesses.probability(scores, told)
        silent = np.diff(tags[part].indptr) == 0
        seen[silent] = witnesses.probability(scores[silent])
        seen = trust * seen + (1 - trust) * told
        seen[seen < LEAST_STORED] = 0
        block = sp.coo_array(seen.astype(np.float32))
        blocks.append(sp.csr_array((block.data, (block.row, columns[block.col])), shape=(len(seen), len(worth))))
    return sp.csr_array(sp.vstack(blocks, format="csr") + unseen)


def calibrated_tags(
    probability: sp.csr_array, tags: sp.csr_array, least: float = 0.5, counts: np.ndarray | None = None
) -> sp.csr_array:
    """(N, C) float32 CSR: the words whose probability is above ``least``, with it; or with ``counts`` (N,), as Eq. (3) gives
    them, so many of the most probable words where that is above 0.

    No row of ``tags`` is emptied: a photo without such a word keeps its most probable one, and one of which nothing is
    known keeps what its user wrote, at probability ``least``.
    """
    probability, tags = sp.csr_array(probability), sp.csr_array(tags, dtype=bool)
    chosen, values, ends = [], [], [0]
    for i in range(tags.shape[0]):
        own = tags.indices[tags.indptr[i] : tags.indptr[i + 1]]
        row = slice(probability.indptr[i], probability.indptr[i + 1])
        words, p = probability.indices[row], probability.data[row]
        words, p = words[p > 0], p[p > 0]
        if counts is not None and counts[i]:
            many = counts[i]
        else:
            many = max(int((p > least).sum()), min(len(own), 1))
        if not len(words):  # nothing is known of it
            words, p, many = own, np.full(len(own), least), len(own)
        best = np.argsort(-p, kind="stable")[:many]
        chosen.append(words[best])
        values.append(p[best])
        ends.append(ends[-1] + len(best))
    parts = (np.concatenate(values, dtype=np.float32), np.concatenate(chosen), ends)
    return sp.csr_array(parts, shape=tags.shape)
