"""A user's own questions: what is read, how it is split, and what is said of rows that cannot be used."""

import csv
import gzip
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subarch.errors import DataError
from subarch.kinds.registry import load_own
from subarch.kinds.span_files import holds_questions, load_question_file
from subarch.tasks.columns import Columns

NOTHING = Columns()


def made(count=40, *, each=2, unanswerable=4):
    """(question, context, texts, starts) of `each` questions a context; the answer stands twice in its context."""
    rows = []
    for number in range(count):
        owner, name = number // each, f"Anna{number % each}"
        context = " and ".join(f"Anna{who} met Bo{owner}" for who in range(each)) + f" in Oslo{owner}; Anna0 left."
        none = bool(unanswerable) and number % unanswerable == 1
        texts = [] if none else [name]
        rows.append((f"Who met Bo{owner}, number {number}?", context, texts, [context.index(text) for text in texts]))
    return rows


def squad(path, rows, version="v2.0", **more):
    """SQuAD's JSON, an article for each context."""
    articles = {}
    for number, (question, context, texts, starts) in enumerate(rows):
        answers = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
        qa = {"id": f"q{number}", "question": question, "answers": answers, **more}
        articles.setdefault(context, []).append(qa)
    data = [
        {"title": f"t{n}", "paragraphs": [{"context": c, "qas": qas}]} for n, (c, qas) in enumerate(articles.items())
    ]
    path.write_text(json.dumps({"data": data} | ({} if version is None else {"version": version})))
    return path


def jsonl(path, rows, name="answers"):
    values = [
        {"question": q, "context": c, name: {"text": texts, "answer_start": starts}} for q, c, texts, starts in rows
    ]
    path.write_text("\n".join(map(json.dumps, values)))
    return path


def table(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def load(path, given=NOTHING, kind=None, **files):
    return load_own({"train": path, **files}, given, kind, 0)


def seen(data):
    """All (question, context, answers, starts) of a task, whatever the split."""
    found = []
    for part in (data.train, data.validation, data.test):
        found += zip(part.texts, part.pairs, part.columns["answers"], part.columns["answer_starts"], strict=True)
    return sorted(found)


def written(tmp_path, form):
    rows = made()
    flat = [(q, c, *(texts or [""]), *(starts or [""])) for q, c, texts, starts in rows]
    answers = [{"text": texts, "answer_start": starts} for _, _, texts, starts in rows]
    values = [{"question": q, "context": c, "answers": a} for (q, c, _, _), a in zip(rows, answers, strict=True)]
    match form:
        case "json":
            return squad(tmp_path / "own.json", rows)
        case "json.gz":
            path = tmp_path / "own.json.gz"
            path.write_bytes(gzip.compress(squad(tmp_path / "own.json", rows).read_bytes()))
            return path
        case "jsonl":
            return jsonl(tmp_path / "own.jsonl", rows)
        case "jsonl of objects":
            pairs = [[{"text": t, "answer_start": s} for t, s in zip(*a.values(), strict=True)] for a in answers]
            lines = [json.dumps({**value, "answers": pair}) for value, pair in zip(values, pairs, strict=True)]
            (tmp_path / "own.jsonl").write_text("\n".join(lines))
            return tmp_path / "own.jsonl"
        case "parquet":
            pq.write_table(pa.Table.from_pylist(values), tmp_path / "own.parquet")
            return tmp_path / "own.parquet"
        case "csv":
            return table(tmp_path / "own.csv", ("question", "context", "answer_text", "answer_start"), flat)
        case "csv of JSON":
            cells = [(q, c, json.dumps(a)) for (q, c, _, _), a in zip(rows, answers, strict=True)]
            return table(tmp_path / "own.csv", ("Question", "Context", "Answers"), cells)
        case "csv of Python":
            cells = [(q, c, repr(a)) for (q, c, _, _), a in zip(rows, answers, strict=True)]
            return table(tmp_path / "own.csv", ("question", "context", "answers"), cells)


FORMS = ["json", "json.gz", "jsonl", "jsonl of objects", "parquet", "csv", "csv of JSON", "csv of Python"]


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_questions(tmp_path, form):
    path = written(tmp_path, form)
    assert holds_questions(path, NOTHING)
    data = load(path)
    assert seen(data) == sorted((q, c, texts, starts) for q, c, texts, starts in made())
    assert (data.task.kind, data.task.name, data.task.main_metric) == ("span", "own", "f1")
    assert not any("first place" in note for note in data.notes)


def test_columns_may_have_other_names_and_are_then_told_by_the_kind(tmp_path):
    rows = [{"ask": q, "passage": c, "gold": {"text": t, "answer_start": s}} for q, c, t, s in made()]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = Columns(text="ask", text_pair="passage", label="gold")
    data = load(tmp_path / "own.jsonl", given, "span")
    assert (data.task.text, data.task.text_pair, data.task.label) == ("ask", "passage", "gold")
    assert seen(data) == sorted(made())
    with pytest.raises(DataError, match=r"has no column 'asked' \(--text\)"):
        load(tmp_path / "own.jsonl", Columns(text="asked"), "span")
    with pytest.raises(DataError, match="ask, passage, gold, expected 'question'"):
        load(tmp_path / "own.jsonl", NOTHING, "span")


def test_a_label_beside_question_and_context_is_no_question_of_spans(tmp_path):
    rows = [(f"is it {n}?", f"it is {n}", ("yes", "no")[n % 2]) for n in range(40)]
    path = table(tmp_path / "own.csv", ("question", "context", "label"), rows)
    assert not holds_questions(path, NOTHING) and load(path).task.kind == "classification"
    both = table(
        tmp_path / "both.csv", ("question", "context", "answers", "label"), [(*r[:2], r[1], r[2]) for r in rows]
    )
    assert holds_questions(both, NOTHING) and not holds_questions(both, Columns(label="label"))
    assert not holds_questions(tmp_path / "none.json", NOTHING) and not holds_questions(tmp_path / "none.csv", NOTHING)


@pytest.mark.parametrize("count", [40, 400])
def test_no_context_stands_in_two_splits(tmp_path, count):
    """Of few articles contexts are drawn, of many whole articles."""
    data = load(squad(tmp_path / "own.json", made(count, each=4, unanswerable=3)))
    parts = [set(part.pairs) for part in (data.train, data.validation, data.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == count // 4
    assert all(4 <= len(part) <= count / 8 for part in (data.validation, data.test))
    assert ("articles" if count == 400 else "contexts") in data.notes[0]


def test_a_given_split_is_taken_as_it_is_and_the_rest_carved_beside_it(tmp_path):
    rows = made(60)
    test = jsonl(tmp_path / "test.jsonl", rows[:6])
    data = load(squad(tmp_path / "own.json", rows), test=test)
    assert data.test.texts == [row[0] for row in rows[:6]]
    assert "6 questions of train are on contexts that stand in validation or test too" in data.notes
    assert not set(data.validation.pairs) & (set(data.train.pairs) | set(data.test.pairs))
    assert len(data.train) + len(data.validation) == 60
    whole = load(squad(tmp_path / "own.json", rows[6:]), test=test, validation=jsonl(tmp_path / "v.jsonl", rows[6:12]))
    assert len(whole.train) == 54 and len(whole.validation) == 6


def test_answers_without_a_place_take_the_first(tmp_path):
    rows = [{"question": q, "context": c, "answers": texts} for q, c, texts, _ in made(unanswerable=0)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = load(tmp_path / "own.jsonl")
    assert seen(data) == sorted(made(unanswerable=0))
    # Anna0 stands twice in each context, Anna1 once.
    assert "own.jsonl: 20 answers stand several times in their contexts, each was put at its first place" in data.notes


def test_a_validation_without_unanswerable_questions_is_told(tmp_path):
    path = jsonl(tmp_path / "own.jsonl", made())
    valid = jsonl(tmp_path / "valid.jsonl", made(unanswerable=0))
    assert any("nothing says when to give none" in note for note in load(path, validation=valid, test=valid).notes)
    assert not any("nothing says" in note for note in load(path, validation=path, test=valid).notes)


def test_further_columns_are_kept_for_slices(tmp_path):
    rows = [(q, c, *(t or [""]), "N" if n % 2 else "S") for n, (q, c, t, _) in enumerate(made())]
    path = table(tmp_path / "own.csv", ("question", "context", "answers", "region"), rows)
    assert set(load(path, Columns(keep=("region",))).train.columns["region"]) == {"N", "S"}
    with pytest.raises(DataError, match="no column 'regoin'"):
        load(path, Columns(keep=("regoin",)))


BAD = {
    "moved": (("Q?", "Anna met Bo", ["Bo"], [4]), "line 3: at answer_start 4 stands ' m', expected the answer 'Bo'"),
    "before": (("Q?", "Anna met Bo", ["Bo"], [-2]), "line 3: at answer_start -2 stands '', expected the answer 'Bo'"),
    "nowhere": (("Q?", "Anna met Bo", ["Carl"], [0]), "line 3: the answer 'Carl' is not in its context"),
    "question": ((" ", "Anna met Bo", ["Bo"], [9]), "line 3: 'question' is empty"),
    "context": (("Q?", "", [], []), "line 3: 'context' is empty"),
    "number": ((3, "Anna met Bo", ["Bo"], [9]), "line 3: 'question' holds 3, expected a text"),
    "start": (("Q?", "Anna met Bo", ["Bo"], ["x"]), "line 3: answer_start is 'x', expected a number"),
    "half": (("Q?", "Anna met Bo", ["Bo"], [9.5]), "line 3: answer_start is 9.5, expected a number"),
    "more": (("Q?", "Anna met Bo", ["Bo"], [9, 4]), "line 3: 1 answers and 2 answer_start"),
    "word": (("Q?", "Anna met 2", [2], [9]), "line 3: 'answers' holds 2, expected a text"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_rows_are_counted_in_one_line(tmp_path, fault):
    row, message = BAD[fault]
    rows = made()
    path = jsonl(tmp_path / "own.jsonl", [*rows[:2], row, *rows[2:], row, row])
    with pytest.raises(DataError) as caught:
        load(path)
    told = str(caught.value).splitlines()[0]
    assert message in told and "(3 such rows)" in told and caught.value.hint and "\n" not in caught.value.hint


def test_several_faults_are_one_message(tmp_path):
    path = jsonl(tmp_path / "own.jsonl", [*made(), BAD["moved"][0], BAD["nowhere"][0], BAD["nowhere"][0]])
    with pytest.raises(DataError) as caught:
        load(path)
    assert "line 41: at answer_start 4" in str(caught.value) and "line 42: the answer 'Carl'" in str(caught.value)
    assert "it begins at 9" in caught.value.hint


@pytest.mark.parametrize(("version", "more"), [("1.1", {}), ("v1.1", {}), (None, {})])
def test_a_file_of_the_first_version_has_an_answer_to_each_question(tmp_path, version, more):
    path = squad(tmp_path / "own.json", made(), version, **more)
    with pytest.raises(
        DataError, match=r"article 1, paragraph 1, question 2: no answer .*SQuAD 1.1's form.*10 such rows"
    ):
        load(path)
    assert load(squad(tmp_path / "own.json", made(unanswerable=0), version)).task.kind == "span"


def test_unanswered_questions_need_the_second_version_or_their_mark(tmp_path):
    assert len(seen(load(squad(tmp_path / "own.json", made(), "v2.0")))) == 40
    assert len(seen(load(squad(tmp_path / "own.json", made(), None, is_impossible=True)))) == 40


def test_a_question_whose_answers_are_missing_is_not_one_without_answers(tmp_path):
    content = json.loads(squad(tmp_path / "own.json", made()).read_text())
    del content["data"][0]["paragraphs"][0]["qas"][0]["answers"]
    (tmp_path / "own.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"question 1: no 'answers' with texts"):
        load(tmp_path / "own.json")


def test_a_word_for_nothing_is_an_answer_where_it_stands_in_the_context(tmp_path):
    rows = [(q, f"{c} None of them.", "None") for q, c, _, _ in made(20)] + [(q, c, "None") for q, c, _, _ in made(20)]
    data = load(table(tmp_path / "own.csv", ("question", "context", "answers"), rows))
    assert sorted(len(texts) for _, _, texts, _ in seen(data)) == [0] * 20 + [1] * 20


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (made(8), "8 questions on 4 contexts to carve test out of"),
        (made(40, each=40), "40 questions on 1 contexts to carve test out of"),
        ([(q, c, [], []) for q, c, _, _ in made()], "no question of .* has an answer"),
    ],
    ids=["few", "one context", "no answers"],
)
def test_what_cannot_be_split_or_learnt_is_refused(tmp_path, rows, message):
    with pytest.raises(DataError, match=message) as caught:
        load(jsonl(tmp_path / "own.jsonl", rows))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": "v2.0", "data": [', "is not JSON"),
        ('{"version": "v2.0", "data": []}', "has no questions"),
        ('{"data": [{"title": "t", "paragraphs": [{"context": "c", "qas": [3]}]}]}', "question 1: a int, expected"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, text, message):
    (tmp_path / "own.json").write_text(text)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "own.json")


def test_another_file_of_the_task_may_be_of_another_form(tmp_path):
    task = load(jsonl(tmp_path / "own.jsonl", made())).task
    rows = made(6)
    flat = [(q, c, *(texts or [""]), *(starts or [""])) for q, c, texts, starts in rows]
    table(tmp_path / "more.csv", ("question", "context", "answer_text", "answer_start"), flat)
    for path in (tmp_path / "more.csv", squad(tmp_path / "more.json", rows)):
        found = load_question_file(path, task)
        assert found.texts == [row[0] for row in rows] and found.columns["answer_starts"] == [row[3] for row in rows]


def test_the_floor_of_own_questions_has_a_threshold(tmp_path):
    """The whole way: a file, its task, its baselines."""
    from subarch.kinds.registry import kind_of

    data = load(jsonl(tmp_path / "own.jsonl", made(200)))
    floors = kind_of(data.task).floors(data)
    assert math.isfinite(floors.simple.predictions.threshold)
    assert (
        len(floors.commonest.predictions) == len(data.test) and np.isfinite(floors.simple.predictions.no_answer).all()
    )
