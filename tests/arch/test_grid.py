import itertools

import pytest

from subarch.arch.costs import parameters
from subarch.arch.grid import BORT_SIZES, can_inherit, grid, parse_sizes
from subarch.arch.published import PUBLISHED
from subarch.arch.space import SpaceConfig, space_around
from subarch.errors import ConfigError


def test_the_papers_space_has_300_architectures():
    teacher = PUBLISHED["roberta-large"].architecture
    space = grid(teacher, parse_sizes(BORT_SIZES), teacher.vocab_size, inheritable=False)
    assert len(space) == len(set(space)) == 300
    assert len({(one.num_attention_heads, one.hidden_size) for one in space}) == 10
    sizes = {(o.num_hidden_layers, o.num_attention_heads, o.hidden_size, o.intermediate_size) for o in space}
    assert (4, 8, 1024, 768) in sizes and (12, 12, 768, 3072) in sizes
    counts = [parameters(one).total for one in space]
    assert counts == sorted(counts)


def test_sizes_are_read_in_order_and_once():
    assert parse_sizes("hidden_size=64,16,64  num_hidden_layers=2") == {
        "hidden_size": (16, 64),
        "num_hidden_layers": (2,),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no sizes"),
        ("hidden_size", "'hidden_size', expected a name and whole numbers"),
        ("hidden_size=", "expected a name and whole numbers"),
        ("hidden_size=1.5", "expected a name and whole numbers"),
        ("hidden_size=-2", "expected a name and whole numbers"),
        ("hidden_size=0,8", "hidden_size is 0"),
        ("hidden_size=8 hidden_size=16", "gives hidden_size twice"),
        ("hiden_size=8", "unknown size 'hiden_size'"),
    ],
)
def test_sizes_that_cannot_be(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_sizes(text)
    with pytest.raises(ConfigError, match=message):
        SpaceConfig(sizes=text)


def test_what_is_not_named_is_the_teachers(tiny):
    teacher = tiny("bert", num_hidden_layers=4, num_attention_heads=2, hidden_size=16, intermediate_size=32)
    (one,) = grid(teacher, parse_sizes("num_hidden_layers=3"), 40, inheritable=True)
    assert one == teacher.replace(num_hidden_layers=3, vocab_size=40)
    # the width of a head stays where the number of heads is not named
    heads = [one.num_attention_heads for one in grid(teacher, {"hidden_size": (8, 16, 32)}, 40, inheritable=False)]
    assert heads == [1, 2, 4]


def test_only_students_that_can_inherit(tiny):
    teacher = tiny("bert", num_hidden_layers=4, num_attention_heads=2, hidden_size=16, intermediate_size=32)
    sizes = parse_sizes("num_hidden_layers=2,6 num_attention_heads=1,2 hidden_size=8,16 intermediate_size=32,64")
    everything = grid(teacher, sizes, 40, inheritable=False)
    kept = grid(teacher, sizes, 40, inheritable=True)
    assert len(everything) == 16 and [one for one in everything if can_inherit(one, teacher)] == kept
    assert {(one.num_hidden_layers, one.head_dim, one.intermediate_size) for one in kept} == {(2, 8, 32)}


def test_heads_that_never_divide(tiny):
    with pytest.raises(ConfigError, match="no hidden_size of 8, 16 is a multiple of any num_attention_heads of 3, 5"):
        grid(tiny("bert"), parse_sizes("num_attention_heads=3,5 hidden_size=8,16"), 40, inheritable=False)


@pytest.mark.parametrize("family", ["modernbert", "electra", "distilbert"])
def test_deeper_than_the_teacher_where_it_need_not_inherit(tiny, family):
    teacher = tiny(family, num_hidden_layers=2)
    (one,) = grid(teacher, {"num_hidden_layers": (5,)}, 40, inheritable=False)
    assert one.num_hidden_layers == 5 and len(one.attention_types) == 5
    with pytest.raises(ConfigError, match="can inherit"):
        grid(teacher, {"num_hidden_layers": (5,)}, 40, inheritable=True)


def test_the_space_around_a_teacher_may_be_absolute(tiny):
    teacher = tiny("bert", num_hidden_layers=4, num_attention_heads=2, hidden_size=16, intermediate_size=32)
    config = SpaceConfig(sizes="num_hidden_layers=1,2,4 intermediate_size=8,32", max_total=0.01)
    space = space_around(teacher, config, 30)
    assert {(one.num_hidden_layers, one.intermediate_size) for one in space} == set(
        itertools.product((1, 2, 4), (8, 32))
    )
