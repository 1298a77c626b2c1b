import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from subarch.errors import DataError
from subarch.training.held_out import HeldOut, held_out_batches, held_out_metrics, masked_logits
from subarch.training.masked_lm import MaskedLanguageModel, MaskedTeacher
from training.blocks import MASKING, ArrayBlocks

CPU = torch.device("cpu")


def test_the_numbers_are_those_of_the_logits(masked_lm_of):
    model, teacher, blocks = masked_lm_of(seed=1), masked_lm_of(seed=2), ArrayBlocks(count=20)
    found = held_out_metrics(model, teacher, blocks, MASKING, count=20)
    logits, answers, labels = [], [], []
    for batch in held_out_batches(blocks, MASKING, count=20, device=CPU):
        with torch.no_grad():
            for one, kept in ((model, logits), (teacher, answers)):
                kept.append(one(**batch.inputs).logits.flatten(0, 1)[batch.positions])
        labels.append(batch.labels)
    logits, answers, labels = torch.cat(logits), torch.cat(answers), torch.cat(labels)
    assert found["masked_tokens"] == len(labels) == 20 * 2
    assert found["mlm_loss"] == pytest.approx(float(functional.cross_entropy(logits, labels)), rel=1e-5)
    assert found["teacher_mlm_loss"] == pytest.approx(float(functional.cross_entropy(answers, labels)), rel=1e-5)
    assert found["mlm_accuracy"] == pytest.approx(float((logits.argmax(-1) == labels).float().mean()))
    assert found["teacher_agreement"] == pytest.approx(float((logits.argmax(-1) == answers.argmax(-1)).float().mean()))


def test_a_model_agrees_with_itself_and_wrappers_change_nothing(masked_lm_of):
    model = masked_lm_of()
    found = held_out_metrics(
        MaskedLanguageModel(model), MaskedTeacher(masked_lm_of(), precision="fp32"), ArrayBlocks(), MASKING, count=9
    )
    assert found["teacher_agreement"] == 1.0
    assert (
        found["teacher_mlm_loss"]
        == found["mlm_loss"]
        == held_out_metrics(model, None, ArrayBlocks(), MASKING, count=9)["mlm_loss"]
    )


def test_untrained_models_guess_evenly(masked_lm_of):
    model = masked_lm_of()
    for parameter in model.parameters():
        nn.init.zeros_(parameter.data)
    found = held_out_metrics(model, None, ArrayBlocks(), MASKING)
    assert found["mlm_loss"] == pytest.approx(math.log(60))
    assert set(found) == {"mlm_loss", "mlm_accuracy", "masked_tokens"}


def test_the_teacher_is_asked_once_and_the_mode_is_kept(masked_lm_of):
    calls = []
    teacher, model = masked_lm_of(seed=2), masked_lm_of().train()
    teacher.bert.register_forward_hook(lambda *arguments: calls.append(1))
    held_out = HeldOut(blocks=ArrayBlocks(), masking=MASKING, count=24, device=CPU, teacher=teacher)
    assert held_out.metrics(model) == held_out.metrics(model)  # no dropout either
    assert len(calls) == 3 and model.training


def test_the_questions_are_always_the_same():
    first, again = (list(held_out_batches(ArrayBlocks(), MASKING, count=10, device=CPU)) for _ in range(2))
    assert [len(batch.inputs["input_ids"]) for batch in first] == [8, 2]
    assert all(torch.equal(a.positions, b.positions) for a, b in zip(first, again, strict=True))
    with pytest.raises(DataError, match="the held-out split has no block"):
        next(held_out_batches(ArrayBlocks(count=0), MASKING, count=3, device=CPU))


def test_masked_logits_are_float32(masked_lm_of):
    model = masked_lm_of().to(torch.bfloat16)
    batch = next(held_out_batches(ArrayBlocks(), MASKING, count=2, device=CPU))
    assert masked_logits(model, batch).dtype == torch.float32
    assert np.isfinite(masked_logits(model, batch).numpy()).all()
