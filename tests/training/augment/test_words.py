import pytest

from subarch.training.augment.base import Source, merged, with_protected
from subarch.training.augment.words import is_negation, is_other_word, replaced, rewritten, shaped_like, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('He said: "(Don\'t go)," twice.', ["He", "said", "Don't", "go", "twice"]),
        ("it 's a well-known film , is n't it ?", ["it", "a", "well-known", "film", "is", "n't", "it"]),
        ("up 3.5 points, 1,004.63 in the U.S. today", ["up", "3.5", "points", "1,004.63", "in", "the", "U.S", "today"]),
        ("see http://x.org/a #tag @me a*b -lrb- $5 x_y", ["see"]),
        ("über Ärger — déjà vu", ["über", "Ärger", "déjà", "vu"]),
    ],
)
def test_words_are_found_without_what_clings_to_them(text, words):
    found = words_of(Source(text=text))
    assert [word.text for word in found] == words
    assert all(text[word.start : word.end] == word.text for word in found)


def test_a_word_that_touches_a_protected_span_is_left_out():
    assert [word.text for word in words_of(Source(text="one two three", protected=((5, 6),)))] == ["one", "three"]


@pytest.mark.parametrize("word", ["not", "No", "never", "n't", "don't", "Won’t", "cannot", "without", "nor"])
def test_negations(word):
    assert is_negation(word)


@pytest.mark.parametrize("word", ["note", "know", "want", "tent", "paint", "nothings"])
def test_no_negations(word):
    assert not is_negation(word)


def test_edits_are_made_in_one_go():
    assert rewritten("abcdef", [(4, 5, "E"), (0, 2, ""), (6, 6, "!")]) == "cdEf!"


@pytest.mark.parametrize(
    ("new", "old", "shaped"), [("dog", "Cat", "Dog"), ("dog", "CAT", "DOG"), ("dog", "cat", "dog"), ("we", "I", "we")]
)
def test_capitals_are_those_of_the_old_word(new, old, shaped):
    assert shaped_like(new, old) == shaped


@pytest.mark.parametrize(
    ("text", "old", "new", "expected"),
    [
        ("A cat sat", "cat", "owl", "An owl sat"),
        ("an owl, an owl", "owl", "cat", "a cat, a cat"),
        ("an hour ago", "hour", "house", "an house ago"),
        ("a b, cat", "cat", "owl", "a b, owl"),
    ],
)
def test_an_article_follows_its_word(text, old, new, expected):
    words = words_of(Source(text=text))
    assert replaced(text, words, {word: new for word in words if word.text == old}) == expected


def test_a_protected_article_stays():
    text = "a cat"
    words = words_of(Source(text=text, protected=((0, 1),)))
    assert replaced(text, words, {words[0]: "owl"}) == "a owl"


def test_spans_merge():
    assert merged([(5, 7), (1, 3), (2, 4), (9, 9), (7, 8)]) == ((1, 4), (5, 8))
    assert with_protected(Source(text="abc", protected=((0, 1),)), [(1, 2)]).protected == ((0, 2),)


@pytest.mark.parametrize(
    ("new", "old", "may"),
    [
        ("huge", "large", True),
        ("streams", "rivers", True),
        ("stream", "rivers", False),
        ("walk", "walking", False),
        ("arrived", "arrive", False),
        ("unsafe", "safe", False),
        ("colour", "color", False),
        ("largest", "large", False),
        ("quickly", "slow", False),
    ],
)
def test_a_word_is_replaced_by_another_inflected_alike(new, old, may):
    assert is_other_word(new, old) is may
