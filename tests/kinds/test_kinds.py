"""Every kind keeps the contract of `Kind`: a new one is tested by standing in the registry."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from stages import tiny
from subarch.arch.build import build_config
from subarch.arch.costs import parameters
from subarch.deploy.formats.registry import FORMATS
from subarch.inputs.models import ModelFolder
from subarch.kinds.registry import KINDS, kind_of
from subarch.kinds.scorer import Scorer
from subarch.tasks.base import Examples, Task
from subarch.tasks.scoring.scores import main_score
from subarch.tasks.suites.squad import SQUAD
from subarch.training.classifier import training_batches

COMMON = {"name": "t", "text": "x", "label": "y"}
TEXTS = tiny.sentences(24)[0]
OTHERS = tiny.sentences(24, seed=1)[0]
EXAMPLES = {
    "classification": (
        Task(kind="classification", labels=("a", "b", "c"), metrics=("accuracy",), main_metric="accuracy", **COMMON),
        Examples(TEXTS, labels=np.arange(24) % 3),
    ),
    "regression": (
        Task(kind="regression", metrics=("rmse", "pearson"), main_metric="rmse", **COMMON),
        Examples(TEXTS, labels=np.linspace(0, 5, 24, dtype=np.float32)),
    ),
    "choice": (
        Task(kind="choice", metrics=("accuracy",), main_metric="accuracy", text_pair="z", **COMMON),
        Examples(TEXTS, OTHERS, np.tile([0, 0, 1], 8), np.repeat(np.arange(3, 11), 3)),
    ),
    "span": (
        SQUAD["squad2"],
        Examples(
            ["which is good?"] * 24,
            [f"{text} {text}" for text in TEXTS],
            columns={
                "answers": [[text.split()[0]] if row % 3 else [] for row, text in enumerate(TEXTS)],
                "answer_starts": [[0] if row % 3 else [] for row in range(24)],
            },
        ),
    ),
}


@dataclass
class Case:
    kind: object
    task: Task
    examples: Examples
    model: object
    folder: ModelFolder

    @property
    def rows(self):
        return self.folder.tokenise(self.task, self.examples, 20)


@pytest.fixture(scope="module", params=list(KINDS))
def case(request, tmp_path_factory):
    task, examples = EXAMPLES[request.param]
    folder = ModelFolder.of(tiny.teacher(tmp_path_factory.mktemp("encoder")))
    torch.manual_seed(0)
    model = folder.model_for(task)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return Case(kind_of(task), task, examples, model.eval(), folder)


def test_all_rows_of_the_examples_are_read_and_labelled(case):
    rows = case.rows
    assert case.kind.labelled(case.examples)
    read = np.arange(24) if rows.windows is None else np.unique(rows.windows.example)
    assert read.tolist() == list(range(24))
    assert rows.data.encoded.labels is not None and int(rows.data.encoded.lengths.max()) <= 20


def test_every_row_is_asked_once_and_by_question(case):
    units = case.kind.units(case.rows, case.examples)
    assert np.concatenate(units).tolist() == list(range(len(case.rows.data.encoded)))
    asked = 24 if case.examples.groups is None else 8
    assert len(units) == asked
    arrays = case.rows.request(units[-1])
    assert {len(array) for array in arrays.values()} == {len(units[-1])}
    assert "labels" not in arrays


def test_outputs_become_answers_that_can_be_scored(case):
    outputs = case.kind.predict(case.model, case.rows)
    assert outputs.dtype == np.float32 and np.isfinite(outputs).all()
    said = case.kind.predictions(outputs, case.rows, case.examples)
    assert len(said) == 24
    score = Scorer(kind=case.kind, task=case.task, rows=case.rows, examples=case.examples)
    found = score(case.kind.network(case.model))
    sign = -1.0 if case.task.main_metric == "rmse" else 1.0
    expected = main_score(case.task, case.kind.tuned(said, case.examples), case.examples)
    assert found == pytest.approx(sign * expected)
    assert score.standard_error() > 0


def test_losses_are_finite_and_imitation_of_oneself_is_nothing(case):
    groups = case.kind.groups(case.examples)
    batches = training_batches(case.rows.data, batch_size=8, seed=0, groups=groups)
    batch = next(batches.epoch(0))()
    logits = case.kind.answers_to(case.model, batch)
    labels = case.examples.labels
    own = case.kind.task_loss(labels)(logits, batch)
    assert own.ndim == 0 and own.item() > 0
    own.backward()
    same = batch | {"teacher_logits": logits.detach()}
    assert case.kind.imitation(labels, 2.0)(logits, same).item() == pytest.approx(0.0, abs=1e-6)
    # Weight 0 leaves the task's own loss, weight 1 the imitation.
    whole = [case.kind.distillation_loss(labels, weight=weight)(logits, same).item() for weight in (0.0, 1.0)]
    assert whole == pytest.approx([own.item(), 0.0], abs=1e-6)


def test_the_error_of_a_candidate_is_least_for_the_teacher_itself(case):
    outputs, groups = case.kind.predict(case.model, case.rows), case.kind.groups(case.examples)
    noise = np.random.default_rng(0).normal(size=outputs.shape).astype(np.float32)
    units = len(case.kind.units(case.rows, case.examples))
    for name, label in case.kind.error_names.items():
        itself, other = (
            case.kind.errors(outputs + shift, outputs, case.rows, groups, name) for shift in (0 * noise, noise)
        )
        assert itself.shape == (units,) and label
        assert (other >= itself - 1e-5).all() and other.mean() > itself.mean()
        if name == "kl":
            np.testing.assert_allclose(itself, 0.0, atol=1e-5)


def test_a_teacher_is_remembered(case, tmp_path):
    first = case.kind.teacher_answers(case.model, case.rows, tmp_path / "answers.safetensors", (-1,))
    indices = np.array([5, 0, 7])
    found = first(indices)
    assert first.hidden_layers == (-1,) and found["teacher_hidden"].shape[2] == 1
    direct = case.kind.answers_to(case.model, case.rows.data.batch(indices))
    mask = case.rows.data.batch(indices)["attention_mask"].bool()
    if case.kind.by_token:
        torch.testing.assert_close(found["teacher_logits"][mask], direct[mask], atol=2e-2, rtol=0)
    else:
        torch.testing.assert_close(found["teacher_logits"], direct, atol=1e-2, rtol=1e-2)
    first.save()
    again = case.kind.teacher_answers(case.model, case.rows, tmp_path / "answers.safetensors", (-1,))
    assert torch.equal(again(indices)["teacher_logits"], found["teacher_logits"])


def test_a_saved_model_answers_as_it_did(case, tmp_path):
    case.model.save_pretrained(tmp_path)
    case.folder.tokenizer.save_pretrained(tmp_path)
    saved = ModelFolder.of(tmp_path)
    assert saved.answers(case.task) and saved.exported_as.output_names == case.kind.output_names
    expected = case.kind.predict(case.model, case.rows)
    found = case.kind.predict(case.kind.opened(tmp_path, case.task), case.rows)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    mask = case.rows.request(np.array([0, 1]))
    outputs = case.kind.network(case.model)(**{k: torch.from_numpy(v) for k, v in mask.items()}).logits.detach().numpy()
    difference, agreement = case.kind.compare([outputs], [outputs * 1.0001], [mask["attention_mask"]])
    assert 0 < difference < 0.1 and agreement == 1.0
    difference, agreement = case.kind.compare([outputs], [-outputs], [mask["attention_mask"]])
    assert difference > 0.1 and agreement < 1.0
    others = [task for name, (task, _) in EXAMPLES.items() if name != case.kind.name]
    assert not any(saved.answers(task) for task in others if task.num_outputs != case.task.num_outputs)


def test_a_drawn_model_has_as_many_parameters_as_are_counted(case):
    config = build_config(
        case.folder.architecture,
        case.folder.config,
        num_labels=case.task.num_outputs,
        id2label=case.kind.names_of_outputs(case.task),
    )
    counted = parameters(case.folder.architecture, case.kind.head, case.task.num_outputs).total
    assert case.kind.build(config).num_parameters() == counted


def test_held_out_answers_are_compared_on_the_students_rows(case):
    """A vocabulary cut to what these texts need gives the same rows, and so the same answers."""
    rows = case.rows
    counts = Counter(rows.data.encoded.input_ids.tolist())
    kept = tuple(sorted(set(range(200)) | set(counts)))
    plain = case.kind.held_out_answers(case.model, rows, None, lambda: rows)
    new = np.zeros(max(kept) + 1, dtype=rows.data.encoded.input_ids.dtype)
    new[list(kept)] = np.arange(len(kept))
    encoded = replace(rows.data.encoded, input_ids=new[rows.data.encoded.input_ids])
    windows = None if rows.windows is None else replace(rows.windows, encoded=encoded)
    cut = replace(rows, data=replace(rows.data, encoded=encoded), windows=windows)
    found = case.kind.held_out_answers(case.model, cut, kept, lambda: rows)
    np.testing.assert_allclose(found, plain, atol=1e-5)


@pytest.mark.parametrize("name", list(KINDS))
def test_a_card_can_be_written(name):
    kind = KINDS[name]
    assert kind.name == name and kind.pipeline_tag and kind.words and kind.unit
    for export in (None, *FORMATS.values()):
        lines = kind.load_lines(EXAMPLES[name][0], "PATH_OF_THIS_FOLDER", 32, export)
        assert "PATH_OF_THIS_FOLDER" in lines and "subarch import" not in lines
        compile(lines, "lines", "exec")


def test_a_model_agrees_with_itself_and_not_with_another(case):
    outputs = case.kind.predict(case.model, case.rows)
    said = case.kind.predictions(outputs, case.rows, case.examples)
    same = case.kind.agree(said, said, case.examples)
    if same is None:
        assert case.task.kind == "regression"
        return
    assert len(same) == len(case.kind.questions(case.examples)) and same.all()
    other = case.kind.predictions(-outputs, case.rows, case.examples)
    assert not case.kind.agree(said, other, case.examples).all()
