import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.trials import small
from stages.trials.small import searches  # noqa: F401  (a fixture)
from subarch.errors import ConfigError, DataError, InterruptedRun
from subarch.inputs.data import DataConfig
from subarch.inputs.models import ModelFolder
from subarch.session.session import Session
from subarch.stages.trials import outputs as outputs_file
from subarch.stages.trials.settings import MetricSettings
from subarch.stages.trials.shared import from_anywhere, open_shared, prepare_shared, require_usable
from subarch.stages.trials.student import StudentConfig
from subarch.stages.trials.views import open_view
from subarch.students import hidden


def content(folder):
    """What every file holds, but for what tells when and by which process it was made."""
    names = ("run.json", "result.json", "latency.json")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in names]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def stopping_after(count):
    """A session whose user stops it the n-th time that it asks."""
    asked = []

    def stop_requested():
        asked.append(1)
        return len(asked) > count

    return Session(stop_requested=stop_requested)


@pytest.mark.parametrize("kind", small.MAIN)
def test_the_teachers_outputs_are_those_of_the_teacher(searches, kind):  # noqa: F811
    config, folder = searches(kind)
    shared = open_shared(config, folder)
    teacher, task = shared.donor.teacher, shared.data.task
    assert teacher.path == folder / "teacher"
    assert teacher.answers(task)
    whole, cut = shared.view(1.0), shared.view(0.8)
    rows = np.array([4, 0, 17])
    known = shared.outputs(whole, StudentConfig(), None)(rows)
    batch = dict(whole.train.batch(rows))
    batch.pop("labels")
    with torch.no_grad():
        expected = teacher.model_for(task).eval()(**batch, output_hidden_states=True)
    logits = torch.stack([expected[key] for key in expected if "logits" in key], -1).squeeze(-1)
    real = batch["attention_mask"].bool()
    if kind == "span":
        logits, known["teacher_logits"] = logits[real], known["teacher_logits"][real]
    torch.testing.assert_close(known["teacher_logits"], logits, rtol=0.05, atol=0.05)
    last = known["teacher_hidden"][:, :, -1].float()
    torch.testing.assert_close(last[real], expected.hidden_states[-1][real], rtol=0.05, atol=0.05)
    # With fewer tokens the same texts are the same pieces, numbered anew.
    assert len(cut.kept) < teacher.architecture.vocab_size
    assert np.array_equal(np.asarray(cut.kept)[cut.train.encoded.input_ids], whole.train.encoded.input_ids)
    encoder = cut.model.tokenizer
    text = shared.data.validation.texts[0]
    assert encoder.convert_ids_to_tokens(encoder(text)["input_ids"]) == encoder.tokenize(text, add_special_tokens=True)


def test_a_student_imitates_the_layers_that_fit_its_own(searches):  # noqa: F811
    config, folder = searches()
    shared = open_shared(config, folder)
    view, order = shared.view(1.0), shared.donor.drop_order
    assert sorted(order) == [0, 1, 2]

    def columns(student, layers=None):
        return shared.outputs(view, student, layers).columns

    last = StudentConfig(num_hidden_layers=2, layers="last")
    assert columns(last) == (1, 2)  # layer 1 leads to layer 2, which comes next; both are numbered from 0 here
    kept = sorted(order[1:])
    expected = (kept[1] - 1, 2)
    assert columns(StudentConfig(num_hidden_layers=2)) == expected
    assert columns(StudentConfig(num_hidden_layers=1)) == (2,)
    assert columns(StudentConfig(num_hidden_layers=4)) == (2,)
    assert columns(last, (1, 3)) == (0, 2)


@pytest.mark.parametrize("kind", ["classes", "span"])
def test_a_killed_preparation_is_repeated_with_the_same_outcome(searches, tmp_path, monkeypatch, kind):  # noqa: F811
    config, folder = searches(kind)
    config = replace(config, teacher=str(folder / "teacher"))
    monkeypatch.setattr(outputs_file, "MAX_TOKENS", 256)
    monkeypatch.setattr(outputs_file, "SAVE_SECONDS", 0.0)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    prepare_shared(config, Session(), straight)
    stops = 0
    for count in (1, 4, 6):
        with pytest.raises(InterruptedRun):
            prepare_shared(config, stopping_after(count), broken)
        stops += (broken / "outputs.safetensors").exists() and not (broken / "outputs.json").exists()
    assert stops > 0  # once at least it stopped amid the teacher's outputs
    prepare_shared(config, Session(), broken)
    assert content(broken) == content(straight)
    before = {path: path.stat().st_mtime_ns for path in broken.rglob("*") if path.is_file()}
    prepare_shared(config, Session(), broken)
    assert before == {path: path.stat().st_mtime_ns for path in broken.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["classes", "choice", "span"])
def test_a_sample_of_the_data(searches, tmp_path, kind):  # noqa: F811
    config, folder = searches(kind)
    whole = open_shared(config, folder).data
    config = replace(config, teacher=str(folder / "teacher"), train_examples=20, validation_examples=9)
    prepare_shared(config, Session(), tmp_path / "shared")
    shared = open_shared(config, tmp_path / "shared")
    train, validation = shared.data.train, shared.data.validation
    assert train.texts == whole.train.sample(20).texts and validation.texts == whole.validation.sample(9).texts
    assert shared.data.test.texts == whole.test.texts
    rows = np.arange(len(train))
    assert len(shared.outputs(shared.view(1.0), StudentConfig(), None)(rows)["teacher_logits"]) == len(train) <= 20


def test_a_vocabulary_is_cut_once_whoever_asks_for_it(searches, tmp_path):  # noqa: F811
    config, folder = searches()
    shared = open_shared(config, folder)
    sizes = []

    def ask():
        view = open_view(shared.data, shared.donor.teacher, 32, tmp_path / "views", 0.6)
        sizes.append((len(view.kept), len(view.validation.data.encoded)))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sizes) == 3
    assert len(set(sizes)) == 1
    assert sorted(path.name for path in (tmp_path / "views").iterdir() if path.is_dir()) == [
        "vocabulary-0.6",
        "vocabulary-1.0",
    ]


def test_only_what_a_search_needs_is_measured(searches, tmp_path):  # noqa: F811
    config, folder = searches()
    teacher = str(folder / "teacher")
    ranges = {"student.num_hidden_layers": {"low": 1, "high": 3}, "student.start": {"choices": ["random"]}}
    plain = small.search(
        tmp_path,
        data=config.data,
        teacher=teacher,
        parameters=ranges,
        distillation=replace(config.distillation, weight=0.0, hidden_weight=0.0),
        metrics={"accuracy": MetricSettings(), "latency_ms": MetricSettings()},
    )
    prepare_shared(plain, Session(), tmp_path / "shared")
    found = {path.name for path in (tmp_path / "shared").rglob("*") if path.is_file() and path.name[0] != "."}
    assert found == {"data.safetensors", "latency.json"}


def test_hidden_layers_that_do_not_fit_are_left_out(searches, monkeypatch):  # noqa: F811
    config, folder = searches()
    shared = open_shared(config, folder)
    train, teacher, task = shared.view(1.0).train, ModelFolder(folder / "teacher"), shared.data.task
    assert outputs_file.kept_layers(train, teacher, {2, 1, 3}, task) == (1, 2, 3)
    one = len(train.encoded.input_ids) * 32 * 2
    monkeypatch.setattr(hidden, "HIDDEN_BYTES", one)
    assert outputs_file.kept_layers(train, teacher, {2, 1, 3}, task) == (3,)
    monkeypatch.setattr(hidden, "HIDDEN_BYTES", one - 1)
    assert outputs_file.kept_layers(train, teacher, {2, 1, 3}, task) == ()


def test_data_without_labels_are_refused(searches):  # noqa: F811
    config, folder = searches("span")
    data = small.BUILT_IN["span"]()
    bare = replace(data, validation=replace(data.validation, columns={}))
    with pytest.raises(DataError, match="the validation data of squad2 have no labelled rows"):
        require_usable(config, ModelFolder(folder / "teacher"), bare)


def test_a_searched_dropout_without_a_place_is_refused(searches, tmp_path):  # noqa: F811
    config, folder = searches("span")
    ranges = {"student.classifier_dropout": {"choices": [0.0, 0.1]}}
    config = small.search(tmp_path, "span", data=config.data, parameters=ranges)
    with pytest.raises(ConfigError, match="have no dropout before their head"):
        require_usable(config, ModelFolder(folder / "teacher"), small.BUILT_IN["span"]())


def test_a_search_that_travels_finds_its_files_from_anywhere(tmp_path, monkeypatch):
    config = small.search(tmp_path / "here", "classes")
    monkeypatch.chdir(tmp_path / "here")
    relative = replace(config, teacher="encoder", out=Path("out"), data=DataConfig(train=Path(config.data.train.name)))
    travelling = from_anywhere(relative)
    monkeypatch.chdir(tmp_path)
    assert travelling == config == from_anywhere(travelling)
    assert from_anywhere(replace(config, teacher="org/model")).teacher == "org/model"


def test_the_data_folder_of_the_environment_travels_with_the_search(tmp_path, monkeypatch):
    config = replace(small.search(tmp_path / "here"), data=DataConfig(task="sst2"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUBARCH_DATA", raising=False)
    assert from_anywhere(config).data.data_dir is None
    monkeypatch.setenv("SUBARCH_DATA", "official")
    assert from_anywhere(config).data.data_dir == tmp_path / "official"
    named = replace(config, data=DataConfig(task="sst2", data_dir=Path("mine")))
    assert from_anywhere(named).data.data_dir == tmp_path / "mine"
