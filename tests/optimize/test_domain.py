import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.errors import ConfigError
from subarch.optimize.domain import Choice, Condition, Domain, Float, Int

fast = settings(max_examples=60, deadline=None, derandomize=True)

NUMBERS = st.floats(1e-6, 1e6, allow_nan=False)
VALUES = st.lists(
    st.one_of(st.booleans(), st.integers(-5, 5), st.text("abc", max_size=3)), min_size=1, max_size=4, unique_by=repr
)


@st.composite
def parameters(draw):
    kind = draw(st.sampled_from(["float", "int", "choice"]))
    if kind == "choice":
        return Choice(values=tuple(draw(VALUES)), ordered=draw(st.booleans()))
    log = draw(st.booleans())
    if kind == "float":
        low, high = sorted([draw(NUMBERS), draw(NUMBERS)])
        return Float(low=low, high=high, log=log)
    low, high = sorted([draw(st.integers(1, 50)), draw(st.integers(1, 50))])
    return Int(low=low, high=high, log=log, step=1 if log else draw(st.integers(1, 3)))


@st.composite
def domains(draw):
    """Up to five parameters; each may depend on an earlier one, so that conditions chain."""
    listed = draw(st.lists(parameters(), min_size=1, max_size=5))
    named = {f"p{index}": parameter for index, parameter in enumerate(listed)}
    conditions = {}
    for index in range(1, len(listed)):
        parent = f"p{draw(st.integers(0, index - 1))}"
        if isinstance(named[parent], Float) or draw(st.booleans()):
            continue
        values = {repr(named[parent].from_unit(u)): named[parent].from_unit(u) for u in (0.1, 0.6)}
        conditions[f"p{index}"] = Condition(parent=parent, values=tuple(values.values()))
    order = draw(st.permutations(list(named)))
    return Domain(parameters={name: named[name] for name in order}, conditions=conditions)


@fast
@given(domain=domains(), seed=st.integers(0, 99))
def test_a_sample_is_valid_and_survives_json_exactly(domain, seed):
    params = domain.sample(np.random.default_rng(seed))
    read = json.loads(json.dumps(params))
    assert domain.validate(read) == params
    assert [type(value) for value in read.values()] == [type(value) for value in params.values()]


@fast
@given(domain=domains(), seed=st.integers(0, 99))
def test_a_sample_has_the_active_parameters_and_no_others(domain, seed):
    params = domain.sample(np.random.default_rng(seed))

    def active(name):
        condition = domain.conditions.get(name)
        return condition is None or (active(condition.parent) and condition.holds(params[condition.parent]))

    assert set(params) == {name for name in domain.parameters if active(name)}


@fast
@given(domain=domains())
def test_what_was_written_parses_as_the_same_domain(domain):
    read = Domain.parse(json.loads(json.dumps(domain.to_json())))
    assert read == domain
    assert list(read.parameters) == list(domain.parameters)


@fast
@given(domain=domains(), seed=st.integers(0, 99), scale=st.sampled_from([0.01, 0.3, 2.0]))
def test_a_neighbour_is_valid_and_another_one(domain, seed, scale):
    rng = np.random.default_rng(seed)
    params = domain.sample(rng)
    neighbour = domain.neighbours(params, rng, scale)
    assert domain.validate(neighbour) == neighbour
    sizes = {domain.parameters[name].size for name in params}
    if None not in sizes and sizes != {1}:
        assert repr(neighbour) != repr(params)  # as 1 and true are equal in Python


@fast
@given(domain=domains(), seed=st.integers(0, 99))
def test_the_encoding_is_within_the_cube_and_the_same_for_one_and_many(domain, seed):
    rng = np.random.default_rng(seed)
    rows = [domain.sample(rng) for _ in range(6)]
    encoded = domain.encode_many(rows)
    assert encoded.shape == (6, len(domain.features))
    assert ((encoded >= 0) & (encoded <= 1)).all()
    assert np.array_equal(encoded, np.array([domain.encode(row) for row in rows]))


@fast
@given(domain=domains(), seed=st.integers(0, 99))
def test_the_place_of_a_number_is_its_encoding_to_the_bit(domain, seed):
    for name, value in domain.sample(np.random.default_rng(seed)).items():
        parameter = domain.parameters[name]
        if isinstance(parameter, Float | Int):
            assert parameter.place(value) == parameter.encode([value])[0, 0]


@fast
@given(domain=domains(), seed=st.integers(0, 99))
def test_the_encoding_tells_discrete_configurations_apart(domain, seed):
    rng = np.random.default_rng(seed)
    one, other = domain.sample(rng), domain.sample(rng)
    discrete = [name for name in {**one, **other} if not isinstance(domain.parameters[name], Float)]
    if any(one.get(name) is not other.get(name) and one.get(name) != other.get(name) for name in discrete):
        assert not np.array_equal(domain.encode(one), domain.encode(other))


DEEP = {
    "model": {"choices": ["linear", "tree"]},
    "depth": {"low": 1, "high": 6, "when": {"model": "tree"}},
    "rate": {"low": 1e-4, "high": 1.0, "log": True, "when": {"depth": [5, 6]}},
}


def test_a_grandchild_is_active_only_where_its_parent_is():
    domain = Domain.parse(DEEP)
    assert domain.validate({"model": "linear"}) == {"model": "linear"}
    assert domain.validate({"rate": 0.1, "depth": 5, "model": "tree"}) == {"model": "tree", "depth": 5, "rate": 0.1}
    rng = np.random.default_rng(0)
    seen = {frozenset(domain.sample(rng)) for _ in range(200)}
    assert seen == {
        frozenset({"model"}),
        frozenset({"model", "depth"}),
        frozenset({"model", "depth", "rate"}),
    }


def test_features_say_what_they_belong_to():
    domain = Domain.parse({"b": {"choices": [1, 2, 4]}, **DEEP})
    assert [(f.parameter, f.kind, f.value) for f in domain.features] == [
        ("b", "ordinal", None),
        ("model", "category", "linear"),
        ("model", "category", "tree"),
        ("depth", "ordinal", None),
        ("depth", "activity", None),
        ("rate", "numeric", None),
        ("rate", "activity", None),
    ]
    assert domain.encode({"b": 2, "model": "linear"}).tolist() == [0.5, 1, 0, 0.5, 0, 0.5, 0]
    assert domain.encode({"b": 4, "model": "tree", "depth": 6, "rate": 0.01}).tolist() == pytest.approx(
        [1, 0, 1, 1, 1, 0.5, 1]
    )


def test_an_inactive_choice_is_equally_far_from_all_its_values():
    domain = Domain.parse({"on": {"choices": [True, False]}, "c": {"choices": ["x", "y"], "when": {"on": True}}})
    inactive, x, y = (domain.encode(p) for p in ({"on": False}, {"on": True, "c": "x"}, {"on": True, "c": "y"}))
    assert np.linalg.norm(inactive - x) == np.linalg.norm(inactive - y) > 0


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"low": 1, "high": 6}, Int(low=1, high=6)),
        ({"low": 1, "high": 512, "log": True}, Int(low=1, high=512, log=True)),
        ({"low": 64, "high": 256, "step": 64}, Int(low=64, high=256, step=64)),
        ({"low": 0.0, "high": 1}, Float(low=0.0, high=1.0)),
        ({"low": 1e-5, "high": 1e-3, "log": True}, Float(low=1e-5, high=1e-3, log=True)),
        ({"choices": [1, 2, 4]}, Choice(values=(1, 2, 4), ordered=True)),
        ({"choices": [4, 2, 1]}, Choice(values=(4, 2, 1))),
        ({"choices": [1, 2, 4], "ordered": False}, Choice(values=(1, 2, 4))),
        ({"choices": ["s", "m", "l"], "ordered": True}, Choice(values=("s", "m", "l"), ordered=True)),
        ({"choices": [True, False]}, Choice(values=(True, False))),
        ({"choices": [1, True]}, Choice(values=(1, True))),
    ],
)
def test_parsed(table, expected):
    parsed = Domain.parse({"a": table}).parameters["a"]
    assert parsed == expected
    assert type(parsed) is type(expected)


def refused(tables):
    with pytest.raises(ConfigError) as caught:
        Domain.parse(tables)
    assert not caught.value.message.endswith(".")
    return str(caught.value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"low": 2.0, "high": 1.0}, "the range from 2 to 1 is empty"),
        ({"low": 0.0, "high": 1.0, "log": True}, "a log scale from 0"),
        ({"low": 0, "high": 9, "log": True}, "a log scale from 0"),
        ({"low": math.nan, "high": 1.0}, "low is nan"),
        ({"low": 0.0, "high": math.inf}, "high is inf"),
        ({"low": "1e-5", "high": 1.0}, "low is '1e-5'"),
        ({"low": -1.7e308, "high": 1.7e308}, "too wide"),
        ({"low": 1}, "high is missing"),
        ({"low": 1, "hgih": 2}, "did you mean high"),
        ({"low": 1, "high": 2, "step": 0}, "step is 0"),
        ({"low": 1, "high": 8, "step": 2, "log": True}, "step is 2 on a log scale"),
        ({"low": 1.0, "high": 2.0, "step": 1}, "not whole"),
        ({"low": 1, "high": 2, "log": "yes"}, "log is 'yes'"),
        ({"low": 1, "high": 2, "choices": [1, 2]}, "low and choices together"),
        ({"choices": []}, "no choices"),
        ({"choices": "ab"}, "expected a list"),
        ({"choices": [1, 2, 1]}, "the choice 1 is listed twice"),
        ({"choices": [1, 1.0]}, "listed twice"),
        ({"choices": [None]}, "None"),
        ({"choices": [[1]]}, "[1]"),
        ({"ordered": True}, "ordered without choices"),
        ({}, "low is missing"),
        (3, "3 is no range"),
        ([1, 2], "[1, 2] is no range"),
    ],
)
def test_a_mistake_names_the_parameter(table, said):
    message = refused({"fine": {"low": 0, "high": 1}, "student.layers": table})
    assert "parameter student.layers: " in message
    assert said in message
    assert len(message.splitlines()) <= 2


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({"modle": "tree"}, "did you mean model"),
        ({"model": "forest"}, "nothing satisfies: model is never 'forest'"),
        ({"model": ["tree", "forest"]}, "model is never 'forest'"),
        ({"model": []}, "nothing satisfies"),
        ({"rate": 0.5}, "a number from 0 to 1"),
        ({"layers": 4}, "layers is never 4"),
        ({"layers": True}, "layers is never True"),
        ({"depth": 3}, "cycle (depth on depth)"),
        ({"model": "tree", "layers": 3}, "expected one other parameter"),
        ("tree", "expected one other parameter"),
    ],
)
def test_a_condition_that_cannot_be(when, said):
    tables = {
        "model": {"choices": ["linear", "tree"]},
        "rate": {"low": 0.0, "high": 1.0},
        "layers": {"low": 1, "high": 7, "step": 2},
        "depth": {"low": 1, "high": 6, "when": when},
    }
    message = refused(tables)
    assert "parameter depth: " in message
    assert said in message


def test_a_cycle_of_three_and_no_parameters():
    tables = {name: {"low": 0, "high": 1, "when": {on: 1}} for name, on in zip("abc", "bca", strict=True)}
    assert "cycle (a on b on c on a)" in refused(tables)
    assert "no parameters" in refused({})


def test_who_hangs_on_a_cycle_is_not_blamed_for_it():
    tables = {name: {"low": 0, "high": 1, "when": {on: 1}} for name, on in zip("xab", "aba", strict=True)}
    assert "parameter a: " in refused(tables)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"model": "linear", "deph": 2}, "did you mean depth"),
        ({}, "model is missing, expected one of 'linear', 'tree'"),
        ({"model": "tree"}, "depth is missing where model is 'tree', expected a whole number from 1 to 6"),
        ({"model": "tree", "depth": 7}, "depth is 7"),
        ({"model": "tree", "depth": 2.5}, "depth is 2.5"),
        ({"model": "tree", "depth": True}, "depth is True"),
        ({"model": "tree", "depth": "2"}, "depth is '2'"),
        ({"model": "linear", "depth": 2}, "depth is given, but it is only active where model is 'tree'"),
        ({"model": "tree", "depth": 5, "rate": math.nan}, "rate is nan"),
        ({"model": "tree", "depth": 5, "rate": 2}, "rate is 2, expected a number from 0.0001 to 1"),
        ({"model": ["tree"]}, "model is ['tree']"),
    ],
)
def test_configurations_that_are_none(params, said):
    with pytest.raises(ConfigError) as caught:
        Domain.parse(DEEP).validate(params)
    assert said in str(caught.value)


def test_values_become_those_of_the_parameters():
    params = Domain.parse(DEEP).validate({"rate": 1, "depth": np.int64(6), "model": np.str_("tree")})
    assert params == {"model": "tree", "depth": 6, "rate": 1.0}
    assert [type(value) for value in params.values()] == [str, int, float]


def test_true_is_not_one():
    domain = Domain.parse({"a": {"choices": [1, True]}, "b": {"low": 0, "high": 1, "when": {"a": True}}})
    assert domain.validate({"a": 1}) == {"a": 1}
    assert domain.validate({"a": True, "b": 0})["a"] is True
    assert domain.encode({"a": 1}).tolist()[:2] == [1, 0]


def test_a_point_of_the_cube():
    domain = Domain.parse(DEEP)
    assert domain.from_unit([0.2, 0.9, 0.5]) == {"model": "linear"}
    assert domain.from_unit([0.9, 0.95, 0.5]) == {"model": "tree", "depth": 6, "rate": pytest.approx(0.01)}
    with pytest.raises(ConfigError, match="2 numbers for 3 parameters"):
        domain.from_unit([0.1, 0.2])


@pytest.mark.parametrize("log", [False, True])
def test_whole_numbers_are_drawn_evenly_on_their_scale(log):
    domain = Domain(parameters={"n": Int(low=1, high=64, log=log)})
    drawn = [domain.from_unit([u])["n"] for u in np.linspace(0, 1, 20_000, endpoint=False)]
    assert set(drawn) == set(range(1, 65))
    share = np.mean(np.array(drawn) <= 8)
    assert share == pytest.approx(math.log(8.5 / 0.5) / math.log(64.5 / 0.5) if log else 8 / 64, abs=1e-3)


def test_a_small_scale_moves_numbers_little_and_a_step_is_kept():
    domain = Domain(parameters={"x": Float(low=0, high=1), "n": Int(low=0, high=100, step=10)})
    rng = np.random.default_rng(0)
    moves = [domain.neighbours({"x": 0.5, "n": 50}, rng, 0.01) for _ in range(100)]
    assert max(abs(move["x"] - 0.5) for move in moves) < 0.05
    assert {move["n"] for move in moves} == {40, 50, 60}


def test_moves_from_an_end_do_not_pile_up_there():
    domain = Domain(parameters={"x": Float(low=0, high=1)})
    rng = np.random.default_rng(0)
    for end in (0.0, 1.0):
        moves = [domain.neighbours({"x": end}, rng, 0.1)["x"] for _ in range(100)]
        assert end not in moves
        assert np.mean(np.abs(np.array(moves) - end)) == pytest.approx(0.08, abs=0.02)


def test_a_move_that_activates_a_parameter_draws_it():
    domain = Domain.parse(DEEP)
    rng = np.random.default_rng(0)
    drawn = {domain.neighbours({"model": "linear"}, rng, 0.1)["depth"] for _ in range(100)}
    assert drawn == {1, 2, 3, 4, 5, 6}


def test_a_domain_does_not_follow_its_callers_mapping():
    parameters = {"a": Float(low=0, high=1)}
    domain = Domain(parameters=parameters)
    parameters["b"] = Float(low=0, high=1)
    assert list(domain.parameters) == ["a"]
