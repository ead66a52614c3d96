"""What a query and a photo cost as the database and the vocabulary grow: the points of "cost against size"."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.evaluation import problem as labelled_problem
from benchmarks.evaluation import signs
from benchmarks.measuring import Result, timed
from benchmarks.peers import CUT, numpy_sort
from benchmarks.search import BITS, NEAREST, problem, scan
from ctrh.guide.refine import best_tags, tag_scores
from ctrh.retrieval.metrics import Convention, evaluate
from ctrh.retrieval.search import HammingIndex

# database sizes to search, to evaluate, and vocabulary sizes
SIZES = {
    "full": ((10**3, 10**4, 10**5, 10**6, 10**7), (10**3, 10**4, 10**5, 10**6), (10**2, 10**3, 10**4)),
    "small": ((10**3, 10**5), (10**3, 10**5), (10**2, 10**3)),
    "tiny": ((100, 1000), (100, 500), (10, 30)),
}
SEARCHED, EVALUATED, TAGGED, WIDTH = "scaling: search", "scaling: evaluation", "scaling: tag replacement", 512


def run(scale: str) -> Iterator[Result]:
    codes, ranked, vocabularies = SIZES[scale]
    for items in codes:
        yield searched(items)
    for items in ranked:
        yield evaluated(items)
    for words in vocabularies:
        yield tagged(words)


def searched(items: int, queries: int = 20) -> Result:
    database, asked = problem(items, queries)
    index = HammingIndex(database, BITS)
    few = asked[: max(1, min(queries, 10**7 // items))]
    ours_s, (found, _) = timed(index.search, asked, NEAREST, repeats=3)
    reference_s, expected = timed(scan, few, database, NEAREST)
    difference = float(np.abs(found[: len(few)] - expected).max())
    return Result(SEARCHED, f"{items} codes, per query", ours_s / queries, reference_s / len(few), difference)


def evaluated(items: int, queries: int = 40) -> Result:
    inputs = labelled_problem(queries, items, 24)
    few = [part[:3] if len(part) == queries else part for part in inputs]
    evaluate(*few, convention=Convention("stable"))  # compiles
    ours_s, _ = timed(evaluate, *inputs)
    reference_s, _ = timed(numpy_sort, *signs(*few))
    scores = evaluate(*few, ks=(CUT,), convention=Convention("stable"))
    difference = abs(scores.map_at[CUT] - numpy_sort(*signs(*few), stable=True))
    return Result(EVALUATED, f"{items} codes, per query", ours_s / queries, reference_s / 3, difference)


def tagged(words: int, images: int = 256) -> Result:
    """Scores and choice of an image's tags from its features; the reference sorts all of them, one image at a time."""
    random = np.random.default_rng(0)
    token, text = (random.standard_normal((n, WIDTH), dtype=np.float32) for n in (images, words))
    mean = token / np.linalg.norm(token, axis=1, keepdims=True)
    ours_s, chosen = timed(lambda: best_tags(tag_scores(token, mean, text), np.full(images, 9)), repeats=3)

    def one_image(i: int) -> np.ndarray:
        unit = text / np.linalg.norm(text, axis=1, keepdims=True)
        s = np.exp(2 * unit @ mean[i])
        scores = s / s.mean() * (unit @ mean[i])
        return np.argsort(-scores)[:9]

    reference_s, expected = timed(lambda: [one_image(i) for i in range(5)])
    same = [set(chosen[[i]].indices) == set(best.tolist()) for i, best in enumerate(expected)]
    return Result(
        TAGGED, f"{words} tags, per image", ours_s / images, reference_s / 5, 1 - float(np.mean(same))
    )
