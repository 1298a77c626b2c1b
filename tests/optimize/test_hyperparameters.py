import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.errors import ConfigError
from subarch.optimize.hyperparameters import (
    FIELDS,
    PUBLISHED,
    HyperparameterSet,
    default_sets,
    grid,
    parse_grid,
    published,
)
from subarch.training.settings import LoopConfig

VALUES = {
    "learning_rate": st.floats(1e-9, 10.0),
    "weight_decay": st.floats(0.0, 1e6),
    "warmup": st.floats(0.0, 1.0, exclude_max=True),
    "batch_size": st.integers(1, 4096),
    "seed": st.integers(0, 2**32 - 1),
}
SETS = st.fixed_dictionaries({}, optional=VALUES).filter(len).map(HyperparameterSet.from_json)


def test_the_pairs_of_a_set_come_in_a_fixed_order():
    theta = HyperparameterSet(seed=0, warmup=0.4, weight_decay=0, learning_rate=1e-4)
    assert theta.pairs == (("learning_rate", 1e-4), ("weight_decay", 0), ("warmup", 0.4), ("seed", 0))
    assert theta.label == "lr=1e-4 wd=0 warmup=0.4 seed=0"
    assert theta == HyperparameterSet.from_json({"warmup": 0.4, "learning_rate": 1e-4, "seed": 0, "weight_decay": 0})


def test_all_but_the_seed_are_settings_of_the_training_loop():
    assert {field.name for field in dataclasses.fields(HyperparameterSet)} == set(FIELDS)
    dataclasses.replace(LoopConfig(), **{name: 0.5 if name == "warmup" else 1 for name in FIELDS if name != "seed"})


@settings(deadline=None, derandomize=True)
@given(theta=SETS)
def test_json_and_label_give_the_set_back(theta):
    assert HyperparameterSet.from_json(json.loads(json.dumps(theta.to_json()))) == theta
    assert parse_grid(theta.label) == (theta,)


@settings(deadline=None, derandomize=True)
@given(pair=st.tuples(SETS, SETS))
def test_only_equal_sets_have_equal_labels_and_hashes(pair):
    first, second = pair
    assert (first.label == second.label) == (first == second) == (len({first, second}) == 1)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"learning_rate": 0.0}, r"learning_rate is 0\.0, expected a number above zero"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"learning_rate": "1e-4"}, "learning_rate is '1e-4', expected a number"),
        ({"weight_decay": -1.0}, r"weight_decay is -1\.0, expected zero or more"),
        ({"warmup": 1.0}, r"warmup is 1\.0, expected a share in \[0, 1\)"),
        ({"batch_size": 0}, "batch_size is 0, expected a whole number above zero"),
        ({"batch_size": 8.0}, r"batch_size is 8\.0, expected a whole number"),
        ({"seed": -1}, "seed is -1, expected a whole number, zero or more"),
        ({"seed": True}, "seed is True, expected a whole number"),
        ({}, "a hyperparameter set without values"),
        ({"seeds": 1}, "unknown hyperparameter 'seeds'"),
    ],
)
def test_a_set_that_no_training_can_have_is_refused(values, complaint):
    with pytest.raises(ConfigError, match=complaint):
        HyperparameterSet.from_json(values)


def test_a_grid_is_the_product_with_the_last_field_fastest():
    found = grid(seed=(0, 1), learning_rate=(1e-4, 3e-4))
    assert [theta.label for theta in found] == ["lr=1e-4 seed=0", "lr=1e-4 seed=1", "lr=3e-4 seed=0", "lr=3e-4 seed=1"]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({}, "the grid of hyperparameter sets is empty"),
        ({"seed": (0,), "warmup": ()}, "empty: no value of warmup"),
        ({"seed": (1, 2, 1)}, "seed is 1, 2, 1, expected each value once"),
        ({"warm_up": (0.1,)}, "unknown hyperparameter 'warm_up'"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(values, complaint):
    with pytest.raises(ConfigError, match=complaint):
        grid(**values)


def test_the_published_grid():
    assert len(PUBLISHED) == len(set(PUBLISHED)) == 240
    assert {theta.learning_rate for theta in PUBLISHED} == {1e-4, 1e-5, 9e-6}
    assert {theta.weight_decay for theta in PUBLISHED} == {0, 10, 100, 350}
    assert {theta.warmup for theta in PUBLISHED} == {0.35, 0.40, 0.45, 0.50}
    assert {theta.seed for theta in PUBLISHED} == set(range(5))
    assert {theta.batch_size for theta in PUBLISHED} == {None}


def test_batch_sizes_double_the_published_grid():
    both = published(batch_sizes=True)
    assert len(set(both)) == 480
    assert {dataclasses.replace(theta, batch_size=None) for theta in both} == set(PUBLISHED)
    assert {theta.batch_size for theta in both} == {8, 16}


def test_default_sets_try_learning_rates_first_then_seeds():
    assert [theta.label for theta in default_sets(5, 5e-5, 7)] == [
        "lr=5e-5 seed=7",
        "lr=1.5e-4 seed=7",
        "lr=1.7e-5 seed=7",
        "lr=5e-5 seed=8",
        "lr=1.5e-4 seed=8",
    ]


@pytest.mark.parametrize("count", range(1, 9))
def test_a_smaller_default_is_the_start_of_a_larger_one(count):
    sets = default_sets(count, 3.3333e-5, 0)
    assert len(set(sets)) == count
    assert sets == default_sets(8, 3.3333e-5, 0)[:count]
    assert sets[0].learning_rate == 3.3333e-5


@pytest.mark.parametrize("count", [0, 9])
def test_a_default_of_another_size_is_refused(count):
    with pytest.raises(ConfigError, match=f"{count} hyperparameter sets, expected 1 to 8"):
        default_sets(count, 5e-5, 0)


def test_text_gives_a_grid():
    assert parse_grid("learning_rate=1e-4,3e-4 seed=0,1") == grid(learning_rate=(1e-4, 3e-4), seed=(0, 1))
    assert parse_grid(" wd=10\n lr=1e-4  batch=8 ") == grid(learning_rate=(1e-4,), weight_decay=(10,), batch_size=(8,))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the grid of hyperparameter sets is empty"),
        ("learning_rate=", "no value of learning_rate"),
        ("learning_rat=1e-4", "(?s)unknown hyperparameter 'learning_rat'.*did you mean learning_rate"),
        ("1e-4", "hold '1e-4', expected a name and numbers"),
        ("lr=1e-4 learning_rate=2e-4", "give learning_rate twice"),
        ("seed=0,,1", "seed is '', expected whole numbers"),
        ("seed=0.5", "seed is '0.5', expected whole numbers"),
        ("lr=fast", "learning_rate is 'fast', expected numbers"),
        ("lr=nan", "learning_rate is nan, expected a number above zero"),
        ("lr=1e-4,0.0001", "learning_rate is 1e-4, 1e-4, expected each value once"),
    ],
)
def test_text_that_gives_none_is_refused(text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        parse_grid(text)
