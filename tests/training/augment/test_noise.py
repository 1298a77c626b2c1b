import numpy as np
from rapidfuzz.distance import DamerauLevenshtein

from subarch.training.augment.base import Source
from subarch.training.augment.noise import Casing, Typing, sees_casing

TEXT = "Don't mock the Straße of Paris"


def many(tau, source, count=60):
    return set(tau([source] * count, np.random.default_rng(0))) - {None}


def test_the_cases():
    assert many(Casing(), Source(text=TEXT)) == {
        "don't mock the straße of paris",
        "DON'T MOCK THE STRAßE OF PARIS",
        "Don't Mock The Straße Of Paris",
        "don't mock the Straße of Paris",
    }


def test_a_case_that_changes_nothing_is_not_drawn():
    assert many(Casing(), Source(text="PARIS")) == {"paris", "pARIS"}
    assert many(Casing(cases=("lower",)), Source(text="paris")) == set()


def test_protected_letters_keep_their_case():
    start = TEXT.index("the")
    for new in many(Casing(), Source(text=TEXT, protected=((start, start + 3),))):
        assert new[start : start + 3] == "the"


def test_an_uncased_tokenizer_is_known(tokenizer, cased_tokenizer):
    assert not sees_casing(tokenizer)
    assert sees_casing(cased_tokenizer)


def test_one_slip_a_word():
    text = "Painter"
    slips = many(Typing(), Source(text=text), 300)
    assert {"Paniter", "Paainter", "Paiter", "Paimter"} <= slips
    assert all(DamerauLevenshtein.distance(text, new) == 1 and new[0] == "P" for new in slips)


def test_short_words_negations_and_numbers_are_typed_right():
    assert many(Typing(), Source(text="the cat never 12345 without a x-ray")) == set()


def test_the_share_of_words_is_kept():
    text = "river " * 50
    changed = many(Typing(share=0.1), Source(text=text.strip()))
    assert {sum(word != "river" for word in new.split()) for new in changed} == {5}
