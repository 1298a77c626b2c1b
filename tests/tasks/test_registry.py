import pytest

from subarch.errors import DataError
from subarch.tasks import registry
from subarch.tasks.base import Examples, TaskData
from subarch.tasks.registry import castings, evaluation_names, find_task, load_task, load_test, task_names, trained_on


def test_names_have_many_spellings(monkeypatch):
    for loader in ("load_glue", "load_superglue", "load_race", "load_squad"):
        monkeypatch.setattr(registry, loader, lambda task, **rest: task.name)
    monkeypatch.setattr(registry, "load_snippets", lambda **rest: "snippets")
    spellings = {
        "CoLA": "cola",
        "SST-2": "sst2",
        "sts-b": "stsb",
        "MRPC": "mrpc",
        "Snippets": "snippets",
        "BoolQ": "boolq",
        "SuperGLUE-RTE": "superglue_rte",
        "superglue_rte": "superglue_rte",
        "ReCoRD": "record",
        "RACE-Middle": "race_middle",
        "race_high": "race_high",
        "SQuAD2": "squad2",
        "squad_v2": "squad2",
        "SQuAD-v1.1": "squad1",
    }
    assert {name: load_task(name) for name in spellings} == spellings
    assert set(spellings.values()) < set(task_names())


def test_an_unknown_name_answers_with_the_nearest():
    with pytest.raises(DataError, match="unknown task 'sst3'") as caught:
        load_task("sst3")
    assert caught.value.hint.startswith("did you mean sst2")


def test_the_folder_is_the_argument_else_the_environment_else_the_hub(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(registry, "load_glue", lambda task, *, data_dir, seed: seen.append(data_dir))
    monkeypatch.setenv("SUBARCH_DATA", str(tmp_path / "env"))
    load_task("rte", data_dir=tmp_path)
    load_task("rte")
    monkeypatch.delenv("SUBARCH_DATA")
    load_task("rte")
    assert seen == [tmp_path, tmp_path / "env", None]


def test_sets_without_training_data_are_only_evaluated():
    assert set(evaluation_names()) - set(task_names()) == {"ax", "axb", "axg", "mnli_mismatched"}
    with pytest.raises(DataError, match="axb has no training data") as caught:
        load_task("AX-b")
    assert caught.value.hint == "evaluate the superglue_rte model on it: subarch evaluate --task axb"
    assert [trained_on(name) for name in ("ax", "AX-g", "MNLI-mismatched", "rte")] == [
        "mnli",
        "superglue_rte",
        "mnli",
        "rte",
    ]
    for name in ("axb", "axg"):
        assert find_task(name).labels == find_task("superglue_rte").labels
    for name in ("ax", "mnli_mismatched"):
        assert find_task(name).labels == find_task("mnli").labels


def test_a_casting_is_asked_for_by_name(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(registry, "load_superglue", lambda task, **rest: seen.append(task))
    monkeypatch.setattr(registry, "load_superglue_test", lambda task, **rest: seen.append(task))
    load_task("copa", casting="paper", data_dir=tmp_path)
    load_test("copa", casting="paper", data_dir=tmp_path, split="test")
    assert [(task.casting, task.kind, task.num_outputs) for task in seen] == [("paper", "classification", 2)] * 2
    assert (castings("COPA"), castings("wic")) == (("standard", "paper"), ("standard",))
    assert find_task("copa").kind == "choice"


def test_a_casting_that_is_not_there_names_those_that_are():
    for call in (load_task, find_task):
        with pytest.raises(DataError, match="wic has no casting 'paper'") as caught:
            call("wic", casting="paper")
        assert "copa, multirc, record, wsc, race_middle" in caught.value.hint
    with pytest.raises(DataError, match="unknown casting 'papers'") as caught:
        load_task("copa", casting="papers")
    assert "did you mean paper" in caught.value.hint


def test_splits_are_named(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(registry, "load_glue_test", lambda task, *, data_dir, split: seen.append((task.name, split)))
    load_test("mnli", split="dev_mismatched", data_dir=tmp_path)
    load_test("mnli_mismatched", split="test", data_dir=tmp_path)
    assert seen == [("mnli", "dev_mismatched"), ("mnli_mismatched", "test")]
    with pytest.raises(DataError, match="rte has no split 'dev_mismatched'"):
        load_test("rte", split="dev_mismatched")
    with pytest.raises(DataError, match="squad2 has no split 'test'"):
        load_test("squad2", split="test", data_dir=tmp_path)


def test_both_splits_of_the_snippets_are_their_test_rows(monkeypatch, tmp_path):
    seen = []

    def load(*, data_dir):
        seen.append(data_dir)
        return TaskData(find_task("snippets"), Examples(["train"]), Examples(["validation"]), Examples(["test"]))

    monkeypatch.setattr(registry, "load_snippets", load)
    assert [load_test("snippets", split=split, data_dir=tmp_path).texts for split in ("dev", "test")] == [["test"]] * 2
    assert seen == [tmp_path] * 2
