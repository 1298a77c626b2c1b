"""When tf-idf is enough, and what it reads."""

import copy

import numpy as np
import pytest

from stages import tiny
from subarch.inputs.models import ModelFolder
from subarch.kinds.floors.baseline import Baseline, Floors
from subarch.stages.compression.floor import floor_verdict, lay_floor
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.scoring.predictions import Predictions

TASK = Task(
    name="t",
    kind="classification",
    labels=("bad", "good"),
    text="text",
    label="label",
    metrics=("accuracy",),
    main_metric="accuracy",
)


def baseline(name, said):
    nothing = Predictions(texts=[])
    return Baseline(
        name=name, label=name, said=said, predictions=nothing, parameters=0, answer=lambda examples: nothing
    )


FLOORS = Floors(
    commonest=baseline("majority", "the most frequent answer"), simple=baseline("tfidf", "tf-idf with a linear model")
)


def row(score, rare, usual=1.0, answers=2):
    macro = (rare + usual) / 2
    classes = {"answers": answers, "answer": "usual", "uneven": True, "examples": {"rare": 20, "usual": 480}}
    classes |= {"recalls": {"rare": rare, "usual": usual}, "f1_macro": macro}
    classes["f1_macro_interval"] = [macro - 0.05, macro + 0.05]
    classes["matthews_correlation_interval"] = [rare + usual - 1.1, rare + usual - 0.9]
    return {"score": score, "score_interval": [score - 0.02, score + 0.02], "classes": classes}


ROWS = {
    "majority": row(0.96, 0.0, answers=1),
    "tfidf": row(0.98, 0.5),
    "student": row(0.985, 0.55),
    "teacher": row(0.985, 0.5),
}


def changed(**rows):
    return copy.deepcopy(ROWS) | rows


def test_as_good_in_every_class_and_better_than_the_commonest_answer_is_enough():
    found = floor_verdict(ROWS, FLOORS)
    assert found["sufficient"] and "no transformer is needed" in found["text"] and "whole_score" not in found
    assert floor_verdict(ROWS, FLOORS, 0.99)["whole_score"] == 0.99


@pytest.mark.parametrize(
    "rows",
    [
        {
            "tfidf": row(0.96, 0.0, answers=1),
            "student": row(0.96, 0.0, answers=1),
            "teacher": row(0.96, 0.0, answers=1),
        },
        {"tfidf": row(0.96, 0.1)},
        {"tfidf": row(0.975, 0.3)},
        {"tfidf": row(0.98, 0.0, usual=1.5)},
        {"tfidf": row(0.90, 0.5)},
        {
            name: row(score, 0.55, 0.5)
            for name, score in (("majority", 0.5), ("tfidf", 0.51), ("student", 0.5), ("teacher", 0.5))
        },
    ],
    ids=["one answer", "the commonest answer", "macro F1", "a class that it never finds", "score", "chance"],
)
def test_otherwise_it_is_not(rows):
    assert floor_verdict(changed(**rows), FLOORS) == {"sufficient": False, "text": ""}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return ModelFolder.of(tiny.teacher(tmp_path_factory.mktemp("floor") / "encoder"))


def documents(count, seed):
    """Only the last word tells the label, beyond what the models read."""
    rng = np.random.default_rng(seed)
    words = [" ".join(rng.choice(tiny.PLAIN, size=40)) for _ in range(count)]
    labels = np.arange(count) % 2
    return Examples(
        [f"{text} {(tiny.BAD, tiny.GOOD)[i][0]}" for text, i in zip(words, labels, strict=True)], None, labels
    )


def test_the_floor_reads_what_the_models_read_and_tells_what_it_would_with_all(teacher):
    data = TaskData(TASK, documents(300, 0), documents(60, 1), documents(100, 2))
    cut = teacher.cut(TASK, data.train, 24)
    floor = lay_floor(data, teacher, cut, data.test.take(np.arange(3)), seed=0)
    assert cut.share == 1.0 and floor.whole_score > 0.75
    assert floor.rows["tfidf"]["score"] < 0.7 and floor.rows["tfidf"]["classes"]["recalls"].keys() == {"bad", "good"}
    assert len(floor.requests) == 3 and len(floor.asked) == 3
    assert all(len(text.split()) < 24 for request in floor.requests for text in request.texts)
    assert floor.names == {"commonest": "majority", "simple": "tfidf"} and floor.labels.keys() == floor.rows.keys()
    longer = teacher.cut(TASK, data.train, 48)
    assert longer.share == 0.0
    whole = lay_floor(data, teacher, longer, data.test.take(np.arange(3)), seed=0)
    assert whole.whole_score is None and whole.rows["tfidf"]["score"] == floor.whole_score


def choices(count, seed):
    """Two answers to a text, the right one with a word of it."""
    rng = np.random.default_rng(seed)
    texts = [[str(word) for word in rng.choice(tiny.PLAIN, size=6, replace=False)] for _ in range(count)]
    pairs = [word for text in texts for word in (text[2], "elsewhere")]
    labels = np.tile([1, 0], count)
    return Examples([" ".join(text) for text in texts for _ in range(2)], pairs, labels, np.repeat(np.arange(count), 2))


def test_a_choice_has_another_floor_and_the_clock_asks_it_a_question_at_a_time(teacher):
    task = Task(
        name="c", kind="choice", text="a", text_pair="b", label="y", metrics=("accuracy",), main_metric="accuracy"
    )
    data = TaskData(task, choices(40, 0), choices(20, 1), choices(20, 2))
    floor = lay_floor(data, teacher, None, data.test.take(np.arange(6)), seed=0)
    assert floor.names == {"commonest": "longest", "simple": "tfidf"}
    assert [len(request) for request in floor.requests] == [2, 2, 2]
    assert floor.rows["tfidf"]["score"] == 1.0 and floor.rows["longest"]["score"] == 0.0
    assert "classes" not in floor.rows["tfidf"] and floor.whole_score is None


def test_the_verdict_names_the_simple_method_of_the_kind():
    simple = baseline("overlap", "the sliding window of overlapping words")
    floors = Floors(commonest=baseline("empty", "no answer at all"), simple=simple)
    rows = {
        name: {"score": score, "score_interval": [score - 0.02, score + 0.02]}
        for name, score in (("empty", 0.0), ("overlap", 0.8), ("student", 0.81), ("teacher", 0.82))
    }
    assert floor_verdict(rows, floors)["text"] == (
        "the sliding window of overlapping words reaches 0.800 where the student reaches 0.810 and the teacher 0.820: "
        "no transformer is needed"
    )
