import pytest
import torch

from stages import tiny
from subarch.arch.architecture import Architecture
from subarch.errors import ConfigError
from subarch.inputs.models import ModelFolder
from subarch.stages.trials.student import (
    Donor,
    StudentConfig,
    architecture_of,
    imitated_layers,
    inherited_layers,
    require_meaning,
    restore_dropouts,
)
from subarch.tasks.base import Task
from subarch.tasks.suites.squad import SQUAD
from subarch.training.importance import Importance

TEACHER = Architecture(
    family="bert",
    num_hidden_layers=3,
    num_attention_heads=4,
    hidden_size=32,
    intermediate_size=64,
    vocab_size=100,
    max_position_embeddings=48,
    type_vocab_size=2,
)
CLASSES = Task(
    name="t", kind="classification", labels=("a", "b"), text="text", label="label", metrics=("accuracy",),
    main_metric="accuracy",
)  # fmt: skip
TASKS = {"classes": CLASSES, "span": SQUAD["squad2"]}
IDS = torch.tensor([[22, 70, 80, 90, 100, 23]])


def donor_of(folder, task=CLASSES):
    """A teacher whose last dimensions, heads and neurons are the most important."""
    teacher = ModelFolder(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = teacher.model_for(task).eval()
    sizes = teacher.architecture
    ramps = {
        "hidden": torch.arange(sizes.hidden_size).numpy(),
        "embedding": torch.arange(sizes.embedding_width).numpy(),
        "attention": torch.arange(sizes.num_attention_heads).repeat(sizes.num_hidden_layers, 1).numpy(),
        "intermediate": torch.arange(sizes.intermediate_size).repeat(sizes.num_hidden_layers, 1).numpy(),
    }
    return Donor(task=task, teacher=teacher, model=model, importance=Importance(**ramps), drop_order=(1, 2, 0))


def built(donor, seed=0, dropout=False, kept=None, **settings):
    return donor.build(StudentConfig(**settings), kept, dropout=dropout, seed=seed).eval()


def outputs(model):
    with torch.no_grad():
        found = model(input_ids=IDS)
    return torch.cat([found[key].flatten() for key in found if "logits" in key])


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({}, (3, 4, 32, 64)),
        ({"num_attention_heads": 2}, (3, 2, 16, 64)),
        ({"hidden_size": 24}, (3, 3, 24, 64)),
        ({"num_hidden_layers": 5, "intermediate_size": 8}, (5, 4, 32, 8)),
        ({"num_attention_heads": 6, "hidden_size": 36, "intermediate_size": 99, "start": "random"}, (3, 6, 36, 99)),
    ],
)
def test_sizes_that_are_not_given_follow(settings, sizes):
    found = architecture_of(StudentConfig(**settings), TEACHER)
    assert (
        found.num_hidden_layers,
        found.num_attention_heads,
        found.hidden_size,
        found.intermediate_size,
    ) == sizes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_attention_heads": 5, "hidden_size": 32}, "hidden_size 32 is not a multiple of num_attention_heads 5"),
        ({"hidden_size": 20}, "hidden_size is 20, expected a multiple of 8"),
        ({"num_attention_heads": 2, "hidden_size": 32}, "make heads of width 16, expected 8"),
        ({"num_attention_heads": 8}, "hidden_size is 64, expected at most the teacher's 32"),
        ({"intermediate_size": 65}, "intermediate_size is 65, expected at most the teacher's 64"),
        ({"embedding_size": 16}, "bert has no embedding_size of its own"),
    ],
)
def test_sizes_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        architecture_of(StudentConfig(**settings), TEACHER)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0, expected at least 1"),
        ({"vocabulary": 0.0}, "vocabulary is 0.0, expected a share"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob is 1.5, expected a share"),
        ({"initializer_range": -0.1}, "initializer_range is -0.1, expected 0 or more"),
    ],
)
def test_values_that_no_student_can_have_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        StudentConfig(**settings)


def test_layers_are_inherited_as_asked():
    deep = TEACHER.replace(num_hidden_layers=6)
    order = (4, 0, 2, 1, 3, 5)
    found = {name: inherited_layers(name, 3, deep, order) for name in ("important", "first", "last", "spread")}
    assert found == {"important": (1, 3, 5), "first": (0, 1, 2), "last": (3, 4, 5), "spread": (0, 2, 5)}
    assert inherited_layers("first", 8, deep, None) == (0, 1, 2, 3, 4, 5)
    assert imitated_layers((1, 3, 5), 6) == (3, 5, 6)


def test_no_other_layer_takes_the_place_of_modernberts_first(tmp_path):
    teacher = ModelFolder(tiny.teacher(tmp_path / "t", "modernbert")).architecture
    assert inherited_layers("last", 2, teacher, None) == (0, 2)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "modernbert"])
@pytest.mark.parametrize("kind", TASKS)
def test_a_student_of_the_teachers_sizes_is_the_teacher(tmp_path, family, kind):
    donor = donor_of(tiny.teacher(tmp_path / "t", family), TASKS[kind])
    torch.testing.assert_close(outputs(built(donor)), outputs(donor.model))


def test_a_smaller_student_holds_the_important_parts(tmp_path):
    donor = donor_of(tiny.teacher(tmp_path / "t"))
    student = built(donor, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, kept=(0, 22, 23, 70))
    theirs, own = donor.model.state_dict(), student.state_dict()
    query = "bert.encoder.layer.1.attention.self.query.weight"
    # layer 1 is the first to go, and of the rest the last dimensions matter
    assert torch.equal(own[query], theirs[query.replace("layer.1", "layer.2")][16:, 16:])
    words = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(own[words], theirs[words][[0, 22, 23, 70], 16:])


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_layers_beyond_the_teachers_are_drawn(tmp_path, family):
    donor = donor_of(tiny.teacher(tmp_path / "t", family))
    student = built(donor, seed=1, num_hidden_layers=5, initializer_range=0.3)
    theirs, own = donor.model.state_dict(), student.state_dict()
    names = [name for name in theirs if name in own]
    assert len(names) == len(theirs)
    assert all(torch.equal(theirs[name], own[name]) for name in names)
    drawn = [value for name, value in own.items() if name not in theirs and value.dim() > 1]
    assert drawn
    if family == "bert":  # ModernBERT scales by depth
        assert float(torch.cat([value.flatten() for value in drawn]).std()) == pytest.approx(0.3, rel=0.1)
    again = built(donor, seed=1, num_hidden_layers=5, initializer_range=0.3)
    assert all(torch.equal(again.state_dict()[name], own[name]) for name in own)
    other = built(donor, seed=2, num_hidden_layers=5, initializer_range=0.3)
    assert not torch.equal(outputs(other), outputs(student))


def test_a_random_start_has_nothing_of_the_teacher(tmp_path):
    donor = donor_of(tiny.teacher(tmp_path / "t"))
    student = built(donor, start="random", num_attention_heads=2, hidden_size=40)
    assert student.config.hidden_size == 40
    assert torch.equal(outputs(student), outputs(built(donor, start="random", num_attention_heads=2, hidden_size=40)))


def test_given_dropouts_hold_and_others_only_where_the_student_keeps_them(tmp_path):
    donor = donor_of(tiny.teacher(tmp_path / "t", hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.2))
    plain = built(donor, dropout=False, hidden_dropout_prob=0.4)
    assert (plain.config.hidden_dropout_prob, plain.config.attention_probs_dropout_prob) == (0.4, 0.0)
    assert plain.bert.embeddings.dropout.p == 0.4
    kept = built(donor, dropout=True, hidden_dropout_prob=0.4)
    assert (kept.config.hidden_dropout_prob, kept.config.attention_probs_dropout_prob) == (0.4, 0.2)
    restore_dropouts(plain, StudentConfig(hidden_dropout_prob=0.4), donor.teacher.config)
    assert plain.config.attention_probs_dropout_prob == 0.2


def test_a_dropout_without_a_place_is_refused():
    with pytest.raises(ConfigError, match="bert models for spans have no dropout before their head"):
        require_meaning(StudentConfig(classifier_dropout=0.1), TEACHER, SQUAD["squad2"])
    require_meaning(StudentConfig(classifier_dropout=0.1), TEACHER, CLASSES)
