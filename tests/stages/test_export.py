"""Exports of every kind, and the lines that load them without subarch."""

import ast
import contextlib
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stages import tiny
from subarch.api import run_stage
from subarch.arch.pretrained import quiet_transformers
from subarch.deploy.formats.registry import FORMATS
from subarch.errors import ConfigError, SubarchError
from subarch.inputs.models import ModelFolder
from subarch.kinds.base import SETTINGS
from subarch.kinds.registry import KINDS
from subarch.stages.evaluate import predict_task
from subarch.stages.export import _checked
from subarch.tasks.base import Examples, Task
from subarch.tasks.scoring.predictions import chosen_rows
from subarch.tasks.suites.squad import SQUAD

FAMILIES = ("bert", "roberta", "modernbert")
LENGTH = 32
CHOICE = Task(
    name="own",
    kind="choice",
    text="text",
    text_pair="choice",
    label="label",
    metrics=("accuracy",),
    main_metric="accuracy",
)
CLASSES = Task(
    name="own", kind="classification", labels=("no", "yes"), text="t", label="l", metrics=("f1",), main_metric="f1"
)
NUMBER = Task(name="own", kind="regression", text="t", label="score", metrics=("rmse",), main_metric="rmse")


def model_of(task, folder, family="bert"):
    """The folder of a model for the task whose weights are random and tell texts apart."""
    encoder = tiny.teacher(folder.parent / "encoder", family)
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(3)
        network = KINDS[task.kind].load(encoder, task)
        for parameter in list(network.parameters())[-2:]:
            parameter.data.add_(torch.randn_like(parameter))
        network.save_pretrained(folder)
        ModelFolder.of(encoder).tokenizer.save_pretrained(folder)
    return folder


def said(lines, changes):
    """What these lines print, with their examples replaced."""
    for old, new in changes.items():
        assert lines.count(old) == 1, lines
        lines = lines.replace(old, new)
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard):
        exec(compile(lines, "lines", "exec"), {})
    return heard.getvalue().rstrip("\n")


def exported(folder, *formats):
    """The folders of a model and of its exports, with their formats."""
    out = folder.parent / "export"
    run_stage("export", {"model": str(folder), "out": out, "formats": formats})
    return {folder: None} | {out / name: FORMATS[name] for name in formats}


def questions(count, longest=60):
    """Contexts of one window and, unless all are short, of several."""
    rng = np.random.default_rng(1)
    contexts = [" ".join(rng.choice(tiny.PLAIN, size=size)) for size in rng.integers(3, longest, size=count)]
    asked = [" ".join(rng.choice(tiny.GOOD, size=2)) for _ in contexts]
    return Examples(asked, contexts, columns={"answers": [[""]] * count, "answer_starts": [[0]] * count})


def asked_alone(place, task, examples):
    """What subarch says to each question by itself: int8 is not the same in other company."""
    model = ModelFolder.of_any(place)
    return [predict_task(model, task, examples.take([row]), LENGTH).answers[0] for row in range(len(examples))]


def span_lines_say(lines, examples, answers):
    for question, context, answer in zip(examples.texts, examples.pairs, answers, strict=True):
        assert said(lines, {'"a question"': repr(question), '"a text that holds the answer"': repr(context)}) == answer


@pytest.mark.parametrize("family", FAMILIES)
def test_spans_are_answered_without_subarch_as_with_it(tmp_path, family):
    task, examples = SQUAD["squad2"], questions(12)
    folder = model_of(task, tmp_path / "model", family)
    differences = predict_task(ModelFolder.of(folder), task, examples, LENGTH).no_answer
    settings = {"no_answer_threshold": float(np.median(differences))}
    (folder / SETTINGS).write_text(json.dumps(settings))
    for place, format_ in (exported(folder, *FORMATS) if family == "bert" else {folder: None}).items():
        assert json.loads((place / SETTINGS).read_text()) == settings
        lines = KINDS["span"].load_lines(task, str(place), LENGTH, format_)
        assert "subarch" not in lines.replace(SETTINGS, "")
        exact = format_ is None or format_.tolerance is not None
        asked = examples if exact else questions(8, longest=10)
        answers = asked_alone(place, task, asked)
        assert ("" in answers and any(answers)) or not exact
        span_lines_say(lines, asked, answers)


def test_without_a_threshold_every_question_is_answered(tmp_path):
    task, examples = SQUAD["squad1"], questions(6)
    folder = model_of(task, tmp_path / "model")
    (folder / SETTINGS).write_text('{"no_answer_threshold": null}')
    lines = KINDS["span"].load_lines(task, str(folder), LENGTH)
    answers = asked_alone(folder, task, examples)
    assert all(answers)
    span_lines_say(lines, examples, answers)


def test_the_rows_of_a_choice_are_answered_without_subarch_as_with_it(tmp_path):
    folder = model_of(CHOICE, tmp_path / "model")
    texts = [words for words in ("the film was quite", "a story with") for _ in range(3)]
    choices = ["superb", "awful and very dull", "river", "music", "lovely", "weak"]
    examples = Examples(texts, choices, groups=np.array([0, 0, 0, 1, 1, 1]))
    for place, format_ in exported(folder, "onnx").items():
        lines = KINDS["choice"].load_lines(CHOICE, str(place), LENGTH, format_)
        outputs = predict_task(ModelFolder.of_any(place), CHOICE, examples, LENGTH).outputs
        for row in chosen_rows(outputs, examples.groups):
            asked = choices[:3] if row < 3 else choices[3:]
            changes = {'"a text"': repr(texts[row]), '["one choice", "another choice"]': repr(asked)}
            assert said(lines, changes) == choices[row]


@pytest.mark.parametrize("task", [CLASSES, NUMBER], ids=["classes", "number"])
def test_a_text_is_answered_without_subarch_as_with_it(tmp_path, task):
    folder = model_of(task, tmp_path / "model")
    examples = Examples(["the superb film", "an awful plot and dull music"])
    for place, format_ in exported(folder, "onnx").items():
        lines = KINDS[task.kind].load_lines(task, str(place), LENGTH, format_)
        outputs = predict_task(ModelFolder.of_any(place), task, examples, LENGTH).outputs
        for text, output in zip(examples.texts, outputs, strict=True):
            heard = said(lines, {'"a text"': repr(text)})
            if task.labels and format_ is None:
                assert ast.literal_eval(heard)[0]["label"] == task.labels[output.argmax()]
            elif task.labels:
                assert heard == task.labels[output.argmax()]
            else:
                number = ast.literal_eval(heard)[0]["score"] if format_ is None else float(heard)
                assert number == pytest.approx(output[0], abs=1e-3)


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no format 'onx'") as caught:
        run_stage("export", {"model": "nowhere", "out": tmp_path / "out", "formats": ["onx"]})
    assert caught.value.hint.startswith("did you mean onnx")
    with pytest.raises(ConfigError, match="no formats"):
        run_stage("export", {"model": "nowhere", "out": tmp_path / "out", "formats": []})


@pytest.mark.parametrize(("tolerance", "wrong"), [(1e-3, 0.99), (None, 0.99), (1e-3, 1.0)])
def test_an_export_that_is_wrong_is_refused(tmp_path, tolerance, wrong):
    outputs = np.array([[[0.5, 1.0], [2.0, 3.0], [9.0, 9.0]]])
    runtime = SimpleNamespace(open=lambda folder, threads: lambda arrays: wrong * outputs)
    runtime.tolerance, runtime.words = tolerance, "export"
    asked = ([{"attention_mask": np.array([[1, 1, 0]])}], [outputs])
    if tolerance is None or wrong == 1.0:
        found = _checked(runtime, tmp_path, KINDS["span"], asked)
        # The last token is padding.
        expected = pytest.approx((1 - wrong) * 3.0 / np.std([0.5, 1.0, 2.0, 3.0]))
        assert found == {"max_difference": expected, "agreement": 1.0}
    else:
        with pytest.raises(SubarchError, match=r"the export differs from PyTorch by .* expected at most 0.001"):
            _checked(runtime, tmp_path, KINDS["span"], asked)
