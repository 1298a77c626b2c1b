import json
import os
from pathlib import Path

import numpy as np
import pytest

from subarch.errors import DataError
from subarch.tasks.scoring.answers import exact_and_f1
from subarch.tasks.suites.squad import SQUAD, load_squad, load_squad_file

DATA = os.environ.get("SUBARCH_DATA")
CONTEXT = "The old mill by the river was built in 1820. In 1901 the mill burnt down."


def question(identity, *answers, **more):
    rows = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": identity, "question": f" What of {identity}? ", "answers": rows} | more


def write(path, articles):
    data = [
        {"title": title, "paragraphs": [{"context": context, "qas": rows} for context, rows in paragraphs]}
        for title, paragraphs in articles
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": "x", "data": data}), encoding="utf-8")
    return path


def many(titles, prefix=""):
    """Articles of three paragraphs with four questions each."""
    return [
        (
            f"{prefix}title {title}",
            [
                (
                    f"{prefix}{title} {paragraph}: {CONTEXT}",
                    [question(f"{prefix}{title}-{paragraph}-{row}", (prefix, 0)) for row in range(4)],
                )
                for paragraph in range(3)
            ],
        )
        for title in range(titles)
    ]


def test_a_file_is_read(tmp_path):
    rows = [question("a", ("1820", 39), ("built in 1820", 30)), question("b", is_impossible=True)]
    examples, notes = load_squad_file(write(tmp_path / "x.json", [("Mill", [(CONTEXT, rows)])]))
    assert examples.texts == ["What of a?", "What of b?"]
    assert examples.pairs == [CONTEXT] * 2
    assert examples.columns == {
        "id": ["a", "b"],
        "title": ["Mill", "Mill"],
        "answers": [["1820", "built in 1820"], []],
        "answer_starts": [[39, 30], []],
    }
    assert notes == []


def test_an_answer_elsewhere_is_moved_to_the_nearest_place(tmp_path):
    rows = [question("a", ("mill", 55)), question("b", ("castle", 3)), question("c", ("old mill", -1))]
    path = write(tmp_path / "x.json", [("Mill", [(CONTEXT, rows)])])
    examples, notes = load_squad_file(path)
    assert examples.columns["answer_starts"] == [[CONTEXT.rindex("mill")], [-1], [4]]
    assert notes == [
        f"{path}: 2 answers were not at their answer_start, the nearest place taken",
        f"{path}: 1 answers do not occur in their context",
    ]


def test_a_file_without_answers_can_be_read(tmp_path):
    rows = [{"id": "a", "question": "Why?"}]
    examples, _ = load_squad_file(write(tmp_path / "x.json", [("Mill", [(CONTEXT, rows)])]))
    assert set(examples.columns) == {"id", "title"}


BROKEN = {
    "no-id": ([{"question": "Why?", "answers": []}], "question 1: id is a missing value, expected a text"),
    "twice": ([question("a"), question("a")], "question 2: the id 'a' stands already at article 1, paragraph 1, quest"),
    "some": ([question("a"), {"id": "b", "question": "?"}], "1 of 2 questions have answers, expected all or none"),
    "answers": ([question("a") | {"answers": "x"}], "answers are a str, expected a list"),
    "start": ([question("a", ("mill", "4"))], "answer_start is a str, expected a number"),
    "none": ([], "has no questions, expected at least one"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_questions_are_named(tmp_path, name):
    rows, message = BROKEN[name]
    with pytest.raises(DataError, match=message):
        load_squad_file(write(tmp_path / "x.json", [("Mill", [(CONTEXT, rows)])]))


def test_broken_files_are_named(tmp_path):
    path = write(tmp_path / "x.json", many(1))
    path.write_text(path.read_text()[:-20])
    with pytest.raises(DataError, match=r"x\.json is not JSON"):
        load_squad_file(path)
    path.write_text('{"data": [{"title": "x"}]}')
    with pytest.raises(DataError, match="article 1: 'paragraphs' is a missing value, expected a list"):
        load_squad_file(path)
    path.write_text("[]")
    with pytest.raises(DataError, match="'data' is a missing value"):
        load_squad_file(path)
    with pytest.raises(DataError, match="cannot read"):
        load_squad_file(tmp_path / "y.json")


def test_validation_is_made_of_whole_articles(tmp_path):
    write(tmp_path / "SQuAD" / "train-v1.1.json", many(12))
    write(tmp_path / "SQuAD" / "dev-v1.1.json", many(2, "dev "))
    data = load_squad(SQUAD["squad1"], data_dir=tmp_path)
    train, validation = set(data.train.columns["title"]), set(data.validation.columns["title"])
    assert not train & validation
    assert len(train | validation) == 12
    assert 1 <= len(validation) <= 4
    assert len(data.test) == 24
    assert any("of whole articles" in note for note in data.notes)
    assert any("the official file has 87599" in note for note in data.notes)
    other = load_squad(SQUAD["squad1"], data_dir=tmp_path, seed=1)
    assert set(other.validation.columns["title"]) != validation
    assert other.test == data.test


def test_few_articles_are_split_by_paragraph(tmp_path):
    write(tmp_path / "squad2" / "train-v2.0.small.json", many(3))
    write(tmp_path / "squad2" / "dev-v2.0.json", many(1, "dev "))
    data = load_squad(SQUAD["squad2"], data_dir=tmp_path)
    assert not set(data.train.pairs) & set(data.validation.pairs)
    assert len(data.train) + len(data.validation) == 36
    assert any("of whole paragraphs" in note for note in data.notes)
    assert any("sample file train-v2.0.small.json stands in" in note for note in data.notes)


def test_what_cannot_be_learnt_from_is_left_out_and_said(tmp_path):
    articles = many(6)
    articles[0][1][0][1][0]["answers"] = [{"text": "no such words", "answer_start": 0}]
    write(tmp_path / "train-v1.1.json", [*articles, *many(1, "dev ")])
    write(tmp_path / "dev-v1.1.json", [(title, rows) for title, rows in many(1, "dev ")])
    duplicate = json.loads((tmp_path / "train-v1.1.json").read_text())
    (tmp_path / "train-v1.1.json").write_text(json.dumps(duplicate))
    data = load_squad(SQUAD["squad1"], data_dir=tmp_path)
    assert len(data.train) + len(data.validation) == 6 * 12 - 1
    assert any(note.startswith("12 train questions on paragraphs of the dev set") for note in data.notes)
    assert any(note.startswith("1 train questions were left out, since their answer is nowhere") for note in data.notes)


def test_missing_files_and_missing_answers(tmp_path):
    with pytest.raises(DataError, match=r"train-v1\.1\.json is missing, expected the official file"):
        load_squad(SQUAD["squad1"], data_dir=tmp_path)
    write(tmp_path / "train-v1.1.json", many(6))
    write(tmp_path / "dev-v1.1.json", [("Mill", [(CONTEXT, [{"id": "a", "question": "Why?"}])])])
    with pytest.raises(DataError, match="the validation questions have no answers"):
        load_squad(SQUAD["squad1"], data_dir=tmp_path)


def test_the_hub_gives_the_same_columns(monkeypatch):
    def load_dataset(name, config, *, split):
        assert (name, config) == ("rajpurkar/squad_v2", "squad_v2")
        answers = {"text": ["1820"], "answer_start": [39]}, {"text": [], "answer_start": []}
        return [
            {"id": f"{split}{row}", "title": f"{split} {row // 4}", "context": f"{CONTEXT} {split} {row // 2}"}
            | {"question": "When? ", "answers": answers[row % 2]}
            for row in range(24)
        ]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    data = load_squad(SQUAD["squad2"], data_dir=None)
    assert data.test.texts == ["When?"] * 24
    assert data.test.columns["answers"] == [["1820"], []] * 12
    assert data.test.columns["answer_starts"] == [[39], []] * 12
    assert data.test.columns["id"][0] == "validation0"
    assert data.test.pairs[0] is data.test.pairs[1]
    assert len(data.train) + len(data.validation) == 24


def test_the_hub_out_of_reach_is_one_clear_line(monkeypatch):
    def load_dataset(name, config, *, split):
        raise ConnectionError("no route")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(DataError, match=r"cannot read rajpurkar/squad \(plain_text\) from the Hub: no route"):
        load_squad(SQUAD["squad1"], data_dir=None)


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="SUBARCH_DATA is not set")
def test_the_empty_prediction_on_the_official_dev_set():
    data = load_squad(SQUAD["squad2"], data_dir=Path(DATA or ""))
    assert len(data.test) == 11_873
    exact, f1 = exact_and_f1([""] * len(data.test), data.test.columns["answers"])
    assert 100 * exact.mean() == pytest.approx(50.0716, abs=5e-5)
    assert np.array_equal(exact, f1)
