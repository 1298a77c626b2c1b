"""Scoring models, files of predictions and suites."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import BertConfig, BertForQuestionAnswering

from stages import tiny
from subarch.api import run_stage
from subarch.arch.pretrained import quiet_transformers
from subarch.errors import ConfigError, DataError, ModelError, UserError
from subarch.inputs.data import DataConfig
from subarch.inputs.models import ModelFolder
from subarch.stages.evaluate import predict_task
from subarch.stages.evaluation.target import read_target
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.scores import score

SHORT = {"max_length": 24}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two classifiers of the tiny task, with other weights."""
    folder = tmp_path_factory.mktemp("models")
    return [str(tiny.teacher(folder / str(seed), labels=("bad", "good"), seed=seed)) for seed in (0, 1)]


@pytest.fixture(scope="module")
def regions(tmp_path_factory):
    """Rows with a further column."""
    texts, shares = tiny.sentences(200)
    rows = [
        (text, "good" if share > 0.5 else "bad", "north" if number % 4 else "south")
        for number, (text, share) in enumerate(zip(texts, shares, strict=True))
    ]
    return tiny.write_csv(tmp_path_factory.mktemp("regions") / "rows.csv", ("text", "label", "region"), rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Official files of two tasks of GLUE, made up."""
    folder = tmp_path_factory.mktemp("data")
    texts, shares = tiny.sentences(300)
    (folder / "GLUE/RTE").mkdir(parents=True)
    (folder / "GLUE/SST-2").mkdir(parents=True)
    for split, rows in (("train", range(260)), ("dev", range(260, 300)), ("test", range(260, 300))):
        hidden = split == "test"
        rte = ["index\tsentence1\tsentence2" + ("" if hidden else "\tlabel")]
        sst = ["index\tsentence" if hidden else "sentence\tlabel"]
        for number, row in enumerate(rows):
            good = int(shares[row] > 0.5)
            label = "" if hidden else "\t" + ("entailment", "not_entailment")[good]
            rte.append(f"{number}\t{texts[row]}\t{texts[row - 1]}{label}")
            sst.append(f"{number}\t{texts[row]}" if hidden else f"{texts[row]}\t{good}")
        (folder / f"GLUE/RTE/{split}.tsv").write_text("\n".join(rte) + "\n")
        (folder / f"GLUE/SST-2/{split}.tsv").write_text("\n".join(sst) + "\n")
    return folder


def run(out, **settings):
    return run_stage("evaluate", {**SHORT, "out": out, **settings})


def without_paths(metrics):
    return json.loads(json.dumps(metrics))


def test_scores_by_a_column_of_the_users_own(tmp_path, models, regions):
    found = run(tmp_path / "out", model=models[0], train=regions, slice=["region"]).metrics
    assert set(found["slices"]) == {"length", "label", "region"}
    rows = found["slices"]["region"]
    assert rows["north"]["count"] + rows["south"]["count"] == found["examples"] == 20
    right = sum(row["count"] * row["accuracy"] for row in rows.values())
    assert right / 20 == pytest.approx(found["accuracy"])
    table = pq.read_table(tmp_path / "out/predictions.parquet").to_pydict()
    assert set(table["slice_region"]) == {"north", "south"}


def test_every_figure_comes_again_from_the_predictions(tmp_path, models, regions):
    settings = {"train": regions, "slice": ["region"]}
    first = run(tmp_path / "first", model=models[0], **settings).metrics
    file = tmp_path / "first/predictions.parquet"
    again = run(tmp_path / "again", predictions=file, **settings).metrics
    assert without_paths(again) == without_paths(first)


def test_one_model_against_another_or_its_file(tmp_path, models, regions):
    run(tmp_path / "other", model=models[1], train=regions)
    file = str(tmp_path / "other/predictions.parquet")
    by_model = run(tmp_path / "a", model=models[0], train=regions, against=models[1]).metrics["against"]
    by_file = run(tmp_path / "b", model=models[0], train=regions, against=file).metrics["against"]
    assert without_paths(by_model) == without_paths(by_file)
    scores = [run(tmp_path / str(n), model=model, train=regions).metrics["score"] for n, model in enumerate(models)]
    assert by_model["difference"] == pytest.approx(scores[0] - scores[1])
    assert by_model["slices"].keys() == {"length", "label"}


def test_a_file_as_the_split(tmp_path, models, regions):
    file = tiny.classes(tmp_path / "more.csv", count=30, seed=7)
    found = run(tmp_path / "out", model=models[0], train=regions, split=str(file)).metrics
    assert found["examples"] == 30
    target = read_target(DataConfig(train=regions), str(file))
    outputs = predict_task(ModelFolder.of(models[0]), target.task, target.examples, 24).outputs
    assert found["accuracy"] == pytest.approx((outputs.argmax(1) == target.examples.labels).mean())


def test_a_file_of_a_built_in_task_by_class_names_or_numbers(tmp_path, data):
    for name, words in (("names", ("negative", "positive")), ("numbers", ("0", "1"))):
        tiny.write_csv(tmp_path / f"{name}.csv", ("sentence", "label"), [("a film", words[1]), ("the plot", words[0])])
        target = read_target(DataConfig(task="sst2", data_dir=data), str(tmp_path / f"{name}.csv"))
        assert target.examples.labels.tolist() == [1, 0]
    tiny.write_csv(tmp_path / "bad.csv", ("sentence", "label"), [("a film", "positive"), ("the plot", "grim")])
    with pytest.raises(DataError, match=r"bad\.csv, line 3: label 'grim'"):
        read_target(DataConfig(task="sst2", data_dir=data), str(tmp_path / "bad.csv"))


def test_the_dev_split_is_the_one_that_load_data_calls_test(data):
    from subarch.inputs.data import load_data

    config = DataConfig(task="rte", data_dir=data)
    target, loaded = read_target(config, "dev"), load_data(config)
    assert target.examples.texts == loaded.test.texts and (target.examples.labels == loaded.test.labels).all()
    assert read_target(config, "validation").examples.texts == loaded.validation.texts


def test_the_official_test_set_is_predicted_and_submitted(tmp_path, data):
    model = str(tiny.teacher(tmp_path / "model", labels=("entailment", "not_entailment")))
    settings = {"model": model, "task": "rte", "data_dir": data, "split": "test"}
    with pytest.raises(ConfigError, match="split 'test' of rte has no labels") as caught:
        run(tmp_path / "none", **settings)
    assert "--submission DIR" in caught.value.hint and not (tmp_path / "none").exists()
    found = run(tmp_path / "out", **settings, submission=tmp_path / "server").metrics
    assert found == {"examples": 40, "cut": found["cut"]} and "longer than 24 tokens" in found["cut"]["text"]
    with (tmp_path / "server/RTE.tsv").open() as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert rows[0] == ["index", "prediction"] and len(rows) == 41
    assert {row[1] for row in rows[1:]} <= {"entailment", "not_entailment"}


def test_a_model_with_its_labels_turned_round_is_asked_in_the_order_of_the_task(tmp_path, data):
    """F1 is of the second class of the task, whatever the model's second class is."""
    target = read_target(DataConfig(task="rte", data_dir=data), "dev")
    names = ("entailment", "not_entailment")
    folders = [tiny.teacher(tmp_path / str(n), labels=labels) for n, labels in enumerate((names, names[::-1]))]
    one, other = (predict_task(ModelFolder.of(folder), target.task, target.examples).outputs for folder in folders)
    assert np.allclose(one, other[:, ::-1], atol=1e-6) and not np.allclose(one, other)


def test_a_suite_is_scored_by_the_folders_that_are_there(tmp_path, data):
    tiny.teacher(tmp_path / "models/rte", labels=("entailment", "not_entailment"))
    tiny.teacher(tmp_path / "models/sst2", labels=("negative", "positive"))
    settings = {"model": str(tmp_path / "models"), "task": "glue", "data_dir": data}
    result = run(tmp_path / "out", **settings)
    found = result.metrics
    assert found["tasks"].keys() == {"rte", "sst2"} and found["score"] is None
    means = [row["accuracy"] for row in found["tasks"].values()]
    assert found["average_of_present"] == pytest.approx(sum(means) / 2)
    assert "cola" in found["missing"] and found["skipped"]["cola"].startswith("no folder")
    assert json.loads((tmp_path / "out/rte/result.json").read_text())["metrics"]["score"] == means[1]
    assert run(tmp_path / "out", **settings).reused


def test_a_suite_without_a_model_is_refused(tmp_path, data):
    (tmp_path / "models").mkdir()
    settings = {"task": "race", "data_dir": data}
    with pytest.raises(DataError, match="no task of race can be evaluated, race_middle because no folder"):
        run(tmp_path / "out", model=str(tmp_path / "models"), **settings)
    with pytest.raises(ModelError, match="no folder"):
        run(tmp_path / "other", model=str(tmp_path / "nowhere"), **settings)
    with pytest.raises(ConfigError, match="--predictions with the suite race"):
        run(tmp_path / "other", predictions=tmp_path / "p.parquet", **settings)


def squad(path, answered=True):
    questions = [
        {"id": f"q{n}", "question": "What is red?", "answers": [{"text": "car", "answer_start": 4}] if n % 2 else []}
        for n in range(6)
    ]
    if answered:
        questions = [question for question in questions if question["answers"]]
    content = {"version": "x", "data": [{"title": "A", "paragraphs": [{"context": "red car", "qas": questions}]}]}
    path.write_text(json.dumps(content))
    return path


def test_predictions_in_squads_own_format(tmp_path):
    split = squad(tmp_path / "dev.json", answered=False)
    said = tmp_path / "said.json"
    said.write_text(json.dumps({f"q{n}": "car" if n == 1 else "" for n in range(6)}))
    found = run(tmp_path / "out", predictions=said, task="squad2", split=str(split)).metrics
    assert found["exact_match"] == pytest.approx(4 / 6)
    assert (found["has_answer_exact_match"], found["no_answer_exact_match"]) == (pytest.approx(1 / 3), 1.0)
    assert set(found["slices"]) == {"length", "title", "answerable", "question_word"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "tset"}, "no split 'tset'"),
        ({"split": "nowhere.csv"}, "nowhere.csv is no file, expected one, or a split"),
        ({"slice": ["regoin"]}, "no column 'regoin'"),
        ({"against": "./nowhere"}, "no folder ./nowhere"),
        ({"predictions": "x.parquet"}, "got both of --model and --predictions"),
        ({"model": None}, "got neither of --model and --predictions"),
        ({"model": None, "predictions": "x.parquet"}, "x.parquet is no file"),
    ],
)
def test_settings_that_cannot_be(settings, message, tmp_path, models, regions):
    given = {key: value for key, value in {"model": models[0], "train": regions, **settings}.items() if value}
    with pytest.raises(UserError) as caught:
        run(tmp_path / "out", **given)
    assert message in caught.value.message and not (tmp_path / "out").exists()


def test_a_submission_of_a_whole_suite_is_zipped(tmp_path, data, monkeypatch):
    from subarch.stages.evaluation import suite as evaluate_suite
    from subarch.tasks.suites.averages import Part, Suite

    small = Suite(name="glue", parts=tuple(Part(name=n, scored={n: ("accuracy",)}) for n in ("sst2", "rte")))
    monkeypatch.setattr(evaluate_suite, "find_suite", lambda name: small)
    zipped = []
    monkeypatch.setattr(evaluate_suite, "zip_suite", lambda folder, suite: zipped.append((folder, suite)))
    tiny.teacher(tmp_path / "models/rte", labels=("entailment", "not_entailment"))
    tiny.teacher(tmp_path / "models/sst2", labels=("negative", "positive"))
    settings = {"model": str(tmp_path / "models"), "task": "glue", "data_dir": data, "split": "test"}
    found = run(tmp_path / "out", **settings, submission=tmp_path / "server").metrics
    assert found["skipped"] == {} and zipped == [(tmp_path / "server", "glue")]
    assert {file.name for file in (tmp_path / "server").iterdir()} == {"RTE.tsv", "SST-2.tsv"}


def span_model(folder):
    config = BertConfig(vocab_size=len(tiny.wordpiece()), **tiny.SIZES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForQuestionAnswering(config)
    with quiet_transformers():
        model.save_pretrained(folder)
        tiny.wordpiece().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("task", ["squad1", "squad2"])
def test_a_model_of_spans_with_its_threshold(task, tmp_path):
    model = span_model(tmp_path / "model")
    (model / "subarch.json").write_text('{"no_answer_threshold": -1e9}')
    split = squad(tmp_path / "dev.json", answered=task == "squad1")
    found = run(tmp_path / "out", model=str(model), task=task, split=str(split)).metrics
    table = pq.read_table(tmp_path / "out/predictions.parquet").to_pydict()
    if task == "squad2":  # the threshold says that no question has an answer
        assert found["exact_match"] == 0.5 and set(table["prediction"]) == {""}
    else:
        assert all(text in "red car" and text for text in table["prediction"]) and "no_answer_f1" not in found
    again = run(tmp_path / "again", predictions=tmp_path / "out/predictions.parquet", task=task, split=str(split))
    assert without_paths(again.metrics) == without_paths(found)


def test_a_model_of_choices(tmp_path):
    folder = tmp_path / "data/SuperGLUE/COPA"
    folder.mkdir(parents=True)
    for name, count in (("train", 30), ("val", 12), ("test", 12)):
        rows = [
            {"premise": f"The plot was dull {n}.", "choice1": "It is bad.", "choice2": "The film was long.", "idx": n}
            | {"question": "effect"}
            | ({} if name == "test" else {"label": n % 2})
            for n in range(count)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = str(tiny.teacher(tmp_path / "model", labels=("label",)))
    settings = {"model": model, "task": "copa", "data_dir": tmp_path / "data"}
    found = run(tmp_path / "out", **settings).metrics
    table = pq.read_table(tmp_path / "out/predictions.parquet").to_pydict()
    # Two rows a question, of which one is the answer; every other question is answered rightly by either choice.
    assert len(table["id"]) == 24 == len(set(table["id"])) and sum(table["prediction"]) == 12
    right = sum(answer and gold for answer, gold in zip(table["prediction"], table["gold"], strict=True))
    assert (found["examples"], found["questions"]) == (24, 12)
    assert found["accuracy"] == pytest.approx(right / 12) and found["slices"].keys() == {"length"}
    run(tmp_path / "test", **settings, split="test", submission=tmp_path / "server")
    assert len((tmp_path / "server/COPA.jsonl").read_text().splitlines()) == 12


@pytest.mark.data
@pytest.mark.skipif("SUBARCH_DATA" not in os.environ, reason="SUBARCH_DATA is not set")
def test_the_empty_prediction_on_squad_2():
    target = read_target(DataConfig(task="squad2", data_dir=Path(os.environ["SUBARCH_DATA"])), "dev")
    found = score(target.task, Predictions(texts=[""] * len(target.examples)), target.examples, seed=0)
    assert found["exact_match"] == found["f1"] == pytest.approx(0.500716, abs=1e-6)
    assert (found["has_answer_f1"], found["no_answer_f1"]) == (0, 1)
