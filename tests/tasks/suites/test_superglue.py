import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from subarch.errors import DataError
from subarch.tasks.suites.superglue import SUPERGLUE, SUPERGLUE_PAPER, load_superglue, load_superglue_test

DATA = os.environ.get("SUBARCH_DATA")


def write(folder, name, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def boolq(part, count):
    passages = [f"{part} passage {number // 3}" for number in range(count)]
    return [
        {"passage": passage, "question": f"is it {number}", "idx": number, "label": number % 2 == 0}
        for number, passage in enumerate(passages)
    ]


def multirc(part, count):
    number = 0
    for passage in range(count):
        questions = []
        for _ in range(3):
            answers = [{"text": f"a{k}", "idx": k, "label": int(k == 0)} for k in range(4)]
            questions.append({"question": f"q{number}?", "idx": number, "answers": answers})
            number += 1
        yield {"idx": passage, "passage": {"text": f"{part} text {passage}", "questions": questions}}


def record(part, count):
    for number in range(count):
        text = f"Ann met Bob in {part} {number}"
        entities = [{"start": 0, "end": 2}, {"start": 8, "end": 10}, {"start": 0, "end": 2}]
        answers = [{"start": 8, "end": 10, "text": "Bob" if number else "Eve"}]
        yield {
            "idx": number,
            "passage": {"text": text, "entities": entities},
            "qas": [{"idx": 100 + number, "query": "It was @placeholder.", "answers": answers}],
        }


@pytest.fixture
def data(tmp_path):
    for folder, rows in (("BoolQ", boolq), ("MultiRC", multirc), ("ReCoRD", record)):
        for name, count in (("train", 30), ("val", 6)):
            write(tmp_path / "SuperGLUE" / folder, f"{name}.jsonl", list(rows(name, count)))
    return tmp_path


def test_validation_shares_no_passage_with_train(data):
    boolq = load_superglue(SUPERGLUE["boolq"], data_dir=data)
    assert [len(split) for split in (boolq.train, boolq.validation, boolq.test)] == [21, 9, 6]
    assert not set(boolq.train.texts) & set(boolq.validation.texts)
    assert any("train.jsonl has 30 rows, the official file has 9427" in note for note in boolq.notes)
    assert boolq.test.labels.tolist() == [1, 0, 1, 0, 1, 0]


def test_multirc_in_both_castings(data):
    standard, paper = (load_superglue(table["multirc"], data_dir=data) for table in (SUPERGLUE, SUPERGLUE_PAPER))
    assert (len(standard.train), len(standard.validation)) == (60 * 4, 30 * 4)
    assert standard.validation.columns["id"] == paper.validation.columns["id"]
    assert np.bincount(standard.train.labels).tolist() == [180, 60]
    assert np.bincount(paper.train.labels).tolist() == [60, 60]
    assert (np.unique(paper.test.groups, return_counts=True)[1] == 4).all()
    again = load_superglue(SUPERGLUE_PAPER["multirc"], data_dir=data)
    assert again.fingerprint == paper.fingerprint != standard.fingerprint


def test_record_drops_what_has_no_right_entity_only_from_train(data):
    loaded = load_superglue(SUPERGLUE["record"], data_dir=data)
    assert any("1 train questions without a right candidate" in note for note in loaded.notes)
    assert len(loaded.train) + len(loaded.validation) == 29 * 2
    assert len(loaded.test) == 12
    assert loaded.test.columns["entity"][:2] == ["Ann", "Bob"]
    assert loaded.test.columns["id"][:2] == ["100-0", "100-1"]


def test_a_sample_stands_in(data):
    folder = data / "SuperGLUE" / "BoolQ"
    (folder / "train.jsonl").rename(folder / "fewglue_train.jsonl")
    notes = load_superglue(SUPERGLUE["boolq"], data_dir=data).notes
    assert any("sample file fewglue_train.jsonl" in note for note in notes)


def test_a_hidden_test_set_has_no_labels(data):
    rows = [{key: value for key, value in row.items() if key != "label"} for row in boolq("test", 4)]
    write(data / "BoolQ", "test.jsonl", rows)
    with pytest.raises(DataError, match=re.escape("SuperGLUE/BoolQ/test.jsonl is missing")):
        load_superglue_test(SUPERGLUE["boolq"], data_dir=data / "SuperGLUE", split="test")
    examples = load_superglue_test(SUPERGLUE["boolq"], data_dir=data, split="test")
    assert (examples.labels, examples.columns["id"]) == (None, ["0", "1", "2", "3"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label": "perhaps"}, 'line 2: unknown label "perhaps", expected false or true'),
        ({"idx": 0}, "line 2: the id 0 stands twice"),
        ({"passage": 3}, "line 2: 'passage' is 3, expected a string"),
        ({"label": None}, "a row of the official dev file has no label"),
    ],
)
def test_a_bad_row_is_named(data, change, says):
    rows = boolq("val", 4)
    rows[1] |= change
    write(data / "SuperGLUE" / "BoolQ", "val.jsonl", rows)
    with pytest.raises(DataError, match=re.escape(says)):
        load_superglue(SUPERGLUE["boolq"], data_dir=data)


def wic_row(start, end, **more):
    texts = {"sentence1": "I don't run.", "sentence2": "She runs off.", "word": "run"}
    return texts | {"start1": start, "end1": end, "start2": 4, "end2": 8, "idx": 0, "label": True} | more


@pytest.mark.parametrize(("start", "end", "marked"), [(8, 11, "* run *"), (2, 4, "* do * n't")])
def test_wic_marks_a_whole_word(tmp_path, start, end, marked):
    write(tmp_path / "WiC", "val.jsonl", [wic_row(start, end)])
    examples = load_superglue_test(SUPERGLUE["wic"], data_dir=tmp_path, split="dev")
    assert marked in examples.texts[0]
    assert examples.pairs == ["She * runs * off."]


@pytest.mark.parametrize(("start", "end"), [(8, 10), (7, 11), (9, 11), (8, 99), (8, 8)])
def test_wic_refuses_what_is_no_word(tmp_path, start, end):
    write(tmp_path / "WiC", "val.jsonl", [wic_row(start, end)])
    with pytest.raises(DataError, match="line 1: characters"):
        load_superglue_test(SUPERGLUE["wic"], data_dir=tmp_path, split="dev")


def test_winogender_rows_are_pairs_in_succession(tmp_path):
    rows = [
        {"premise": f"p{number}", "hypothesis": "h", "idx": number, "pair_id": 50 + 2 * number, "label": "entailment"}
        for number in range(4)
    ]
    write(tmp_path / "AX-g", "AX-g.jsonl", rows)
    for split in ("dev", "test"):
        examples = load_superglue_test(SUPERGLUE["axg"], data_dir=tmp_path, split=split)
        assert examples.columns["pair_id"] == [0, 0, 1, 1]
        assert examples.labels.tolist() == [0] * 4


def test_what_has_no_training_data_is_not_trained(tmp_path):
    with pytest.raises(DataError, match="axb has no training data"):
        load_superglue(SUPERGLUE["axb"], data_dir=tmp_path)


def hub(monkeypatch, parts):
    import datasets

    asked = []

    def load(*names):
        asked.append(names)
        return {name: datasets.Dataset.from_list(rows) for name, rows in parts.items()}

    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


def test_the_hub_gives_the_same_examples_as_the_files(data, monkeypatch):
    def flat(rows):
        for row in rows:
            for asked in row["passage"]["questions"]:
                for answer in asked["answers"]:
                    yield {
                        "paragraph": row["passage"]["text"],
                        "question": asked["question"],
                        "answer": answer["text"],
                        "idx": {"paragraph": row["idx"], "question": asked["idx"], "answer": answer["idx"]},
                        "label": answer["label"],
                    }

    parts = {"train": list(flat(multirc("train", 30))), "validation": list(flat(multirc("val", 6)))}
    asked = hub(monkeypatch, parts)
    files = load_superglue(SUPERGLUE["multirc"], data_dir=data)
    online = load_superglue(SUPERGLUE["multirc"], data_dir=None)
    assert online.fingerprint == files.fingerprint
    assert asked == [("aps/super_glue", "multirc")]


def test_record_and_wsc_of_the_hub(data, monkeypatch):
    query = {
        "passage": "Ann met Bob in val 1",
        "query": "It was @placeholder.",
        "entities": ["Bob", "Ann"],
        "answers": ["Bob"],
        "idx": {"passage": 1, "query": 101},
    }
    hub(monkeypatch, {"validation": [query]})
    online = load_superglue_test(SUPERGLUE["record"], data_dir=None, split="dev")
    files = load_superglue_test(SUPERGLUE["record"], data_dir=data, split="dev")
    assert (online.texts, online.pairs, dict(online.columns)) == (
        files.texts[2:4],
        files.pairs[2:4],
        {name: column[2:4] for name, column in files.columns.items()},
    )
    wsc = {"text": "Ann said she won.", "span1_text": "Ann", "span1_index": 0, "span2_text": "she", "span2_index": 2}
    asked = hub(monkeypatch, {"validation": [wsc | {"idx": 0, "label": 1}], "test": [wsc | {"idx": 0, "label": -1}]})
    examples = load_superglue_test(SUPERGLUE_PAPER["wsc"], data_dir=None, split="dev")
    assert examples.texts == ["* Ann * said # she # won."]
    assert (examples.pairs, examples.labels.tolist()) == (["she means Ann"], [1])
    assert load_superglue_test(SUPERGLUE["wsc"], data_dir=None, split="test").labels is None
    assert asked[0] == ("aps/super_glue", "wsc.fixed")


def test_copa_wants_a_cause_or_an_effect(tmp_path):
    row = {"premise": "p", "choice1": "a", "choice2": "b", "question": "why", "idx": 0, "label": 0}
    write(tmp_path / "COPA", "val.jsonl", [row])
    with pytest.raises(DataError, match="line 1: question 'why', expected 'cause' or 'effect'"):
        load_superglue_test(SUPERGLUE["copa"], data_dir=tmp_path, split="dev")


OFFICIAL = [
    ("cb", 250, 56, 250),
    ("copa", 800, 200, 1000),
    ("multirc", 27243, 4848, 9693),
    ("superglue_rte", 2490, 277, 3000),
    ("wic", 5428, 638, 1400),
    ("wsc", 554, 104, 146),
]


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="SUBARCH_DATA is not set")
@pytest.mark.parametrize(("name", "train", "dev", "test"), OFFICIAL)
def test_official_files(name, train, dev, test):
    data = load_superglue(SUPERGLUE[name], data_dir=Path(DATA))
    assert (len(data.train) + len(data.validation), len(data.test)) == (train, dev)
    assert not [note for note in data.notes if "official file has" in note]
    hidden = load_superglue_test(SUPERGLUE[name], data_dir=Path(DATA), split="test")
    assert (len(hidden), hidden.labels) == (test, None)
    keys = [set(split.text_keys()) for split in (data.train, data.validation, data.test)]
    assert not keys[0] & keys[1]
    assert not (keys[0] | keys[1]) & keys[2]


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="SUBARCH_DATA is not set")
def test_official_words_and_entities():
    wic = load_superglue_test(SUPERGLUE["wic"], data_dir=Path(DATA), split="dev")
    # One sentence has an asterisk of its own.
    assert all(text.split().count("*") in (2, 3) for text in wic.texts + wic.pairs)
    record = load_superglue_test(SUPERGLUE["record"], data_dir=Path(DATA), split="dev")
    answered = {group for group, label in zip(record.groups, record.labels, strict=True) if label}
    assert answered == set(record.groups)
