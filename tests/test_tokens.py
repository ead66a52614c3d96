"""CLIP's tokens against those of open_clip's tokenizer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer

from ctrh.guide.tokens import Tokenizer

OURS, THEIRS = Tokenizer(), SimpleTokenizer()
SOME = [piece.removesuffix("</w>") for piece in list(THEIRS.encoder)[::97]]


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(SOME), max_size=6).map(" ".join)))
def test_any_text_has_the_tokens_that_open_clip_gives_it(text):
    assert OURS.encode(text) == THEIRS.encode(text)


@pytest.mark.parametrize("context", [8, 77])
def test_texts_are_marked_filled_up_and_cut(context):
    texts = ["", "a dog", "it's  Möwe &amp;amp; co", "one two three four five six seven eight <end_of_text>"]
    tokens = Tokenizer(context=context)(texts)
    assert tokens.dtype == np.int64
    np.testing.assert_array_equal(tokens, THEIRS(texts, context))
