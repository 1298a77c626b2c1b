import numpy as np
import pytest

from subarch.training.augment.base import Source
from subarch.training.augment.edits import Drop, Repeat, Swap
from subarch.training.augment.words import is_negation


def many(tau, text, count=40):
    return {new for new in tau([Source(text=text)] * count, np.random.default_rng(0)) if new is not None}


def test_what_and_joins_is_swapped_first():
    assert many(Swap(), "a bright green river of salt and bread , or so") == {
        "a bright green river of bread and salt , or so"
    }


def test_neighbours_are_swapped_where_nothing_is_joined():
    assert many(Swap(), "the green garden by the river") == {"the garden green by the river"}


@pytest.mark.parametrize(
    "text",
    [
        "she did not return calls",  # what is denied
        "a name like Ann and Eve , Kai or Max",
        "river , garden",
        "river river",
    ],
)
def test_words_that_stay_in_their_order(text):
    assert not many(Swap(), text)


def test_what_is_longer_than_a_word_is_not_swapped_for_one():
    assert many(Swap(), "fat or thin cats") == {"fat or cats thin"}


def test_a_far_swap_exchanges_any_two():
    assert many(Swap(reach="any"), "river to the garden") == {"garden to the river"}


def test_modifiers_and_articles_are_dropped():
    assert many(Drop(), "A green garden by the river") == {
        "Green garden by the river",
        "A garden by the river",
        "A green garden by river",
    }


@pytest.mark.parametrize(
    "text",
    [
        "not very good",  # else what is denied changes
        "most lovely gardens",
        "and vividly bright gardens",
        "salt and bread crumbs",
        "heads of state agreed",
        "bin Laden",
        "river",
    ],
)
def test_words_that_the_next_or_the_last_one_needs_stay(text):
    assert not many(Drop(), text)


def test_the_capital_moves_to_the_new_first_word_unless_that_is_protected():
    (new,) = Drop()([Source(text="The garden", protected=())], np.random.default_rng(0))
    assert new == "Garden"
    assert Drop()([Source(text="The garden", protected=((4, 10),))], np.random.default_rng(0)) == [None]


def test_words_are_repeated_beside_themselves():
    assert many(Repeat(), "The end.") == {"The the end.", "The end end."}


@pytest.mark.parametrize("tau", [Swap(share=0.5), Swap(share=0.5, reach="any"), Drop(share=0.9), Repeat(share=0.9)])
def test_negations_stay_once_and_in_their_order(tau):
    text = "never green gardens without the quiet rivers , it is n't a lovely bright letter and no summer"
    kept = [word for word in text.split() if is_negation(word)]
    for new in many(tau, text):
        assert [word for word in new.split() if is_negation(word)] == kept
