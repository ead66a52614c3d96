"""Signs in queries, and results that are marked where queries of nothing do as well."""

import numpy as np
import pytest
from conftest import failed
from hypothesis import given
from hypothesis import strategies as st

from ctrh.app import queries
from ctrh.app.cli import main
from ctrh.app.queries import Chance, least_of_chance, random_codes, random_texts, text_results, wanted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("beach", [(1, "beach")]),
        ("  old   house ", [(1, "old house")]),
        ("beach +dog -people", [(0.5, "beach"), (0.5, "dog"), (-1, "people")]),
        ("beach − people - black-and-white", [(1, "beach"), (-0.5, "people"), (-0.5, "black-and-white")]),
        ("-people", [(-1, "people")]),
        ("a+b c++ - ", [(1, "a+b c++")]),
    ],
)
def test_what_a_text_wants(text, expected):
    assert wanted(text) == expected


@given(st.text(alphabet="ab +-−\n", max_size=12))
def test_any_text_has_phrases_or_is_refused(text):
    try:
        found = wanted(text)
    except ValueError:
        return
    assert all(phrase.strip() == phrase != "" for _, phrase in found)
    for sign in (1, -1):
        weights = [weight for weight, _ in found if weight * sign > 0]
        assert not weights or sum(weights) == pytest.approx(sign)


def test_results_are_those_of_a_loop():
    generator = np.random.default_rng(3)
    scores = {name: generator.normal(size=30) for name in ("sea", "dog", "people")}
    chance = Chance(generator.normal(size=30), generator.uniform(0.5, 2, 30), 0.8)
    ask = lambda phrases: np.stack([scores[phrase] for phrase in phrases])  # noqa: E731
    rows, values, by_chance = text_results("sea +dog -people", ask, chance, 12)
    expected = []
    for i in range(30):
        score = scores["sea"][i] / 2 + scores["dog"][i] / 2 - scores["people"][i]
        z = sum(w * (scores[n][i] - chance.mean[i]) for w, n in ((0.5, "sea"), (0.5, "dog"), (-1, "people"))) / chance.std[i]
        expected.append((score, i, z <= 0.8 * (0.25 + 0.25 + 1) ** 0.5))
    expected.sort(key=lambda row: (-row[0], row[1]))
    assert list(rows) == [i for _, i, _ in expected[:12]]
    assert values == pytest.approx([score for score, _, _ in expected[:12]])
    assert list(by_chance) == [marked for *_, marked in expected[:12]]


def test_one_in_twenty_of_the_best_for_nothing_passes():
    scores = np.random.default_rng(0).normal(size=(queries.QUERIES, 500))
    mean, std = np.zeros(500), np.ones(500)
    least = least_of_chance(scores, mean, std)
    best = np.sort(scores, axis=1)[:, -queries.BEST :]
    assert (best > least).mean() == pytest.approx(0.05, abs=0.002)
    known = np.zeros((1, 500))
    known[0, :20] = 5
    rows, _, by_chance = text_results("dog", lambda phrases: known, Chance(mean, std, least), 30)
    assert by_chance.tolist() == [False] * 20 + [True] * 10 and set(rows[:20]) == set(range(20))


def test_random_texts_and_codes_are_of_nothing_and_always_the_same():
    assert random_texts() == random_texts() and len(set(random_texts())) == queries.QUERIES
    codes = np.random.default_rng(1).random((400, 16)) < np.linspace(0, 1, 16)
    codes[:, 8] = codes[:, 7]
    found = random_codes(codes)
    np.testing.assert_array_equal(found, random_codes(codes))
    assert np.abs(found.mean(axis=0) - codes.mean(axis=0)).max() < 0.25
    assert (found[:, 7] != found[:, 8]).any()


def test_search_marks_what_is_no_better_than_chance(fit, folder, capsys):
    assert fit() == 0
    capsys.readouterr()
    assert main(["search", str(fit.out), "--text", "zzzxqy", "-k", "99"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == 12 and lines[-1].endswith("(no better than chance)")
    assert main(["search", str(fit.out), "--text", "red -green", "-k", "2"]) == 0
    assert main(["search", str(fit.out), str(folder / "images" / "00.png"), "-k", "12"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("(no better than chance)")
    assert "nothing to look for" in failed(capsys, main(["search", str(fit.out), "--text", "+ -"]))
    assert main(["update", str(fit.out)]) == 0
