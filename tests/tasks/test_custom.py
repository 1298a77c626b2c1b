import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subarch.errors import DataError
from subarch.tasks.base import Task
from subarch.tasks.custom import load_files, load_split, load_unlabelled


def csv(tmp_path, name="train.csv", rows=(), header="text,label"):
    path = tmp_path / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def some(count, prefix="text", labels=("neg", "pos")):
    return [f"{prefix} {i},{labels[i % len(labels)]}" for i in range(count)]


def sizes(data):
    return [len(split) for split in (data.train, data.validation, data.test)]


def test_one_file_is_split_and_the_guesses_are_noted(tmp_path):
    data = load_files(csv(tmp_path, rows=some(100)))
    assert sizes(data) == [80, 10, 10]
    assert (data.task.name, data.task.kind, data.task.labels) == ("train", "classification", ("neg", "pos"))
    assert (data.task.metrics, data.task.main_metric) == (("accuracy", "f1_macro"), "accuracy")
    assert all(np.bincount(split.labels).tolist() == [5, 5] for split in (data.validation, data.test))
    assert "guessed: text is column 'text', label is column 'label'" in data.notes
    assert "guessed from the labels in 'label': classification" in data.notes
    assert "test is 10 rows carved out of train.csv" in data.notes


def test_valid_selects_and_test_is_carved(tmp_path):
    valid = csv(tmp_path, "valid.csv", some(20, "held out"))
    data = load_files(csv(tmp_path, rows=some(100)), valid)
    assert sizes(data) == [90, 20, 10]
    assert data.validation.texts[0] == "held out 0"


def test_test_reports_and_validation_is_carved(tmp_path):
    test = csv(tmp_path, "test.csv", some(20, "held out"))
    data = load_files(csv(tmp_path, rows=some(100)), test=test)
    assert sizes(data) == [90, 10, 20]
    assert data.test.texts[0] == "held out 0"


def test_three_files_are_taken_as_they_are(tmp_path):
    data = load_files(
        csv(tmp_path, rows=some(8)),
        csv(tmp_path, "v.csv", ["TEXT 0,neg", "v,pos"]),
        csv(tmp_path, "t.csv", some(3, "t")),
        text="text",
        label="label",
        kind="classification",
    )
    assert sizes(data) == [8, 2, 3]
    assert data.notes == ()  # what they share, DataSummary tells


def sentence(number):
    return f"this is sentence {number} of the whole file"


def test_phrases_stay_with_their_sentences_in_both_parts(tmp_path):
    rows = [f"{text},{'ab'[n % 2]}" for n in range(60) for text in (sentence(n), f"sentence {n} of the")]
    data = load_files(csv(tmp_path, rows=rows))
    numbers = [
        {text.split("sentence ")[1].split()[0] for text in split.texts} for split in (data.validation, data.test)
    ]
    assert sizes(data) == [96, 12, 12]
    assert not numbers[0] & numbers[1]
    assert not (numbers[0] | numbers[1]) & {text.split("sentence ")[1].split()[0] for text in data.train.texts}
    told = "rows contain one another or share a text: such rows stay on one side of the split"
    assert f"test: 120 {told}" in data.notes and f"validation: 108 {told}" in data.notes


def test_phrases_of_train_in_a_given_file_are_noted(tmp_path):
    train = csv(tmp_path, rows=[f"{sentence(n)},{'ab'[n % 2]}" for n in range(40)])
    rows = [*(f"sentence {n} of the,{'ab'[n % 2]}" for n in range(3)), "sentence,a", "a sentence of its own,b"]
    data = load_files(train, csv(tmp_path, "v.csv", rows), csv(tmp_path, "t.csv", [f"{sentence(1)} and more,a"]))
    assert data.notes[-1] == "3 texts of validation stand inside longer ones of train: its score may be too good"


def test_copies_never_straddle_also_with_a_given_file(tmp_path):
    rows = [f"text {i % 40},{'ab'[i % 2]}" for i in range(120)]
    valid = csv(tmp_path, "valid.csv", [f"text {i},{'ab'[i % 2]}" for i in range(10)])
    for data in (load_files(csv(tmp_path, rows=rows)), load_files(csv(tmp_path, rows=rows), valid)):
        train, validation, test = (set(s.text_keys()) for s in (data.train, data.validation, data.test))
        assert not test & (train | validation)
        assert data.test.labels.any()


def test_the_split_is_the_seed(tmp_path):
    path = csv(tmp_path, rows=some(60))
    prints = [load_files(path, seed=seed).fingerprint for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_scores_are_a_regression(tmp_path):
    data = load_files(csv(tmp_path, rows=[f"text {i},{i / 7:.3f}" for i in range(50)]))
    assert (data.task.kind, data.task.labels, data.task.num_outputs) == ("regression", (), 1)
    assert (data.task.metrics, data.task.main_metric) == (("pearson", "spearman", "rmse"), "pearson")
    assert data.train.labels.dtype == np.float32


def test_formats_mix_and_class_names_agree(tmp_path):
    train = csv(tmp_path, rows=some(30, labels=("0", "1", "10")))
    pq.write_table(pa.table({"text": ["x", "y"], "label": [1.0, 10.0]}), tmp_path / "v.parquet")
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"text": "z", "label": n}) for n in (0, 10)))
    data = load_files(train, tmp_path / "v.parquet", tmp_path / "t.jsonl")
    assert data.task.labels == ("0", "1", "10")
    assert (data.validation.labels.tolist(), data.test.labels.tolist()) == ([1, 2], [0, 2])


def test_pairs(tmp_path):
    rows = [f"p {i},h {i},{'yn'[i % 2]}" for i in range(40)]
    data = load_files(csv(tmp_path, header="premise,hypothesis,label", rows=rows))
    assert (data.task.text, data.task.text_pair) == ("premise", "hypothesis")
    assert data.train.pairs[0].startswith("h ")


def test_true_and_false_are_classes(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(json.dumps({"text": f"t {i}", "label": i % 2 == 0}) for i in range(20)))
    assert load_files(path).task.labels == ("false", "true")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,x", ",y"], "line 3: 'text' is empty, expected a text"),
        (["a,x", "b, "], "line 3: label 'label' is missing, expected one"),
        (some(30, labels=("x",)), "every label in 'label' is 'x', expected at least two classes"),
        (some(9), "has 9 rows, expected 12 or more to carve test and validation out"),
        (["same,a", "same,b"] * 20, "too few different texts to carve test out of it"),
    ],
)
def test_errors_in_train(tmp_path, rows, message):
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load_files(csv(tmp_path, rows=rows))
    assert caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("bad", ["inf", "much", "true"])
def test_a_score_that_is_no_finite_number(tmp_path, bad):
    rows = [f"text {i},{i / 7:.3f}" for i in range(20)] + [f"last,{bad}"]
    with pytest.raises(DataError, match=f"line 22: label '{bad}' is not a finite number"):
        load_files(csv(tmp_path, rows=rows), kind="regression")


def test_a_label_that_train_does_not_know(tmp_path):
    test = csv(tmp_path, "test.csv", ["x,pos", "y,neutral"])
    with pytest.raises(
        DataError, match=r"test\.csv, line 3: label 'neutral' is not in train, expected one of neg, pos"
    ):
        load_files(csv(tmp_path, rows=some(40)), test=test)


def test_a_file_with_other_columns(tmp_path):
    test = csv(tmp_path, "test.csv", ["x,pos"], header="sentence,label")
    with pytest.raises(DataError, match=r"test\.csv has no column 'text' as train has, but sentence, label"):
        load_files(csv(tmp_path, rows=some(40)), test=test)


def test_cells_that_are_no_text(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a", "label": "x"}\n{"text": 3, "label": "y"}\n')
    with pytest.raises(DataError, match="line 2: 'text' holds 3, expected a text"):
        load_files(path)
    path.write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": ["y"]}\n')
    with pytest.raises(DataError, match="line 2: label is a list, expected a word"):
        load_files(path)
    path.write_text('{"text": "a", "label": "x"}\n{"label": "y"}\n')
    with pytest.raises(DataError, match="line 2: 'text' is empty"):
        load_files(path)


def test_the_row_of_a_parquet_file_is_named(tmp_path):
    pq.write_table(pa.table({"text": ["a", None], "label": ["x", "y"]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet, row 2: 'text' is empty"):
        load_files(tmp_path / "t.parquet")


def test_further_columns_go_with_their_rows(tmp_path):
    rows = [f"text {i},{'ab'[i % 2]},region {i % 3}" for i in range(60)]
    data = load_files(csv(tmp_path, header="text,label,region", rows=rows), keep=("region",))
    for split in (data.train, data.validation, data.test):
        numbers = [int(text.split()[1]) for text in split.texts]
        assert split.columns == {"region": [f"region {number % 3}" for number in numbers]}
    assert load_files(tmp_path / "train.csv").train.columns == {}


def test_a_further_column_that_is_not_there(tmp_path):
    train = csv(tmp_path, header="text,label,region", rows=[f"{row},north" for row in some(40)])
    with pytest.raises(DataError, match=r"no column 'regoin' \(--slice\)") as caught:
        load_files(train, keep=("regoin",))
    assert "did you mean region" in caught.value.hint
    test = csv(tmp_path, "test.csv", some(20))
    with pytest.raises(DataError, match=r"test\.csv has no column 'region' as train has"):
        load_files(train, test=test, keep=("region",))


def test_one_further_split(tmp_path):
    task = load_files(csv(tmp_path, rows=some(40))).task
    more = load_split(csv(tmp_path, "more.csv", ["x,pos,2", "y,neg,3"], "text,label,year"), task, ("year",))
    assert (more.labels.tolist(), more.columns) == ([1, 0], {"year": ["2", "3"]})
    numbered = load_split(csv(tmp_path, "numbered.csv", ["x,1", "y,0"]), task)
    assert numbered.labels.tolist() == [1, 0]


def test_unlabelled_texts_have_the_columns_of_the_task(tmp_path):
    task = load_files(csv(tmp_path, rows=some(40))).task
    found = load_unlabelled(csv(tmp_path, "more.csv", ["7,one", "8,two"], "number,text"), task)
    assert (found.texts, found.pairs, found.labels, dict(found.columns)) == (["one", "two"], None, None, {})
    pairs = load_files(
        csv(tmp_path, "p.csv", [f"a {n},b {n},{n % 2}" for n in range(40)], "q1,q2,label"), text="q1", text_pair="q2"
    ).task
    found = load_unlabelled(csv(tmp_path, "q.csv", ["one,two"], "q2,q1"), pairs)
    assert (found.texts, found.pairs) == (["two"], ["one"])


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("body,label", ["one,x"], "more.csv has the columns body, label, expected 'text'"),
        ("text", ["one", '""'], "'text' is empty, expected a text"),
    ],
)
def test_unlabelled_files_that_cannot_be_used(tmp_path, header, rows, message):
    task = load_files(csv(tmp_path, rows=some(40))).task
    with pytest.raises(DataError, match=message):
        load_unlabelled(csv(tmp_path, "more.csv", rows, header), task)


def test_unlabelled_texts_are_single_examples(tmp_path):
    task = Task(name="copa", kind="choice", text="text", label="label", metrics=("accuracy",), main_metric="accuracy")
    with pytest.raises(DataError, match="unlabelled texts for copa, a choice, expected a task of one example a row"):
        load_unlabelled(csv(tmp_path, "more.csv", ["one"], "text"), task)
