import numpy as np
import pytest

from subarch.kinds.floors.matching import longest, match
from subarch.kinds.registry import KINDS
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.scoring.scores import main_score

TASK = Task(
    name="c", kind="choice", text="text", text_pair="answer", label="y", metrics=("accuracy",), main_metric="accuracy"
)
WORDS = [f"{first}{second}o" for first in "bdfgklmnprst" for second in "aeiou"]


def questions(count, seed, *, right="shared"):
    """Three answers to each text: the right one shares a word with it, or is the longest."""
    rng = np.random.default_rng(seed)
    texts, answers, labels = [], [], []
    for _ in range(count):
        said = [str(word) for word in rng.choice(WORDS, size=12, replace=False)]
        text, others = said[:6], said[6:]
        place = int(rng.integers(3))
        for row in range(3):
            words = [others[row], "the" if right == "shared" else "", others[row + 3]]
            if row == place:
                words[1] = text[2] if right == "shared" else "thing of great length"
            texts.append(" ".join(["the", *text]))
            answers.append(" ".join(words))
            labels.append(int(row == place))
    return Examples(texts, answers, np.asarray(labels), np.repeat(np.arange(count), 3))


def made(**kwargs):
    return TaskData(TASK, questions(80, 0, **kwargs), questions(40, 1, **kwargs), questions(40, 2, **kwargs))


def test_a_shared_word_is_found_and_length_says_nothing():
    data = made()
    found = match(data)
    assert main_score(TASK, found.predictions, data.test) == 1.0
    assert main_score(TASK, longest(data).predictions, data.test) < 0.7
    assert found.parameters >= len(WORDS)


def test_the_longest_answer_is_the_one_with_most_characters():
    data = made(right="long")
    assert main_score(TASK, longest(data).predictions, data.test) == 1.0
    assert longest(data).parameters == 0


def test_a_question_is_answered_alone_as_among_others():
    data = made()
    for baseline in KINDS["choice"].floors(data):
        for rows in KINDS["choice"].questions(data.test)[:3]:
            alone = baseline.answer(data.test.take(rows)).outputs
            assert len(rows) == 3 and np.allclose(alone, baseline.predictions.outputs[rows])


def test_only_what_is_read_counts():
    data = made()

    def nothing(examples):
        return Examples(["the"] * len(examples), examples.pairs, examples.labels, examples.groups)

    assert main_score(TASK, match(data, nothing).predictions, data.test) < 0.7


def test_validation_chooses_how_far_length_is_taken_off():
    """Wrong answers hold one word of the text and nothing else, right ones hold two among many."""
    rng = np.random.default_rng(0)

    def part(count):
        texts, answers, labels = [], [], []
        for _ in range(count):
            said = [str(word) for word in rng.choice(WORDS, size=16, replace=False)]
            texts += [" ".join(said[:6])] * 2
            answers += [said[0], " ".join([*said[1:3], *said[6:]])]
            labels += [0, 1]
        return Examples(texts, answers, np.asarray(labels), np.repeat(np.arange(count), 2))

    data = TaskData(TASK, part(60), part(40), part(40))
    assert main_score(TASK, match(data).predictions, data.test) > 0.9


def test_a_choice_without_a_second_text_has_a_floor_too():
    data = made()
    alone = TaskData(
        TASK, *(Examples(e.pairs, None, e.labels, e.groups) for e in (data.train, data.validation, data.test))
    )
    for baseline in KINDS["choice"].floors(alone):
        assert 0 <= main_score(TASK, baseline.predictions, alone.test) <= 1
        assert baseline.predictions.outputs.shape == (120, 1)


@pytest.mark.parametrize("name", ["commonest", "simple"])
def test_names_do_not_speak_of_classes(name):
    baseline = getattr(KINDS["choice"].floors(made()), name)
    assert "class" not in baseline.label + baseline.said and baseline.name != "majority"
