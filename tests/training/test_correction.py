from dataclasses import replace

import numpy as np
import pytest
import torch

from subarch.arch.families import FAMILIES, axes_of
from subarch.tasks.encode import Encoded
from subarch.training import correction
from subarch.training.classifier import EncodedData
from subarch.training.correction import JUDGES, LARGEST, _Correction
from subarch.training.inherit import Selection, inherit

CLS, SPIKE = 2, 8.0


def error(teacher, student, batches=None):
    """Divergence from the teacher on the rows that judge."""
    calibration = teacher.calibration
    chosen = calibration.answered[::JUDGES] if batches is None else batches
    with torch.no_grad():
        found = [float(calibration.divergence(calibration.outputs(student, batch), batch)) for batch in chosen]
    return float(np.mean(found))


CUTS = {
    "neurons": {"intermediate_size": 16},
    "heads": {"num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 40},
    "layers": {"num_hidden_layers": 2},
    "all": {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 20},
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_on_the_judging_rows_it_is_never_worse_than_the_plain_cut(school, family, cut):
    teacher = school(family)
    small = teacher.architecture
    if "num_hidden_layers" in CUTS[cut]:
        small = small.keep_layers((0, 1))
    small = small.replace(**CUTS[cut])
    selection = teacher.select(small, drop_order=(1, 2, 0))
    plain = teacher.make(small, selection)
    mended = teacher.make(small, selection, teacher.calibration)
    assert error(teacher, mended) <= error(teacher, plain) + 1e-7
    if cut == "neurons":
        assert error(teacher, mended) < error(teacher, plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_copies_of_neurons_are_made_up_for(school, logits_of, family):
    teacher = school(family)
    kept = np.arange(24)
    with torch.no_grad():
        for name, parameter in teacher.model.named_parameters():
            if _is_input(teacher.family, name):
                for half in parameter.split(48):
                    half[24:] = half[:24]
    small = teacher.architecture.replace(intermediate_size=24)
    selection = Selection(layers=(0, 1, 2), intermediate=(kept, kept, kept))
    whole = logits_of(teacher.model, teacher.data)
    lost, left = (
        (logits_of(teacher.make(small, selection, calibration), teacher.data) - whole).abs().max()
        for calibration in (None, teacher.calibration)
    )
    assert left < 0.02 * lost


def _is_input(family, name):
    return bool({"intermediate", "gated_intermediate"} & {axes_of(family, name)[0]})


def spiked(school):
    """A BERT one of whose neurons adds to [CLS] alone, and there a hundred times as much as all others to any token,
    along a dimension that dominates [CLS] anyhow. Its student lacks that neuron, and others that do nothing."""
    teacher = school("bert")
    rng = np.random.default_rng(0)
    lengths = rng.integers(6, 13, size=96)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    ids = rng.integers(5, 60, size=offsets[-1]).astype(np.int32)
    ids[offsets[:-1]] = CLS
    labels = (ids[offsets[:-1] + 1] % 3).astype(np.int64)
    teacher.data = EncodedData(encoded=Encoded(ids, offsets, None, labels), pad_token_id=1)
    kept = np.setdiff1d(np.arange(48), [5])[::3]
    with torch.no_grad():
        words = teacher.model.bert.embeddings.word_embeddings.weight
        words[:, 7] = 0.0
        words[CLS] = 0.3 * words[CLS]
        words[CLS, 7] = 30.0
        for layer in teacher.model.bert.encoder.layer:
            layer.output.dense.weight[:, np.setdiff1d(np.arange(48), kept)] = 0.0
        layer = teacher.model.bert.encoder.layer[0]
        layer.attention.output.dense.weight.mul_(0.05)
        layer.intermediate.dense.weight[:, 7] = 0.0
        layer.intermediate.dense.weight[5] = 0.0
        layer.intermediate.dense.weight[5, 7] = 4.0
        layer.intermediate.dense.bias[5] = -10.0
        layer.output.dense.weight[7, 5] = SPIKE
        # the layers above listen to that dimension, and the answer to all of them
        teacher.model.bert.encoder.layer[1].attention.self.value.weight[:, 7] *= 5
        teacher.model.classifier.weight.mul_(5)
    small = teacher.architecture.replace(intermediate_size=16)
    return teacher, small, Selection(layers=(0, 1, 2), intermediate=(kept, kept, kept))


def test_a_neuron_that_fires_on_one_token_alone_harms_nobody(school):
    teacher, small, selection = spiked(school)
    plain, mended = (teacher.make(small, selection, calibration) for calibration in (None, teacher.calibration))
    unweighted = teacher.make(small, selection)
    _solve_unweighted(teacher, unweighted, selection)
    assert error(teacher, unweighted) > 1.2 * error(teacher, plain)
    assert error(teacher, mended) < 0.1 * error(teacher, plain)
    assert _largest(unweighted) > 4 * SPIKE
    for layer in range(3):
        assert _largest(mended, layer) <= LARGEST * _largest(teacher.model, layer)


def _largest(model, *layers):
    chosen = [model.bert.encoder.layer[layer] for layer in layers] or model.bert.encoder.layer
    return max(float(layer.output.dense.weight.detach().abs().max()) for layer in chosen)


def _solve_unweighted(teacher, student, selection):
    """Least squares on the teacher's activations, in which each token counts alike."""
    for layer, kept in enumerate(selection.intermediate):
        output = teacher.layer(layer, "output.dense")
        seen, rows = [], []
        handle = output.register_forward_hook(
            lambda module, arguments, found, seen=seen: seen.append((arguments[0], found))
        )
        with torch.no_grad():
            for batch in teacher.batches:
                teacher.calibration.outputs(teacher.model, batch)
                mask = batch["attention_mask"].bool()
                rows.append([part[mask].double() for part in seen.pop()])
        handle.remove()
        inputs, outputs = (torch.cat(parts) for parts in zip(*rows, strict=True))
        inputs = torch.cat([inputs[:, kept], torch.ones(len(inputs), 1)], dim=1)
        own = student.bert.encoder.layer[layer].output.dense
        start = torch.cat([own.weight, own.bias[:, None]], dim=1).T.detach().double()
        gram = inputs.T @ inputs
        gram += 1e-3 * gram.diagonal().mean() * torch.eye(len(gram))
        change = torch.linalg.solve(gram, inputs.T @ (outputs - inputs @ start)).T.float()
        with torch.no_grad():
            own.weight.add_(change[:, :-1])
            own.bias.add_(change[:, -1])


def test_a_layer_that_lost_nothing_makes_up_for_one_below(school):
    teacher = school("bert")
    some = np.arange(16)
    with torch.no_grad():
        for layer in (1, 2):
            teacher.layer(layer, "output.dense").weight[:, 16:] = 0.0
    small = teacher.architecture.replace(intermediate_size=16)
    selection = Selection(layers=(0, 1, 2), intermediate=(some, some, some))
    plain, mended = (teacher.make(small, selection, calibration) for calibration in (None, teacher.calibration))
    for layer in (1, 2):
        path = f"bert.encoder.layer.{layer}.output.dense.weight"
        assert not torch.equal(plain.get_parameter(path), mended.get_parameter(path))


def test_a_kept_layer_stands_in_for_those_dropped_after_it(school):
    teacher = school("bert")
    small = teacher.architecture.keep_layers((0, 2))
    selection = teacher.select(small, drop_order=(1, 0, 2))
    plain, mended = (teacher.make(small, selection, calibration) for calibration in (None, teacher.calibration))
    assert error(teacher, mended) < 0.9 * error(teacher, plain)
    taken = mended.bert.encoder.layer[0].output.LayerNorm.weight
    assert torch.equal(taken, teacher.layer(1, "output.LayerNorm").weight)


def test_a_student_with_other_token_ids_is_corrected_alike(school):
    teacher = school("bert")
    order = np.concatenate((np.arange(5), 5 + np.random.default_rng(3).permutation(55)))
    small = teacher.architecture.replace(intermediate_size=16)
    students = [teacher.make(small, teacher.select(small, vocab=vocab), teacher.calibration) for vocab in (None, order)]
    for name, parameter in students[0].named_parameters():
        if "word_embeddings" not in name:
            torch.testing.assert_close(parameter, students[1].get_parameter(name))


def test_nothing_is_corrected_where_nobody_judges(school):
    teacher = school("bert")
    calibration = replace(teacher.calibration, batches=teacher.batches[:1])
    small = teacher.architecture.replace(intermediate_size=16)
    selection = teacher.select(small)
    plain, mended = (teacher.make(small, selection, chosen) for chosen in (None, calibration))
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter, mended.get_parameter(name))


@pytest.mark.parametrize("training", [True, False])
def test_the_student_is_left_in_the_mode_it_came_in(school, classifier_of, training):
    teacher = school("bert")
    small = teacher.architecture.replace(intermediate_size=16)
    student = classifier_of(small).train(training)
    inherit(student, teacher.model, (small, teacher.architecture), teacher.select(small), teacher.calibration)
    assert student.training == training


@pytest.mark.parametrize("factor", [-20.0, 1.0])
def test_a_solve_that_harms_is_not_taken(school, monkeypatch, factor):
    teacher = school("bert")
    small = teacher.architecture.replace(intermediate_size=16)
    selection = teacher.select(small)
    plain = teacher.make(small, selection)
    solve = _Correction._damped
    monkeypatch.setattr(_Correction, "_damped", lambda self, *arguments: solve(self, *arguments) * factor)
    found = teacher.make(small, selection, teacher.calibration)
    same = [torch.equal(one, other) for one, other in zip(plain.parameters(), found.parameters(), strict=True)]
    assert all(same) == (factor < 0)


def test_no_solved_weight_is_much_larger_than_the_teachers(school, monkeypatch):
    teacher = school("bert")
    small = teacher.architecture.replace(intermediate_size=16)
    selection = teacher.select(small)

    def shares(bound):
        monkeypatch.setattr(correction, "LARGEST", bound)
        student = teacher.make(small, selection, teacher.calibration)
        return [_largest(student, layer) / _largest(teacher.model, layer) for layer in range(3)]

    assert max(shares(1e9)) > 1.05
    assert max(shares(1.05)) <= 1.05
