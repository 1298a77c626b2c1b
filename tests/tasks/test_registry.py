import pytest

from subarch.errors import DataError
from subarch.tasks import registry
from subarch.tasks.registry import load_task, task_names


def test_names_have_many_spellings(monkeypatch):
    monkeypatch.setattr(registry, "load_glue", lambda task, **rest: task.name)
    monkeypatch.setattr(registry, "load_pydoc", lambda seed: "pydoc")
    spellings = [
        "CoLA",
        "SST-2",
        "sst2",
        "MRPC",
        "sts-b",
        "STSB",
        "rte",
        "WNLI",
        "QNLI",
        "qqp",
        "mnli",
        "PyDoc",
    ]
    expected = ["cola", "sst2", "sst2", "mrpc", "stsb", "stsb", "rte", "wnli", "qnli", "qqp", "mnli", "pydoc"]
    assert [load_task(name) for name in spellings] == expected
    assert set(expected) == set(task_names())


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
