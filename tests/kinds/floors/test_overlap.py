import math

import numpy as np
import pytest

from subarch.kinds.floors.overlap import empty, overlap
from subarch.kinds.registry import KINDS
from subarch.tasks.base import Examples, TaskData
from subarch.tasks.scoring.scores import main_score, score
from subarch.tasks.suites.squad import SQUAD

TASK = SQUAD["squad2"]
VERBS = ("painted", "married", "founded", "visited", "trained", "defeated", "studied", "ruled")
NAMES = ("Anna Berg", "Carl Dorn", "Emil Falk", "Greta Holm", "Ines Juhl", "Karin Lund", "Maria Nord", "Olof Prytz")
PLACES = ("Oslo", "Turku", "Malmo", "Visby", "Bergen", "Lund", "Vaasa", "Narvik")


def part(count, seed, *, unanswerable=0):
    """Three sentences "NAME VERB the town of PLACE", of which one is asked after, or none where it has no answer."""
    rng = np.random.default_rng(seed)
    texts, contexts, answers, starts = [], [], [], []
    for number in range(count):
        verbs, names, places = (rng.permutation(words) for words in (VERBS, NAMES, PLACES))
        told = [f"{names[i]} {verbs[i]} the town of {places[i]}" for i in range(3)]
        contexts.append(". ".join(told) + ".")
        lacking = bool(unanswerable) and number % unanswerable == 0
        asked = 4 if lacking else 1
        texts.append(f"Who {verbs[asked]} the town of {places[asked]}?")
        answers.append([] if lacking else [str(names[1])])
        starts.append([] if lacking else [contexts[-1].index(names[1])])
    columns = {"id": [str(n) for n in range(count)], "answers": answers, "answer_starts": starts}
    return Examples(texts, contexts, columns=columns)


def made(**kwargs):
    return TaskData(TASK, part(60, 0, **kwargs), part(60, 1, **kwargs), part(60, 2, **kwargs))


def test_the_words_around_the_answer_find_it():
    data = made()
    found = overlap(data)
    assert main_score(TASK, found.predictions, data.test) > 0.75
    assert found.predictions.threshold == math.inf
    assert found.parameters >= len(VERBS)


def test_where_questions_may_have_no_answer_a_threshold_is_tuned():
    data = made(unanswerable=3)
    found = overlap(data).predictions
    assert math.isfinite(found.threshold)
    assert main_score(TASK, found, data.test) > 0.75
    assert 10 < sum(text == "" for text in found.answers) < 30


def test_the_empty_answer_is_right_where_there_is_none_and_worth_nothing_elsewhere():
    data = made(unanswerable=3)
    assert main_score(TASK, empty(data).predictions, data.test) == pytest.approx(20 / 60)
    assert score(TASK, empty(made()).predictions, made().test, 0)["score"] == 0.0


def test_a_question_is_answered_alone_as_among_others():
    data = made(unanswerable=3)
    for baseline in KINDS["span"].floors(data):
        for rows in KINDS["span"].questions(data.test)[:5]:
            assert baseline.answer(data.test.take(rows)).answers == [baseline.predictions.answers[int(rows[0])]]


def test_a_context_without_a_candidate_gives_no_answer():
    data = made()
    said = overlap(data).answer(Examples(["Who painted the town of Oslo?"], ["The town of Oslo?"]))
    assert said.texts == [""]


def test_an_answer_is_a_text_of_its_context():
    data = made(unanswerable=3)
    contexts = ['He said "yes" ($3.5 million, c. 1999) — 王先生 lives there.', "...", "x"]
    said = overlap(data).answer(Examples(["Who lives there?"] * 3, contexts))
    assert all(text in context for text, context in zip(said.texts, contexts, strict=True))
    assert np.isfinite(said.no_answer).all()
