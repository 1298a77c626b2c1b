import numpy as np
import pytest

from subarch.tasks.base import Examples
from subarch.tasks.suites import castings
from subarch.training.augment.base import Source
from subarch.training.augment.protected import moved_answers, places, protected, rows_of_groups


def shown(examples, task):
    """Protected pieces instead of their places."""
    pairs = examples.pairs or [""] * len(examples)
    return [
        ([text[slice(*span)] for span in spans], [pair[slice(*span)] for span in more])
        for text, pair, (spans, more) in zip(examples.texts, pairs, protected(task, examples), strict=True)
    ]


def test_nothing_is_protected_of_an_ordinary_task(task_of):
    assert protected(task_of(), Examples(["a * b * c"], ["# d #"])) == [((), ())]


def test_the_marked_words_of_wic(task_of):
    examples = Examples(["They * bank * on it, 2*3."], ["By the river * bank * ."])
    assert shown(examples, task_of("wic")) == [(["* bank *"], ["* bank *"])]


def test_the_marked_spans_of_wsc_and_the_claim_of_the_paper(task_of):
    text = "* The two boats * met when # they # turned."
    assert shown(Examples([text]), task_of("wsc", pair=False)) == [(["* The two boats *", "# they #"], [])]
    claimed = shown(Examples([text], ["they means The two boats"]), task_of("wsc", casting="paper"))
    assert claimed == [(["* The two boats *", "# they #"], ["they means The two boats"])]


def test_what_copa_asks(task_of):
    row = {"id": "1", "place": "", "label": 0, "premise": "It rained.", "choices": ["A cloud came.", "Sun set."]}
    cast = castings.choices(castings.copa_premise, lambda question: question["choices"])
    for asked, words in (("cause", "What's the cause of this?"), ("effect", "What happened as a result?")):
        found = shown(cast([row | {"question": asked}]), task_of("copa", kind="choice"))
        assert found == [([words], [])] * 2
    paper = Examples([castings.copa_sentence(0)(row | {"question": "effect"})])
    assert shown(paper, task_of("copa", casting="paper")) == [(["so"], [])]


def test_answers_of_a_span_task(task_of):
    columns = {"answers": [["bright", "a bright star", "gone"], []], "answer_starts": [[9, 7, -1], []]}
    examples = Examples(["What?", "Who?"], ["Once by a bright star"] * 2, columns=columns)
    columns["answer_starts"][0][:2] = [10, 8]
    assert shown(examples, task_of("squad1", kind="span")) == [([], ["a bright star"]), ([], [])]


def test_entities_and_the_query_around_them(task_of):
    examples = Examples(
        ["Ann met Eve. Anna left."] * 2,
        ["Then Ann went to her home", "Then Eve went to her home"],
        groups=np.array([4, 4]),
        columns={"entity": ["Ann", "Eve"]},
    )
    text = ["Ann", "Eve"]
    assert shown(examples, task_of("record", kind="choice")) == [
        (text, ["Ann", "went to her home"]),
        (text, ["Eve", "went to her home"]),
    ]


def test_the_question_that_options_share(task_of):
    examples = Examples(
        ["passage"] * 3,
        ["Why did he go? To eat", "Why did he go? He fled", "Why? alone"],
        groups=np.array([0, 0, 1]),
    )
    assert shown(examples, task_of("race_middle", kind="choice")) == [
        ([], ["Why did he go?"]),
        ([], ["Why did he go?"]),
        ([], []),
    ]


def test_options_that_are_one_text(task_of):
    examples = Examples(["p", "p"], ["the same four words"] * 2, groups=np.array([0, 0]))
    assert shown(examples, task_of("multirc")) == [([], ["the same four words"])] * 2


def test_rows_of_groups():
    assert list(rows_of_groups(Examples(list("abcd"), groups=np.array([2, 2, 5, 7])))) == [[0, 1], [2], [3]]
    assert list(rows_of_groups(Examples(list("ab")))) == [[0], [1]]
    assert list(rows_of_groups(Examples([], groups=np.array([], dtype=np.int64)))) == []


@pytest.mark.parametrize(
    ("new", "place"),
    [
        ("the old cat saw the cat", 16),
        ("the cat the cat saw the cat", 20),  # what stands before tells which one
        ("so the cat", 3),
        ("the cats saw the catfish", None),
        ("the old cat saw the fat cat", None),
    ],
)
def test_places_in_a_new_text(new, place):
    source = Source(text="the cat saw the cat", protected=((12, 19),))
    assert places(source, new) == (None if place is None else ((place, place + 7),))


def test_the_right_one_of_equal_pieces_is_found():
    source = Source(text="a red one, then a red two", protected=((18, 21),))
    assert places(source, "a red one, and then a red two") == ((22, 25),)
    assert places(source, "a blue one, then a red two") == ((19, 22),)


def test_pieces_must_keep_their_order():
    source = Source(text="red and blue", protected=((0, 3), (8, 12)))
    assert places(source, "red or even blue") == ((0, 3), (12, 16))
    assert places(source, "blue and red") is None


def test_answers_move_with_their_span():
    source = Source(text="by a bright star", protected=((3, 16),))
    assert moved_answers([5, 3, -1], source, "again by a bright star") == [11, 9, -1]


def test_a_piece_of_a_word_is_found_within_one():
    source = Source(text="in the 1990s again", protected=((7, 11),))
    assert places(source, "in the late 1990s again") == ((12, 16),)
    whole = Source(text="in 1990 again", protected=((3, 7),))
    assert places(whole, "in 1990s again") is None
