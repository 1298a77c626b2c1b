import numpy as np
import pytest

from subarch.tasks.base import Examples
from subarch.tasks.suites import castings


def question(**more):
    return {"id": "5", "place": "f, line 1", "label": 0} | more


def test_an_option_goes_into_the_blank():
    asked = {"question": "The  sky is __ at noon, _ .", "options": ["blue", "red \\1"]}
    assert castings.race_option(asked) == ["The sky is blue at noon, blue .", "The sky is red \\1 at noon, red \\1 ."]
    assert castings.race_option({"question": "Why?", "options": ["Because."]}) == ["Why? Because."]


def test_choices_are_grouped_and_one_is_right():
    cast = castings.choices(castings.copa_premise, lambda row: row["choices"])
    rows = [
        question(premise="It rained.", question=asked, choices=["x", "y"], label=label, id=name)
        for name, asked, label in (("5", "cause", 1), ("3", "effect", 0))
    ]
    examples = cast(rows)
    assert examples.texts[0] == "It rained. What's the cause of this?"
    assert (examples.labels.tolist(), examples.groups.tolist()) == ([0, 1, 1, 0], [0, 0, 1, 1])
    assert examples.columns["id"] == ["5-0", "5-1", "3-0", "3-1"]
    assert cast([row | {"label": None} for row in rows]).labels is None


def test_the_paper_joins_a_premise_and_a_choice():
    row = question(premise="The lamp went out.", question="cause", choices=["The bulb broke.", "It was day."])
    assert castings.copa_sentence(0)(row) == "The lamp went out because the bulb broke."
    assert castings.copa_sentence(1)(row | {"question": "effect"}) == "The lamp went out so it was day."


def test_the_last_sentences_of_a_premise():
    text = "One. Two! Three? Four. A: five, maybe"
    assert castings.last_sentences({"premise": text}) == "Two! Three? Four. A: five, maybe"
    assert castings.last_sentences({"premise": "One. Two."}) == "One. Two."


def test_the_word_that_is_meant_is_marked():
    row = {"sentence1": "A bank by the bank.", "start1": 14, "end1": 18}
    assert castings.wic_sentence(1)(row) == "A bank by the * bank * ."


@pytest.mark.parametrize(
    ("index", "span", "marked"),
    [
        (0, "Ann", "* Ann * told Eve that Ann # she # 'd won."),
        (3, "ann", "Ann told Eve that * Ann * # she # 'd won."),
        (2, "Eve", "Ann told * Eve * that Ann # she # 'd won."),
        (2, "Eve and Ann", "Ann told * Eve that Ann * # she # 'd won."),
    ],
)
def test_spans_are_found_near_their_number(index, span, marked):
    row = question(text="Ann told Eve that Ann she'd won.", span1_text=span, span1_index=index)
    row |= {"span2_text": "she", "span2_index": 5}
    assert castings.wsc_text(row) == marked


def test_a_span_inside_another():
    row = question(text="her mother sang", span1_text="her mother", span1_index=0, span2_text="her", span2_index=0)
    marked = castings.wsc_text(row)
    assert marked.replace("*", "").replace("#", "").split() == ["her", "mother", "sang"]
    assert (marked.count("*"), marked.count("#")) == (2, 2)
    assert castings.wsc_claim(row) == "her means her mother"


def test_multirc_groups_are_questions_in_their_order():
    rows = [
        question(id=name, passage="p", question="q?", answer=str(number), label=number % 2)
        for number, name in enumerate(["0-9-0", "0-9-1", "0-10-0", "1-11-0"])
    ]
    examples = castings.multirc(rows)
    assert examples.groups.tolist() == [0, 0, 1, 2]
    assert (examples.pairs[1], examples.columns["id"][2]) == ("q? 1", "0-10-0")


def test_record_has_a_row_for_each_entity():
    row = question(
        passage="Rio won\n@highlight\nThe cup is theirs",
        query="@placeholder beat @placeholder",
        entities=["Lima", "Rio", "Rio FC"],
        answers=["Rio", "Rio FC"],
        label=None,
    )
    other = row | {"id": "6", "answers": ["Quito"]}
    examples = castings.record([row, other])
    assert examples.texts[0] == "Rio won. The cup is theirs."
    assert examples.pairs[:2] == ["Lima beat Lima", "Rio beat Rio"]
    assert examples.labels.tolist() == [0, 1, 1, 0, 0, 0]
    assert examples.columns["entity"][1] == "Rio"
    assert examples.columns["answers"][5] == ["Quito"]
    kept, dropped = castings.with_right_answers(examples)
    assert (kept.columns["id"], dropped) == (["5-0", "5-1", "5-2"], 1)
    hidden = castings.record([row | {"answers": None}])
    assert hidden.labels is None
    assert "answers" not in hidden.columns


def test_all_groups_with_a_right_answer_are_kept_as_they_are():
    examples = Examples(["a", "b"], None, np.array([0, 1]), np.array([0, 0]))
    assert castings.with_right_answers(examples) == (examples, 0)
