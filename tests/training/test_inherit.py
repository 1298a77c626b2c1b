import numpy as np
import pytest
import torch
from torch import nn

from subarch.arch.families import FAMILIES
from subarch.errors import ModelError
from subarch.tasks.encode import Encoded
from subarch.training.classifier import EncodedData
from subarch.training.importance import Importance
from subarch.training.inherit import Selection, _cut, inherit, rank_layers, select


def made_up(architecture, rng=None):
    rng = rng or np.random.default_rng(0)
    layers = architecture.num_hidden_layers
    return Importance(
        hidden=rng.random(architecture.hidden_size),
        embedding=rng.random(architecture.embedding_width),
        attention=rng.random((layers, architecture.num_attention_heads)),
        intermediate=rng.random((layers, architecture.intermediate_size)),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_of_the_teachers_size_is_the_teacher(school, logits_of, family):
    teacher = school(family)
    student = teacher.make(teacher.architecture, teacher.select(teacher.architecture), teacher.calibration)
    for name, parameter in student.named_parameters():
        assert torch.equal(parameter, teacher.model.get_parameter(name)), name
    assert torch.equal(logits_of(student, teacher.data), logits_of(teacher.model, teacher.data))


@pytest.mark.parametrize("family", FAMILIES)
def test_dropping_layers_is_the_teacher_without_them(school, logits_of, family):
    teacher = school(family)
    kept = (0, 2)
    student_architecture = teacher.architecture.keep_layers(kept)
    selection = teacher.select(student_architecture, drop_order=(1, 2, 0))
    assert selection.layers == kept
    student = teacher.make(student_architecture, selection)
    path, _, name = teacher.family.layer_path(0).rpartition(".")[0].rpartition(".")
    parent = teacher.model.get_submodule(path)
    setattr(parent, name, nn.ModuleList([getattr(parent, name)[layer] for layer in kept]))
    torch.testing.assert_close(logits_of(student, teacher.data), logits_of(teacher.model, teacher.data))


@pytest.mark.parametrize("family", FAMILIES)
def test_cutting_useless_neurons_changes_nothing(school, logits_of, family):
    teacher = school(family)
    rng = np.random.default_rng(1)
    useless = [np.sort(rng.choice(48, size=16, replace=False)) for _ in range(3)]
    with torch.no_grad():
        for layer, neurons in enumerate(useless):
            teacher.layer(layer, teacher.family.ffn_output).weight[:, neurons] = 0.0
    small = teacher.architecture.replace(intermediate_size=32)
    selection = teacher.select(small)
    for layer, neurons in enumerate(useless):
        assert set(selection.intermediate[layer]) == set(range(48)) - set(neurons)
    student = teacher.make(small, selection)
    torch.testing.assert_close(logits_of(student, teacher.data), logits_of(teacher.model, teacher.data))
    solved = teacher.make(small, selection, teacher.calibration)
    torch.testing.assert_close(
        logits_of(solved, teacher.data), logits_of(teacher.model, teacher.data), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_useless_heads_and_hidden_dimensions_go_first(school, family):
    teacher = school(family)
    dead_heads, dead_hidden = [2, 0, 3], [4, 5, 9, 12, 17, 20, 25, 31]
    with torch.no_grad():
        for layer, head in enumerate(dead_heads):
            teacher.layer(layer, teacher.family.attention_output).weight[:, 8 * head : 8 * head + 8] = 0.0
        for name, parameter in teacher.model.named_parameters():
            for dimension, axis in enumerate(_axes(teacher.family, name)):
                if axis == "hidden":
                    parameter.index_fill_(dimension, torch.tensor(dead_hidden), 0.0)
    small = teacher.architecture.replace(hidden_size=24, num_attention_heads=3)
    if family == "electra":
        small = teacher.architecture.replace(hidden_size=16, num_attention_heads=2, embedding_size=24)
    selection = teacher.select(small)
    assert not set(selection.hidden) & set(dead_hidden)
    for layer, head in enumerate(dead_heads):
        kept = selection.attention[layer]
        assert len(kept) == small.hidden_size
        assert head not in set(kept // 8)
        assert kept.tolist() == sorted(kept.tolist())


def _axes(family, name):
    from subarch.arch.families import axes_of

    return axes_of(family, name)


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_heads_are_cut_with_their_queries_keys_and_values(school, logits_of, family):
    # a head whose output nobody reads may go without a trace, were it not for the hidden size that shrinks with it:
    # so the weights are compared one by one
    teacher = school(family)
    small = teacher.architecture.replace(hidden_size=16, num_attention_heads=2)
    selection = teacher.select(small, drop_order=())
    student = teacher.make(small, selection)
    hidden = torch.from_numpy(selection.hidden)
    for layer in range(3):
        kept = torch.from_numpy(selection.attention[layer])
        expected = teacher.layer(layer, teacher.family.attention_output).weight[hidden][:, kept]
        path = f"{teacher.family.layer_path(layer)}.{teacher.family.attention_output}"
        assert torch.equal(student.get_submodule(path).weight, expected)
    if family == "modernbert":
        whole, cut = teacher.layer(1, "attn.Wqkv").weight, student.model.layers[1].attn.Wqkv.weight
        kept = torch.from_numpy(selection.attention[1])
        for part in range(3):
            rows = whole[32 * part : 32 * part + 32][kept][:, hidden]
            assert torch.equal(cut[16 * part : 16 * part + 16], rows)
    assert torch.isfinite(logits_of(student, teacher.data)).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cut_vocabulary_answers_the_same_in_its_own_numbers(school, logits_of, family):
    teacher = school(family)
    used = np.unique(teacher.data.encoded.input_ids)
    kept = np.concatenate((np.arange(5), used))  # special tokens, then what the data use
    small = teacher.architecture.replace(vocab_size=len(kept))
    student = teacher.make(small, teacher.select(small, vocab=kept.tolist()))
    new_id = np.full(60, -1, dtype=np.int32)
    new_id[kept] = np.arange(len(kept))
    whole = teacher.data.encoded
    renumbered = Encoded(new_id[whole.input_ids], whole.offsets, None, whole.labels)
    data = EncodedData(encoded=renumbered, pad_token_id=teacher.data.pad_token_id)
    assert torch.equal(
        student.get_input_embeddings().weight, teacher.model.get_input_embeddings().weight[torch.from_numpy(kept)]
    )
    torch.testing.assert_close(logits_of(student, data), logits_of(teacher.model, teacher.data))


@pytest.mark.parametrize("family", FAMILIES)
def test_everything_can_be_cut_at_once(school, logits_of, family):
    teacher = school(family)
    small = teacher.architecture.keep_layers((0, 1)).replace(
        hidden_size=16, num_attention_heads=2, intermediate_size=24, vocab_size=60
    )
    student = teacher.make(small, teacher.select(small, drop_order=(2, 1, 0)), teacher.calibration)
    assert torch.isfinite(logits_of(student, teacher.data)).all()


@pytest.mark.parametrize(
    "larger",
    [
        {"num_hidden_layers": 4},
        {"hidden_size": 40, "num_attention_heads": 5},
        {"intermediate_size": 49},
        {"vocab_size": 61},
    ],
)
def test_a_student_larger_than_its_teacher_is_refused(tiny, larger):
    teacher = tiny("bert")
    with pytest.raises(ModelError, match=f"student's {next(iter(larger))} .* is larger than the teacher's"):
        select(teacher.replace(**larger), teacher, made_up(teacher), drop_order=())


def test_wider_tables_are_refused(tiny):
    teacher = tiny("electra", embedding_size=16)
    with pytest.raises(ModelError, match="embedding_width 20 is larger"):
        select(teacher.replace(embedding_size=20), teacher, made_up(teacher), drop_order=())


def test_a_student_without_the_teachers_projection_is_refused(tiny):
    teacher = tiny("electra")
    student = teacher.replace(hidden_size=24, num_attention_heads=3)
    assert student.embedding_size is None
    with pytest.raises(ModelError, match="only one of them projects"):
        select(student, teacher, made_up(teacher), drop_order=())


def test_heads_of_another_width_are_refused(tiny, classifier_of):
    teacher, student = tiny("bert"), tiny("bert", num_attention_heads=8)
    models = classifier_of(student), classifier_of(teacher)
    with pytest.raises(ModelError, match="heads of width 4 cannot inherit from heads of width 8") as error:
        inherit(*models, (student, teacher), Selection(layers=(0, 1, 2)))
    assert "num_attention_heads" in error.value.hint


def test_layers_go_in_the_order_of_what_they_cost(tiny):
    cost = {0: 3.0, 1: 1.0, 2: 2.0}

    def error_of(kept):
        return sum(cost[layer] for layer in cost if layer not in kept)

    assert rank_layers(tiny("bert"), error_of) == [1, 2, 0]


def test_ranking_is_greedy_given_what_is_already_gone(tiny):
    # 1 and 2 stand in for each other: either may go, not both
    errors = {(1, 2): 5.0, (0, 2): 0.1, (0, 1): 0.2, (2,): 6.0, (0,): 9.0}
    assert rank_layers(tiny("bert"), lambda kept: errors[kept]) == [1, 0, 2]


def test_the_first_layer_of_modernbert_stays(tiny):
    def error_of(kept):
        assert kept[0] == 0
        return float(-len(kept))

    assert rank_layers(tiny("modernbert"), error_of)[-1] == 0


def test_a_teacher_on_another_device_is_cut_there(school, tiny):
    world = school("bert")
    student = tiny(hidden_size=16, num_attention_heads=2, intermediate_size=24, num_hidden_layers=2)
    selection = world.select(student)
    cut = _cut(world.model.classifier.weight.to("meta"), (None, "hidden"), selection, None)
    assert cut.device.type == "meta" and cut.shape == (3, 16)
