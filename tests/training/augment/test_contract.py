"""What every τ of single texts promises."""

import numpy as np
import pytest

from subarch.training.augment.base import Source
from subarch.training.augment.edits import Drop, Repeat, Swap
from subarch.training.augment.noise import Casing, Typing
from subarch.training.augment.protected import KeepNumbers, places
from subarch.training.augment.refill import Refill
from subarch.training.augment.segments import SentenceOrder
from subarch.training.augment.synonyms import Synonyms

MAKE = {
    "refill": lambda model, tokenizer: Refill(model=model, tokenizer=tokenizer, precision="fp32"),
    "synonym": lambda model, tokenizer: Synonyms(model=model, tokenizer=tokenizer, least=-1.0),
    "swap": lambda model, tokenizer: Swap(share=0.3),
    "swap far": lambda model, tokenizer: Swap(share=0.3, reach="any"),
    "drop": lambda model, tokenizer: Drop(share=0.4),
    "repeat": lambda model, tokenizer: Repeat(share=0.4),
    "casing": lambda model, tokenizer: Casing(),
    "typing": lambda model, tokenizer: Typing(share=0.5),
    "segments": lambda model, tokenizer: SentenceOrder(),
}
TEXT = "The quiet sailor walked to a river. A painter sailed in summer. The green garden! An apple, a bright letter."
PIECE = "walked to a river"
AT = TEXT.index(PIECE)


@pytest.fixture(params=MAKE)
def tau(request, masked_lm, tokenizer):
    return MAKE[request.param](masked_lm, tokenizer)


def test_the_same_state_gives_the_same_texts(tau):
    sources = [Source(text=TEXT), Source(text="a lovely green window"), Source(text="bright orange letter")] * 5
    first, second, other = (tau(sources, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == second != other
    assert len(first) == len(sources)
    assert first[0] not in (None, TEXT)


def test_protected_characters_survive(tau):
    source = Source(
        text=TEXT, protected=((AT, AT + len(PIECE)), (TEXT.index("A painter"), TEXT.index("A painter") + 9))
    )
    for new in tau([source] * 30, np.random.default_rng(0)):
        assert new != TEXT
        kept = places(source, new)
        assert [new[start:end] for start, end in kept] == [PIECE, "A painter"]


def test_a_text_that_is_protected_throughout_gives_none(tau):
    assert tau([Source(text=TEXT, protected=((0, len(TEXT)),))], np.random.default_rng(0)) == [None]


@pytest.mark.parametrize("text", ["", " ", "!!!", "... ?", "* #", "http://a.b/c?d=e", "'s 're"])
def test_nothing_to_change_is_none_and_no_error(tau, text):
    if tau.name == "casing" and any(letter.isalpha() for letter in text):
        pytest.skip("capitals change letters, not words")
    assert tau([Source(text=text)], np.random.default_rng(0)) == [None]


@pytest.mark.parametrize("text", ["river", "River", "not", "42", "a", "Ärger!", "I"])
def test_one_word_is_no_error(tau, text):
    (new,) = tau([Source(text=text)], np.random.default_rng(0))
    assert new is None or (new and new != text)


def test_no_sources_give_no_texts(tau):
    assert tau([], np.random.default_rng(0)) == []


def test_numbers_can_be_kept(masked_lm, tokenizer):
    sources = [Source(text="12 40 1990")] * 20
    refill = MAKE["refill"](masked_lm, tokenizer)
    assert any(refill(sources, np.random.default_rng(0)))
    keeping = KeepNumbers(inner=refill)
    assert keeping.name == "refill"
    assert not any(keeping(sources, np.random.default_rng(0)))
