import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from subarch.arch.families import FAMILIES
from subarch.training.losses import task_loss
from subarch.training.precision import (
    MasterWeights,
    autocast,
    cast_weights,
    inference_dtype,
    prepare_for_training,
    resolve_precision,
)

DROPOUTS = {
    "distilbert": ("dropout", "attention_dropout", "seq_classif_dropout"),
    "modernbert": ("embedding_dropout", "mlp_dropout", "attention_dropout", "classifier_dropout"),
}
BERT_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")


def gradients(model, data, step):
    batch = dict(data.batch(np.arange(step, step + 8)))
    labels = batch.pop("labels")
    model.zero_grad()
    task_loss(model(**batch).logits, {"labels": labels}).backward()


def plain_adamw(model, learning_rate, weight_decay):
    decayed = [p for p in model.parameters() if p.ndim > 1]
    spared = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}], lr=learning_rate
    )


def test_in_fp32_it_is_adamw_with_clipping(tiny, classifier_of, encoded_data):
    data, plain, ours = encoded_data(), classifier_of(tiny()), classifier_of(tiny())
    optimizer = plain_adamw(plain, 1e-3, 0.1)
    masters = MasterWeights(ours, learning_rate=1e-3, weight_decay=0.1)
    for step in range(5):
        gradients(plain, data, step)
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
        gradients(ours, data, step)
        masters.step(1e-3, 0.5)
    assert all(parameter.grad is None for parameter in ours.parameters())
    expected = dict(plain.named_parameters())
    for name, parameter in ours.named_parameters():
        if not name.endswith("key.bias"):  # softmax cancels it: its gradient is rounding noise, which Adam enlarges
            torch.testing.assert_close(parameter, expected[name], rtol=1e-4, atol=1e-6)


def test_bf16_masters_gather_steps_that_bf16_weights_would_lose(tiny, classifier_of, encoded_data):
    data = encoded_data()
    models = {dtype: classifier_of(tiny()) for dtype in (torch.float32, torch.bfloat16)}
    start = {name: p.detach().clone() for name, p in models[torch.float32].named_parameters()}
    moved = {}
    for dtype, model in models.items():
        cast_weights(model, dtype)
        masters = MasterWeights(model, learning_rate=1e-5, weight_decay=0.0)
        masters.load_weights(start)
        for step in range(10):
            gradients(model, data, step)
            masters.step(1e-5, 1.0)
        moved[dtype] = torch.cat([(w - start[name]).flatten() for name, w in masters.weights().items()])
    # a step of 1e-5 is below the spacing of bf16 numbers near 0.1, yet both move alike
    similarity = torch.cosine_similarity(moved[torch.float32], moved[torch.bfloat16], dim=0)
    assert similarity > 0.8
    assert models[torch.bfloat16].classifier.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_and_moments_make_the_round_trip(tiny, classifier_of, encoded_data, dtype):
    data, model = encoded_data(), cast_weights(classifier_of(tiny()), dtype)
    masters = MasterWeights(model, learning_rate=1e-3, weight_decay=0.01)
    for step in range(3):
        gradients(model, data, step)
        masters.step(1e-3, 1.0)
    twin = cast_weights(classifier_of(tiny(), seed=1), dtype)
    other = MasterWeights(twin, learning_rate=1e-3, weight_decay=0.01)
    other.load_weights(masters.weights())
    other.load_moments(dict(masters.moments()))
    for one, optimizer in ((model, masters), (twin, other)):
        gradients(one, data, 3)
        optimizer.step(1e-3, 1.0)
    for name, weight in masters.weights().items():
        assert torch.equal(weight, other.weights()[name])


def test_weights_are_copies(tiny, classifier_of):
    model = classifier_of(tiny())
    weights = MasterWeights(model, learning_rate=1e-3, weight_decay=0.0).weights()
    before = weights["classifier.bias"].clone()
    with torch.no_grad():
        model.classifier.bias.add_(1.0)
    assert torch.equal(weights["classifier.bias"], before)


def test_casting_spares_the_buffers(tiny, classifier_of):
    # ModernBERT's rotary frequencies would stay rounded after the way back to fp32
    model = classifier_of(tiny("modernbert"))
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    assert any("inv_freq" in name for name in before)
    cast_weights(cast_weights(model, torch.bfloat16), torch.float32)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name]), name


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_is_off_in_training_but_not_in_the_saved_config(
    tiny, classifier_of, encoded_data, logits_of, family, tmp_path: Path
):
    names = DROPOUTS.get(family, BERT_DROPOUTS)
    model, data = classifier_of(tiny(family), **dict.fromkeys(names, 0.3)), encoded_data(8)
    model.train()
    assert not torch.equal(logits_of(model, data), logits_of(model, data))
    prepare_for_training(model, dropout=False)
    model.train()
    trained = logits_of(model, data)
    assert torch.equal(trained, logits_of(model, data))
    torch.testing.assert_close(trained, logits_of(model.eval(), data))
    model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert [saved[name] for name in names] == [0.3] * len(names)
    assert "attn_implementation" not in json.dumps(saved)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).train()
    assert not torch.equal(logits_of(loaded, data), logits_of(loaded, data))


def test_dropout_stays_where_it_is_asked_for(tiny, classifier_of, encoded_data, logits_of):
    model, data = classifier_of(tiny()), encoded_data(8)
    prepare_for_training(model, dropout=True)
    model.train()
    assert not torch.equal(logits_of(model, data), logits_of(model, data))


@pytest.mark.parametrize(
    ("native", "expected"), [(True, torch.bfloat16), (False, torch.float32)], ids=["with bf16", "without bf16"]
)
def test_auto_is_bf16_only_where_the_processor_has_it(monkeypatch, native, expected):
    monkeypatch.setattr("subarch.training.precision._native_bf16", lambda: native)
    cpu = torch.device("cpu")
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        assert resolve_precision("auto", cpu) == expected
    assert resolve_precision("fp32", cpu) == torch.float32
    assert resolve_precision("bf16", cpu) == torch.bfloat16
    assert resolve_precision("auto", torch.device("cuda")) == torch.float32


def test_autocast_is_for_accelerators_that_were_not_told_fp32():
    cuda = torch.device("cuda")
    for precision, device in (("auto", torch.device("cpu")), ("bf16", torch.device("cpu")), ("fp32", cuda)):
        assert isinstance(autocast(precision, device), nullcontext)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("auto", torch.bfloat16)])
def test_an_accelerator_multiplies_in_bf16_unless_told_fp32(precision, dtype):
    matrix = torch.ones(2, 2, device="cuda")
    with autocast(precision, matrix.device):
        assert (matrix @ matrix).dtype == dtype


def test_a_resumed_optimiser_counts_its_steps_where_the_weights_are(tiny, classifier_of, encoded_data):
    model = classifier_of(tiny())
    masters = MasterWeights(model, learning_rate=1e-3, weight_decay=0.0)
    gradients(model, encoded_data(), 0)
    masters.step(1e-3, 1.0)
    there = classifier_of(tiny()).to("meta")
    resumed = MasterWeights(there, learning_rate=1e-3, weight_decay=0.0)
    resumed.load_moments(dict(masters.moments()))
    assert resumed.optimizer.state
    for state in resumed.optimizer.state.values():
        assert {name: value.device.type for name, value in state.items()} == dict.fromkeys(state, "meta")


@pytest.mark.parametrize(("device", "attention"), [("cpu", "eager"), ("meta", "sdpa")])
def test_attention_is_that_of_the_device_that_will_train(tiny, classifier_of, monkeypatch, device, attention):
    state = SimpleNamespace(device=torch.device(device))
    monkeypatch.setattr("subarch.training.precision.process_state", lambda: state)
    model = classifier_of(tiny())
    model.set_attn_implementation("sdpa")
    prepare_for_training(model, dropout=False)
    assert model.config._attn_implementation == attention


def test_models_that_only_answer_are_bf16_on_an_accelerator():
    assert inference_dtype("auto", torch.device("cuda")) == torch.bfloat16
    assert inference_dtype("fp32", torch.device("cuda")) == torch.float32
    for precision in ("auto", "fp32", "bf16"):
        assert inference_dtype(precision, torch.device("cpu")) == resolve_precision(precision, torch.device("cpu"))
