import numpy as np

from subarch.tasks.registry import find_task
from subarch.training.augment.base import PairTransformation, Source
from subarch.training.augment.segments import Exchange, SentenceOrder, has_passages, is_symmetric, sentences

TEXT = "Dr. Ray came first. Was she early? “No.” Then it rained, e.g. on J. Poe! The end"


def test_sentences_are_found_past_abbreviations():
    assert [TEXT[start:end] for start, end in sentences(TEXT)] == [
        "Dr. Ray came first.",
        "Was she early?",
        "“No.”",
        "Then it rained, e.g. on J. Poe!",
        "The end",
    ]
    assert sentences("") == []


def test_one_sentence_moves():
    old = [TEXT[start:end] for start, end in sentences(TEXT)]
    texts = set(SentenceOrder()([Source(text=TEXT)] * 80, np.random.default_rng(0)))
    assert len(texts) > 5
    for new in texts:
        assert new != TEXT and len(new) == len(TEXT) and sorted(new) == sorted(TEXT)
        assert all(sentence in new for sentence in old)


def test_sentences_with_protected_spans_keep_their_order():
    spans = ((0, 3), (TEXT.index("Was"), TEXT.index("Was") + 3))
    for new in SentenceOrder()([Source(text=TEXT, protected=spans)] * 40, np.random.default_rng(0)):
        assert new.index("Dr.") < new.index("Was")


def test_short_texts_stay():
    assert SentenceOrder()([Source(text="One. Two. Three.")], np.random.default_rng(0)) == [None]


def test_texts_are_exchanged():
    one, two = Source(text="one"), Source(text="two")
    marked = Source(text="two", protected=((0, 1),))
    tau = Exchange()
    assert isinstance(tau, PairTransformation) and not isinstance(SentenceOrder(), PairTransformation)
    assert tau.change_pairs([(one, two), (one, one), (one, marked)], np.random.default_rng(0)) == [
        ("two", "one"),
        None,
        None,
    ]


def test_tasks_that_allow_it():
    assert [name for name in ("mrpc", "qqp", "stsb", "rte", "wic") if is_symmetric(find_task(name))] == [
        "mrpc",
        "qqp",
        "stsb",
    ]
    assert has_passages(find_task("boolq")) and not has_passages(find_task("cb"))
