import json
import re
import zipfile

import numpy as np
import pytest

from subarch.errors import DataError, SubarchError
from subarch.tasks.base import Examples
from subarch.tasks.registry import evaluation_names, find_task
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.suites.averages import SUITES
from subarch.tasks.suites.submission_formats import FORMATS
from subarch.tasks.suites.submissions import read_submission, write_submission, zip_suite


def rows(*ids, **columns):
    return Examples(["x"] * len(ids), None, None, columns.pop("groups", None), {"id": list(ids), **columns})


def hot(classes, width):
    return Predictions(outputs=np.eye(width)[classes] * 3 - 1)


CLASSES = [
    ("sst2", "SST-2.tsv", "index\tprediction\n4\t1\n7\t0\n"),
    ("mnli", "MNLI-m.tsv", "index\tprediction\n4\tneutral\n7\tentailment\n"),
    ("mnli_mismatched", "MNLI-mm.tsv", "index\tprediction\n4\tneutral\n7\tentailment\n"),
    ("ax", "AX.tsv", "index\tprediction\n4\tneutral\n7\tentailment\n"),
    ("rte", "RTE.tsv", "index\tprediction\n4\tnot_entailment\n7\tentailment\n"),
    ("boolq", "BoolQ.jsonl", '{"idx": 4, "label": "true"}\n{"idx": 7, "label": "false"}\n'),
    ("cb", "CB.jsonl", '{"idx": 4, "label": "contradiction"}\n{"idx": 7, "label": "entailment"}\n'),
    ("wic", "WiC.jsonl", '{"idx": 4, "label": "true"}\n{"idx": 7, "label": "false"}\n'),
    ("wsc", "WSC.jsonl", '{"idx": 4, "label": "True"}\n{"idx": 7, "label": "False"}\n'),
    ("superglue_rte", "RTE.jsonl", '{"idx": 4, "label": "not_entailment"}\n{"idx": 7, "label": "entailment"}\n'),
    ("axb", "AX-b.jsonl", '{"idx": 4, "label": "not_entailment"}\n{"idx": 7, "label": "entailment"}\n'),
    ("axg", "AX-g.jsonl", '{"idx": 4, "label": "not_entailment"}\n{"idx": 7, "label": "entailment"}\n'),
]


@pytest.mark.parametrize(("name", "file", "text"), CLASSES)
def test_classes_are_words_of_the_server(tmp_path, name, file, text):
    task, examples = find_task(name), rows("4", "7")
    path = write_submission(tmp_path / "new", task, hot([1, 0], task.num_outputs), examples)
    assert (path.name, path.read_text(encoding="utf-8")) == (file, text)
    read = read_submission(path, task, rows("7", "4"))
    assert read.outputs.tolist() == np.eye(task.num_outputs)[[0, 1]].tolist()


def test_scores_are_cut_to_the_scale(tmp_path):
    path = write_submission(
        tmp_path, find_task("stsb"), Predictions(outputs=np.array([[5.2], [-1], [2.34567]])), rows("0", "1", "2")
    )
    assert path.read_text() == "index\tprediction\n0\t5.000\n1\t0.000\n2\t2.346\n"
    assert read_submission(path, find_task("stsb"), rows("0", "1", "2")).outputs.tolist() == [[5], [0], [2.346]]


def test_without_ids_rows_are_numbered(tmp_path):
    path = write_submission(tmp_path, find_task("cola"), hot([1, 0], 2), Examples(["a", "b"]))
    assert path.read_text() == "index\tprediction\n0\t1\n1\t0\n"


@pytest.mark.parametrize("casting", ["standard", "paper"])
def test_copa_says_which_choice(tmp_path, casting):
    task = find_task("copa", casting)
    if casting == "paper":
        examples, said = rows("5", "3"), hot([1, 0], 2)
    else:
        examples = rows("5-0", "5-1", "3-0", "3-1", groups=np.array([0, 0, 1, 1]))
        said = Predictions(outputs=np.array([[0.1], [0.2], [-1], [-2]]))
    path = write_submission(tmp_path, task, said, examples)
    assert path.read_text() == '{"idx": 5, "label": 1}\n{"idx": 3, "label": 0}\n'
    again = read_submission(path, task, examples)
    assert again.outputs.tolist() == ([[0, 1], [1, 0]] if casting == "paper" else [[0], [1], [1], [0]])


@pytest.mark.parametrize("casting", ["standard", "paper"])
def test_race_answers_are_letters(tmp_path, casting):
    task = find_task("race_middle", casting)
    examples = rows(*(f"m1.txt-{q}-{k}" for q in (0, 1) for k in range(4)), groups=np.repeat([0, 1], 4))
    scores = np.array([0, 3, 1, 2, 5, 4, 4, 6.0])
    said = scores[:, None] if task.num_outputs == 1 else np.stack([-scores, scores], axis=1)
    path = write_submission(tmp_path, task, Predictions(outputs=said), examples)
    assert json.loads(path.read_text()) == {"m1.txt-0": "B", "m1.txt-1": "D"}
    assert read_submission(path, task, examples).outputs[:, -1].tolist() == [0, 1, 0, 0, 0, 0, 0, 1]
    path.write_text('{"m1.txt-0": "E", "m1.txt-1": "D"}')
    with pytest.raises(DataError, match=r"the answer to m1\.txt-0 is 'E', expected 'A' or 'B' or 'C' or 'D'"):
        read_submission(path, task, examples)


@pytest.mark.parametrize("casting", ["standard", "paper"])
def test_record_says_the_entity(tmp_path, casting):
    task = find_task("record", casting)
    entities = ["Ann", "Rosé", "Ann", "Bob", "Eve"]
    examples = rows("8-0", "8-1", "2-0", "2-1", "2-2", groups=np.array([0, 0, 1, 1, 1]), entity=entities)
    scores = np.array([0, 1, 5, 6, 2.0])
    said = scores[:, None] if task.num_outputs == 1 else np.stack([0 * scores, scores], axis=1)
    path = write_submission(tmp_path, task, Predictions(outputs=said), examples)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"idx": 8, "label": "Rosé"},
        {"idx": 2, "label": "Bob"},
    ]
    assert read_submission(path, task, examples).outputs[:, -1].tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("casting", ["standard", "paper"])
def test_multirc_nests_its_answers(tmp_path, casting):
    task = find_task("multirc", casting)
    examples = rows("0-9-0", "0-9-1", "0-10-0", "3-11-0", groups=np.array([0, 0, 1, 2]))
    path = write_submission(tmp_path, task, hot([1, 0, 1, 0], 2), examples)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {
            "idx": 0,
            "passage": {
                "questions": [
                    {"idx": 9, "answers": [{"idx": 0, "label": 1}, {"idx": 1, "label": 0}]},
                    {"idx": 10, "answers": [{"idx": 0, "label": 1}]},
                ]
            },
        },
        {"idx": 3, "passage": {"questions": [{"idx": 11, "answers": [{"idx": 0, "label": 0}]}]}},
    ]
    assert read_submission(path, task, examples).outputs.argmax(axis=1).tolist() == [1, 0, 1, 0]


def test_squad_says_texts_and_how_sure_it_is_of_none(tmp_path):
    task, examples = find_task("squad2"), rows("a", "b")
    said = Predictions(texts=["süß", "here"], no_answer=np.array([1.0, 3.0]), threshold=2.0)
    path = write_submission(tmp_path, task, said, examples)
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "süß", "b": ""}
    sure = json.loads((tmp_path / "squad2.na_prob.json").read_text())
    assert sure["a"] < 0.5 < sure["b"]
    read = read_submission(path, task, examples)
    assert read.answers == said.answers
    assert np.allclose(read.no_answer, said.no_answer - 2)
    (tmp_path / "squad2.na_prob.json").unlink()
    assert read_submission(path, task, examples).no_answer is None
    path.write_text('{"a": "x", "b": null}')
    with pytest.raises(DataError, match="an answer is no text"):
        read_submission(path, task, examples)


@pytest.mark.parametrize(
    ("ids", "outputs", "says"),
    [
        (("0", "1"), np.zeros((1, 2)), "1 predictions for 2 rows of rte, expected one each"),
        (("0", "0"), np.zeros((2, 2)), r"1 ids of rte occur twice \(0\)"),
        (("0", "1"), np.full((2, 2), np.nan), "2 of 2 predictions are not finite"),
    ],
)
def test_nothing_is_written_of_what_cannot_be(tmp_path, ids, outputs, says):
    with pytest.raises(SubarchError, match=says):
        write_submission(tmp_path, find_task("rte"), Predictions(outputs=outputs), rows(*ids))
    assert not list(tmp_path.iterdir())


def test_an_id_that_is_no_number_is_refused(tmp_path):
    with pytest.raises(DataError, match="id 'x', expected the number of the official file"):
        write_submission(tmp_path, find_task("boolq"), hot([0], 2), rows("x"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("rte", "index\tprediction\n0\tentailment\n", "1 are missing (1)"),
        ("rte", "index\tprediction\n0\tentailment\n0\tentailment\n1\tentailment\n", "1 occur twice (0)"),
        ("rte", "index\tprediction\n0\tentailment\n1\tentailment\n2\tentailment\n", "1 are unknown (2)"),
        ("rte", "index\tprediction\n0\tentailment\n1\tmaybe\n", "prediction 'maybe', expected 'entailment' or"),
        ("rte", "index\tprediction\n0\tentailment\n1 entailment\n", "line 3: 1 fields"),
        ("rte", "0\tentailment\n1\tentailment\n", "line 1: 2 fields"),
        ("stsb", "index\tprediction\n0\t1\n1\thigh\n", "prediction 'high', expected a number"),
        ("stsb", "index\tprediction\n0\t1\n1\tnan\n", "expected a finite number"),
        ("boolq", '{"idx": 0, "label": "true"}\n{"idx": 1, "lab', "line 2: not JSON"),
        ("boolq", '{"idx": 0, "label": "true"}\n{"idx": 1}\n', "line 2: no 'label'"),
        ("squad1", '{"0": "a", "0": "b", "1": "c"}', "'0' stands twice"),
    ],
)
def test_a_bad_file_is_refused_in_a_line(tmp_path, name, text, says):
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(DataError, match=re.escape(says)) as caught:
        read_submission(path, find_task(name), rows("0", "1"))
    assert "\n" not in caught.value.message


def test_what_has_no_server_is_refused(tmp_path):
    with pytest.raises(DataError, match="no submission format for snippets"):
        write_submission(tmp_path, find_task("snippets"), hot([0], 2), rows("0"))
    with pytest.raises(DataError, match="is no file"):
        read_submission(tmp_path / "absent.tsv", find_task("rte"), rows("0"))


def test_every_task_of_a_suite_has_a_format():
    assert set(FORMATS) == set(evaluation_names()) - {"snippets"}
    for name, form in FORMATS.items():
        task = find_task(name)
        if task.labels:
            assert len(form.words) == len(task.labels)
            assert {str(word).casefold() for word in form.words} in (set(task.labels), {"0", "1"})


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_is_zipped_whole_or_not_at_all(tmp_path, suite):
    names = SUITES[suite].evaluated
    with pytest.raises(DataError, match=re.escape(FORMATS[names[-1]].file)) as caught:
        zip_suite(tmp_path, suite)
    assert f"--task {names[0]}" in caught.value.hint
    for name in names:
        form = FORMATS[name]
        entries = [(f"0-0-{row}" if name == "multirc" else str(row), "x") for row in range(form.rows)]
        if name != names[-1]:
            (tmp_path / form.file).write_text(form.dump(entries))
    last = FORMATS[names[-1]]
    (tmp_path / last.file).write_text(last.dump([("0", "x")]))
    with pytest.raises(DataError, match=f"has 1 answers, expected {last.rows}"):
        zip_suite(tmp_path, suite)
    assert not list(tmp_path.glob("*.zip"))
    (tmp_path / last.file).write_text(last.dump([(str(row), "x") for row in range(last.rows)]))
    path = zip_suite(tmp_path, suite)
    first = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == sorted(FORMATS[name].file for name in names)
        assert archive.read(last.file) == (tmp_path / last.file).read_bytes()
    assert zip_suite(tmp_path, suite.upper()).read_bytes() == first
