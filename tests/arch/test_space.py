import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.arch.costs import parameters
from subarch.arch.families import FAMILIES
from subarch.arch.space import SpaceConfig, space_around
from subarch.errors import ConfigError

ANY = SpaceConfig(max_encoder=1.0, min_encoder=0.0, max_total=1.0, hidden=(0.5, 2 / 3, 1.0))


@pytest.fixture
def teacher(tiny):
    def make(family="bert", **changes):
        sizes = {"num_hidden_layers": 6, "num_attention_heads": 6, "hidden_size": 48, "intermediate_size": 96}
        return tiny(family, **(sizes | changes))

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_every_student_keeps_the_limits(teacher, family):
    full = teacher(family)
    config = SpaceConfig(min_encoder=0.2)
    students = space_around(full, config, vocab_size=20)
    assert students
    assert len(set(students)) == len(students)
    for student in students:
        count, most = parameters(student), parameters(full)
        assert config.min_encoder <= count.encoder / most.encoder <= config.max_encoder
        assert count.total <= config.max_total * most.total
        assert (student.vocab_size, student.head_dim, student.family) == (20, full.head_dim, family)
        assert student.intermediate_size % 8 == 0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    layers=st.integers(1, 13),
    heads=st.integers(1, 7),
    intermediate=st.integers(1, 120),
    family=st.sampled_from(list(FAMILIES)),
)
def test_no_student_is_larger_than_its_teacher(tiny, layers, heads, intermediate, family):
    full = tiny(
        family,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_size=8 * heads,
        intermediate_size=intermediate,
    )
    # the largest student is the teacher itself, so there is always one
    for student in space_around(full, ANY, vocab_size=full.vocab_size):
        for field in ("num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size"):
            assert 1 <= getattr(student, field) <= getattr(full, field)


def test_without_limits_the_teacher_itself_is_the_last(teacher):
    students = space_around(teacher(), ANY, vocab_size=40)
    assert students[-1] == teacher()
    assert len(students) == 5 * 3 * 9  # of eleven widths that 64 neurons allow in steps of 8, two fall together


def test_students_come_sorted_by_parameters(teacher):
    counts = [parameters(student).total for student in space_around(teacher(), ANY, vocab_size=40)]
    assert counts == sorted(counts)


def test_shares_of_the_layers_are_rounded_and_never_none(teacher):
    config = dataclasses.replace(ANY, layers=(0.01, 0.3, 1.0), hidden=(1.0,), intermediate=(1.0,))
    assert [s.num_hidden_layers for s in space_around(teacher(), config, vocab_size=40)] == [1, 2, 6]


def test_a_student_of_electra_keeps_the_projection(teacher):
    # half of 48 is as wide as the tables: such a student has no projection to inherit
    full = teacher("electra", embedding_size=24)
    students = space_around(full, ANY, vocab_size=40)
    assert {student.hidden_size for student in students} == {32, 48}
    assert all(student.embedding_size == 24 for student in students)


def test_modernbert_keeps_valid_attention_types(teacher):
    for student in space_around(teacher("modernbert"), ANY, vocab_size=40):
        assert len(student.attention_types) == student.num_hidden_layers


def test_an_empty_space_says_how_to_widen_it(teacher):
    with pytest.raises(ConfigError, match="no student") as error:
        space_around(teacher(), SpaceConfig(max_encoder=0.001, min_encoder=0.0), vocab_size=40)
    assert "max_encoder" in error.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": ()},
        {"hidden": (0.0,)},
        {"intermediate": (0.5, 1.1)},
        {"vocabulary": 0.0},
        {"max_encoder": 1.5},
        {"max_total": -0.1},
        {"min_encoder": -0.1},
        {"min_encoder": 0.6, "max_encoder": 0.5},
    ],
)
def test_shares_that_cannot_be_are_refused(changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        SpaceConfig(**changes)


def test_the_default_space_lies_just_below_the_limit(teacher):
    full = parameters(teacher()).encoder
    shares = [parameters(student).encoder / full for student in space_around(teacher(), SpaceConfig(max_total=1.0), 40)]
    assert shares and all(0.4 <= share <= 0.5 for share in shares)


def test_the_default_space_goes_lower_where_nothing_is_close(teacher):
    config = SpaceConfig(layers=(1 / 3,), intermediate=(0.25,), max_total=1.0)
    assert len(space_around(teacher(), config, vocab_size=40)) == 1
