import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from subarch.tasks import containment, wording
from subarch.tasks.containment import RUN, find_contained
from subarch.tasks.wording import words

A_SENTENCE = "a film of quiet power and great beauty"


def pairs(found):
    return set(zip(found.inner.tolist(), found.outer.tolist(), strict=True))


def test_words_are_read_without_case_spacing_and_punctuation():
    assert words("  The film,\tit's GREAT — 10/10! ") == ["the", "film", "it", "s", "great", "10", "10"]


@given(st.lists(st.text(st.characters(max_codepoint=127) | st.sampled_from("aaaéßİ_ 天")), max_size=8))
def test_texts_have_one_number_where_their_words_are_the_same(texts):
    found = wording.Wording(2, 10**6)
    rows = found.add([*texts, *(f"{text.upper()}!" for text in texts)]).tolist()
    lines = [" ".join(words(text)) for text in [*texts, *(f"{text.upper()}!" for text in texts)]]
    assert [row >= 0 for row in rows] == [line.count(" ") > 0 for line in lines]
    assert len(set(zip(rows, lines, strict=True))) == len(set(lines)) == len(set(rows))
    names = found.word_numbers(list({word for line in lines for word in line.split()}))
    long = dict.fromkeys(line for line, row in zip(lines, rows, strict=True) if row >= 0)
    assert found.corpus.tolist() == [names[word] for line in long for word in line.split()]
    assert list(found.lengths) == [line.count(" ") + 1 for line in long]
    assert found.size == len({word for line in long for word in line.split()})


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["- é"], ["a b c d", ""]])
def test_texts_without_a_word_are_short(texts):
    found = find_contained([texts], short=True)
    assert found.texts[0].tolist() == [0 if text.startswith("a") else -1 for text in texts]
    assert not pairs(found)


def test_long_texts_are_read_block_by_block(monkeypatch):
    columns = [
        [A_SENTENCE, f"  -- {A_SENTENCE.upper()}, \n", f"so: {A_SENTENCE}! é", "quiet power and great", "- - - é"]
    ]
    whole = find_contained(columns)
    monkeypatch.setattr("subarch.tasks.base.BLOCK", 5)
    monkeypatch.setattr(wording, "BLOCK", 5)
    monkeypatch.setattr(wording, "BATCH", 5)
    parts = find_contained(columns)
    assert [text.tolist() for text in parts.texts] == [text.tolist() for text in whole.texts] == [[0, 0, 1, 2, -1]]
    assert pairs(parts) == pairs(whole) == {(0, 1), (2, 0), (2, 1)}


def test_texts_of_equal_words_have_one_number_and_short_ones_none():
    found = find_contained([["One two three four!", "one, two three FOUR", "one two three", "four three two one"]])
    assert found.texts[0].tolist() == [0, 0, -1, 1]
    assert (found.count, pairs(found)) == (2, set())


def test_a_phrase_stands_inside_its_sentence_and_not_inside_parts_of_words():
    found = find_contained([[A_SENTENCE, "of quiet power and", "film of quiet pow", "of quiet power or great"]])
    assert pairs(found) == {(1, 0)}
    assert found.complete


def test_a_phrase_does_not_run_over_the_end_of_a_text():
    assert not pairs(find_contained([["a b c d e", "f g h i j", "c d e f", "d e f g", "j k l m", "h i j k"]]))


def test_texts_stand_inside_those_of_other_columns():
    found = find_contained([["one two three four", "x"], [A_SENTENCE, "Zero one two three four five"]])
    assert [text.tolist() for text in found.texts] == [[0, -1], [1, 2]]
    assert pairs(found) == {(0, 2)}


def contained(texts):
    """By definition: every text against every other."""
    padded = [f" {' '.join(words(text))} " for text in texts]
    return {(a, b) for a, inner in enumerate(padded) for b, outer in enumerate(padded) if a != b and inner in outer}


@given(st.lists(st.lists(st.sampled_from(["ab", "c"]), min_size=RUN, max_size=12).map(tuple), unique=True))
@example([tuple("aaaa"), tuple("aaaaa"), tuple("aaaaaaaa")])
@settings(deadline=None)
def test_it_finds_what_the_definition_finds(texts):
    texts = [" ".join(text) for text in texts]
    found = find_contained([texts])
    assert pairs(found) == contained(texts)
    assert len(pairs(found)) == len(found.inner)


def test_short_texts_are_found_where_they_are_asked_for_and_not_common():
    common = [f"the film number {number} of {number + 1}" for number in range(containment.MOST_SHORT + 1)]
    texts = ["Quiet power", "the film", "beauty", "quiet beauty", "and great beauty", "of quiet power and", A_SENTENCE]
    found = find_contained([[*texts, *common]], short=True)
    assert found.texts[0][:7].tolist() == [-1, -2, -3, -4, -5, 0, 1]
    assert set(zip(*(part.tolist() for part in found.short), strict=True)) == {(0, 0), (0, 1), (2, 1), (4, 1)}
    assert len(find_contained([texts]).short[0]) == 0
    assert len(find_contained([["a b c d", "e f g h", "d e"]], short=True).short[0]) == 0


def test_small_chunks_find_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    texts = sorted({" ".join(rng.choice(list("abc"), rng.integers(RUN, 12))) for _ in range(200)})
    monkeypatch.setattr(containment, "CHUNK", 7)
    assert pairs(find_contained([texts])) == contained(texts)


def sentences(count):
    """Of 20 words each, and one phrase out of each."""
    rng = np.random.default_rng(1)
    whole = [[f"w{word}" for word in rng.integers(0, 2000, 20)] for _ in range(count)]
    return [" ".join(text) for text in whole] + [" ".join(text[5:12]) for text in whole]


@pytest.mark.parametrize("count", [100, 400])
def test_work_grows_with_the_texts_and_not_with_their_pairs(count):
    found = find_contained([sentences(count)])
    assert len(found.inner) == count
    assert found.places < 10 * count


def test_the_rarest_run_of_a_text_says_where_to_look():
    texts = [f"this is the story of x{number} and y{number} today" for number in range(100)]
    found = find_contained([[*texts, *(text.removesuffix(" today") for text in texts)]])
    assert len(found.inner) == 100
    assert found.places == 200


def test_a_limit_of_places_leaves_the_commonest_texts_out():
    common = ["w1 w2 w3 w4", *(f"w1 w2 w3 w4 x{number}" for number in range(50))]
    found = find_contained([[*common, *sentences(20)]], most_places=90)
    assert found.places <= 90
    assert len(found.inner) == 20
    assert not found.complete
    assert len(find_contained([[*common, *sentences(20)]]).inner) == 70


def test_beyond_the_limit_of_words_only_equal_texts_are_told():
    texts = [A_SENTENCE, "of quiet power and", A_SENTENCE.upper()]
    found = find_contained([texts], most_words=11)
    assert found.texts[0].tolist() == [0, 1, 0]
    assert (len(found.inner), found.complete) == (0, False)
    assert find_contained([texts], most_words=12).complete


def test_nothing_to_look_for():
    for columns in ([[]], [["a", "b c", ""]]):
        found = find_contained(columns, short=True)
        assert (found.count, len(found.inner), found.complete) == (0, 0, True)
