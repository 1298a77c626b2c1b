import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import CONFIG_MAPPING, AutoModelForQuestionAnswering

from subarch.tasks.base import Examples
from subarch.tasks.encode import Encoded
from subarch.tasks.scoring.answers import exact_and_f1
from subarch.tasks.scoring.spans import best_spans
from subarch.tasks.windows import Windows
from subarch.training.classifier import EncodedData, training_batches
from subarch.training.loop import LoopContext, train
from subarch.training.losses import DistillationLoss, surrogate_errors
from subarch.training.settings import LoopConfig
from subarch.training.span import (
    SpanDivergence,
    SpanModel,
    SpanTeacher,
    predict_spans,
    span_errors,
    span_loss,
)

PAD = 1


@pytest.fixture(scope="module")
def qa_model(tiny):
    def make(family="bert", seed=0, **changes):
        architecture = tiny(family, **changes)
        special = {f"{name}_token_id": 2 for name in ("bos", "eos", "cls", "sep")} | {"pad_token_id": PAD}
        config = CONFIG_MAPPING[family].from_dict(architecture.config_changes() | special)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = AutoModelForQuestionAnswering.from_config(config)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
        return model.eval()

    return make


@pytest.fixture(scope="module")
def windows():
    """Windows of 5 to 14 tokens: [2] question [2] context [2]; the answer is the token 50 of the context."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(6, 15, size=24)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    ids = rng.integers(5, 40, size=offsets[-1]).astype(np.int32)
    starts = np.full(len(ids), -1, dtype=np.int32)
    labels = np.zeros((24, 2), dtype=np.int64)
    for row, (low, high) in enumerate(itertools.pairwise(offsets)):
        ids[[low, low + 2, high - 1]] = 2
        starts[low + 3 : high - 1] = np.arange(high - low - 4)
        labels[row] = rng.integers(3, high - low - 1)
        ids[low + labels[row, 0]] = 50
    ends = np.where(starts >= 0, starts + 1, -1).astype(np.int32)
    return Windows(Encoded(ids, offsets, None, labels), np.arange(24), starts, ends, 0)


@pytest.fixture(scope="module")
def examples(windows):
    contexts = ["".join(chr(97 + place) for place in range(20))] * 24
    answers = [[context[label - 3]] for context, label in zip(contexts, windows.encoded.labels[:, 0], strict=True)]
    return Examples(["q"] * 24, contexts, columns={"answers": answers})


def batch_of(windows, rows):
    return dict(EncodedData(encoded=windows.encoded, pad_token_id=PAD).batch(np.asarray(rows)))


def test_the_loss_is_that_of_the_model_itself_without_padding(qa_model, windows):
    model, batch = qa_model(), batch_of(windows, [3])
    with torch.no_grad():
        output = SpanModel(model)(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        own = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            start_positions=batch["labels"][:, 0],
            end_positions=batch["labels"][:, 1],
        )
    assert output.logits.shape == (1, batch["input_ids"].shape[1], 2)
    assert span_loss(output.logits, batch).item() == pytest.approx(own.loss.item(), rel=1e-5)


def test_padding_changes_no_loss(windows):
    rows = np.array([1, 5])
    batch = batch_of(windows, rows)
    logits = torch.randn(*batch["input_ids"].shape, 2)
    batch["teacher_logits"] = torch.randn_like(logits)
    more = {name: functional.pad(batch[name], (0, 4)) for name in ("input_ids", "attention_mask")}
    more |= {
        "labels": batch["labels"],
        "teacher_logits": functional.pad(batch["teacher_logits"], (0, 0, 0, 4), value=8),
    }
    wide = functional.pad(logits, (0, 0, 0, 4), value=9.0)
    imitation = SpanDivergence(temperature=2.0)
    assert span_loss(wide, more).item() == pytest.approx(span_loss(logits, batch).item())
    assert imitation(wide, more).item() == pytest.approx(imitation(logits, batch).item())


def test_imitation_is_the_divergence_over_tokens(windows):
    batch = batch_of(windows, [0])
    student, teacher = torch.randn(2, 1, batch["input_ids"].shape[1], 2).unbind(0)
    batch["teacher_logits"] = teacher
    expected = 0.0
    for side in range(2):
        p, q = (torch.softmax(logits[0, :, side] / 2.0, 0) for logits in (teacher, student))
        expected += 4.0 * float((p * (p.log() - q.log())).sum()) / 2
    assert SpanDivergence(temperature=2.0)(student, batch).item() == pytest.approx(expected, rel=1e-4)
    assert SpanDivergence(temperature=2.0)(teacher, batch).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_predictions_come_in_order_whatever_the_batches(qa_model, windows, family):
    model = qa_model(family)
    starts, ends = predict_spans(model, windows, PAD)
    small = predict_spans(model, windows, PAD, max_tokens=20)
    np.testing.assert_allclose(small[0], starts, atol=1e-5)
    for row in (0, 7, 23):
        low, high = windows.encoded.offsets[row], windows.encoded.offsets[row + 1]
        with torch.no_grad():
            output = model(input_ids=torch.from_numpy(windows.encoded.input_ids[low:high][None].astype(np.int64)))
        np.testing.assert_allclose(starts[low:high], output.start_logits[0].numpy(), atol=1e-5)
        np.testing.assert_allclose(ends[low:high], output.end_logits[0].numpy(), atol=1e-5)


def test_the_teacher_is_asked_once_and_its_answers_survive(qa_model, windows, tmp_path):
    def teacher(model):
        path = tmp_path / "outputs.safetensors"
        return SpanTeacher(teacher=model, windows=windows, pad_token_id=PAD, path=path, with_hidden=True)

    first = teacher(qa_model())
    rows = np.array([4, 1, 9])
    found = first(rows)
    batch = batch_of(windows, rows)
    with torch.no_grad():
        output = first.teacher(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], output_hidden_states=True
        )
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(
        found["teacher_logits"][real][:, 0], output.start_logits[real].float(), atol=2e-2, rtol=0
    )
    torch.testing.assert_close(
        found["teacher_hidden"][:, :, 0][real].float(), output.hidden_states[-1][real].float(), atol=2e-2, rtol=0
    )
    first.save()
    again = teacher(qa_model(seed=5))  # another teacher would answer otherwise, if it were asked
    torch.testing.assert_close(again(rows)["teacher_logits"], found["teacher_logits"], atol=0, rtol=0)
    assert again.known.sum() == 3
    assert not torch.equal(again(np.array([2]))["teacher_logits"], first(np.array([2]))["teacher_logits"])


def test_training_finds_the_answers_and_distillation_hands_them_on(qa_model, windows, examples, tmp_path):
    data = EncodedData(encoded=windows.encoded, pad_token_id=PAD)

    def score(model):
        inner = model.model if isinstance(model, SpanModel) else model
        said = best_spans(*predict_spans(inner, windows, PAD), windows, examples)
        return float(exact_and_f1(said.texts, examples.columns["answers"])[1].mean())

    teacher = qa_model()
    config = LoopConfig(max_steps=80, learning_rate=3e-3, evaluations=4, precision="fp32")
    batches = training_batches(data, batch_size=8, seed=0)
    train(SpanModel(teacher), batches, span_loss, config=config, context=LoopContext(), evaluate=score)
    taught = score(teacher)
    assert taught > 0.8
    outputs = SpanTeacher(teacher=teacher, windows=windows, pad_token_id=PAD, path=tmp_path / "o", with_hidden=True)
    student = qa_model(seed=3, num_hidden_layers=1)
    before = score(student)
    # The task's own loss has no weight: all that the student learns comes from the teacher.
    loss = DistillationLoss(task=span_loss, imitation=SpanDivergence(temperature=2.0), weight=1.0, hidden_weight=0.1)
    batches = training_batches(data, batch_size=8, seed=0, teacher=outputs)
    result = train(SpanModel(student), batches, loss, config=config, context=LoopContext(), evaluate=score)
    assert result.best_score == pytest.approx(score(student))
    assert score(student) > max(before, 0.7)


@pytest.mark.parametrize("kind", ["kl", "cross-entropy"])
def test_the_error_of_a_question_is_the_mean_over_its_windows_and_both_ends(windows, kind):
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, len(windows.starts), 2)).astype(np.float32)
    # Three questions: of 2, 1 and 21 windows.
    example = np.repeat([0, 1, 2], [2, 1, 21])
    found = span_errors(student, teacher, replace(windows, example=example), kind=kind)
    each = []
    for low, high in itertools.pairwise(windows.encoded.offsets):
        sides = (torch.from_numpy(logits[low:high].T) for logits in (student, teacher))
        each.append(float(surrogate_errors(*sides, kind=kind).mean()))
    assert found.tolist() == pytest.approx([np.mean(each[:2]), each[2], np.mean(each[3:])], rel=1e-4)
