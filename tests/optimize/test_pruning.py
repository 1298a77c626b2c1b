import itertools
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.errors import ConfigError
from subarch.optimize.hyperparameters import PUBLISHED, HyperparameterSet, grid
from subarch.optimize.pruning import Rule, common_prefix, longest_common_subsequence, prune

RULES = get_args(Rule)
SETS = st.fixed_dictionaries(
    {},
    optional={
        "learning_rate": st.sampled_from([1e-4, 1e-5, 9e-6]),
        "weight_decay": st.sampled_from([0.0, 10.0, 350.0]),
        "warmup": st.sampled_from([0.35, 0.5]),
        "batch_size": st.sampled_from([8, 16]),
        "seed": st.integers(0, 3),
    },
).filter(len)
SCORES = st.one_of(st.none(), st.just(float("nan")), st.sampled_from([0.5, 0.6, 0.7]), st.floats(0.0, 1.0))
SCORED = st.lists(st.tuples(SETS.map(HyperparameterSet.from_json), SCORES), min_size=1, unique_by=lambda item: item[0])
SEQUENCES = st.lists(st.sampled_from("abcd"), max_size=7)

quick = settings(deadline=None, derandomize=True)


def table(*rows):
    """Sets and their scores from (learning rate, seed, score)."""
    return [(HyperparameterSet(learning_rate=rate, seed=seed), score) for rate, seed, score in rows]


def labels(sets):
    return [theta.label for theta in sets]


SIX = table((1e-4, 0, 0.5), (1e-4, 1, 0.6), (1e-4, 2, 0.9), (1e-5, 0, 0.7), (1e-5, 1, 0.8), (1e-5, 2, 0.55))


@pytest.mark.parametrize(
    ("rule", "removed", "common"),
    [
        # As the root: lr=1e-4 or seed=0. lr=1e-4 seed=2 is the best, and stays.
        ("lcs", ["lr=1e-4 seed=0", "lr=1e-4 seed=1", "lr=1e-5 seed=0"], 1),
        ("prefix", ["lr=1e-4 seed=0", "lr=1e-4 seed=1"], 1),
        ("root", ["lr=1e-4 seed=0"], 0),
        ("halving", ["lr=1e-4 seed=0", "lr=1e-5 seed=2", "lr=1e-4 seed=1"], 0),
    ],
)
def test_each_rule_by_hand(rule, removed, common):
    pruned = prune(SIX, rule)
    assert labels(pruned.removed) == removed
    assert pruned.root.label == "lr=1e-4 seed=0"
    assert pruned.common == common
    best_first = [theta for theta, _ in sorted(SIX, key=lambda item: -item[1])]
    assert labels(pruned.kept) == [theta.label for theta in best_first if theta.label not in removed]


def test_the_longest_common_subsequence_is_the_default():
    assert prune(SIX) == prune(SIX, "lcs")


def test_the_longest_length_decides_even_where_only_the_best_has_it():
    close = HyperparameterSet(learning_rate=1e-4, warmup=0.4, seed=1)
    root = HyperparameterSet(learning_rate=1e-4, warmup=0.4, seed=0)
    far = HyperparameterSet(learning_rate=1e-4, warmup=0.5, seed=2)
    other = HyperparameterSet(learning_rate=1e-5, warmup=0.5, seed=2)
    pruned = prune([(root, 0.1), (far, 0.2), (other, 0.3), (close, 0.9)])
    assert (pruned.removed, pruned.common) == ((root,), 0)
    pruned = prune([(root, 0.1), (far, 0.2), (other, 0.9), (close, 0.3)])
    assert (pruned.removed, pruned.common) == ((root, close), 2)


def test_a_slab_of_the_published_grid_leaves_at_once():
    worst = PUBLISHED[17]
    scores = [(theta, 0.9 if index == 239 else 0.1 if theta == worst else 0.5) for index, theta in enumerate(PUBLISHED)]
    pruned = prune(scores)
    # Two other learning rates, three weight decays, three warm-ups, four seeds.
    assert len(pruned.removed) == 1 + 2 + 3 + 3 + 4
    assert pruned.common == 3
    assert all(longest_common_subsequence(theta.pairs, worst.pairs) == 3 for theta in pruned.removed[1:])


@pytest.mark.parametrize("rule", RULES)
def test_nothing_in_common_removes_the_root_alone(rule):
    found = prune([(theta, theta.learning_rate) for theta in grid(learning_rate=(1.0, 2.0, 3.0))], rule)
    assert labels(found.removed) == (["lr=1", "lr=2"] if rule == "halving" else ["lr=1"])
    assert found.common == 0


@quick
@given(scored=SCORED, seed=st.integers(0, 3), rule=st.sampled_from(RULES))
def test_a_field_with_one_value_changes_nothing(scored, seed, rule):
    without = {}
    for theta, score in scored:
        rest = {name: value for name, value in theta.pairs if name != "seed"}
        if rest:
            without[HyperparameterSet.from_json(rest)] = score
    if not without:
        return
    with_seed = [(HyperparameterSet.from_json(theta.to_json() | {"seed": seed}), s) for theta, s in without.items()]
    plain, fixed = prune(list(without.items()), rule), prune(with_seed, rule)
    assert [theta.to_json() | {"seed": seed} for theta in plain.kept] == [theta.to_json() for theta in fixed.kept]
    assert plain.common == fixed.common


@quick
@given(scored=SCORED, rule=st.sampled_from(RULES))
def test_at_least_the_worst_leaves_and_the_best_stays_until_it_is_alone(scored, rule):
    pruned = prune(scored, rule)
    sets = [theta for theta, _ in scored]
    assert sorted(labels([*pruned.kept, *pruned.removed])) == sorted(labels(sets))
    assert pruned.removed[0] == pruned.root
    numbers = {theta: -1.0 if score is None or score != score else score for theta, score in scored}
    assert numbers[pruned.root] == min(numbers.values())
    if len(scored) == 1:
        assert pruned.kept == ()
    else:
        assert numbers[pruned.kept[0]] == max(numbers.values())
    assert [numbers[theta] for theta in pruned.kept] == sorted((numbers[t] for t in pruned.kept), reverse=True)
    assert [numbers[theta] for theta in pruned.removed] == sorted(numbers[t] for t in pruned.removed)


@quick
@given(scored=SCORED, data=st.data(), rule=st.sampled_from(RULES))
def test_the_order_of_the_input_is_irrelevant(scored, data, rule):
    assert prune(data.draw(st.permutations(scored)), rule) == prune(scored, rule)


@quick
@given(sets=st.lists(SETS.map(HyperparameterSet.from_json), min_size=1, unique=True), data=st.data())
def test_the_run_ends_in_as_many_iterations_as_there_are_sets(sets, data):
    rule = data.draw(st.sampled_from(RULES))
    remaining, iterations = tuple(sets), 0
    while remaining:
        remaining = prune([(theta, data.draw(SCORES)) for theta in remaining], rule).kept
        iterations += 1
    assert iterations <= len(sets)
    if rule == "root":
        assert iterations == len(sets)
    if rule == "halving":
        assert iterations == len(sets).bit_length()


@quick
@given(scored=SCORED)
def test_the_removed_are_those_that_have_most_in_common_with_the_root(scored):
    pruned = prune(scored)
    if len(scored) == 1:
        return
    best = pruned.kept[0]
    likeness = {theta: brute_force(theta.pairs, pruned.root.pairs) for theta, _ in scored if theta != pruned.root}
    of_all = set.intersection(*(set(theta.pairs) for theta, _ in scored))
    longest = max(likeness.values())
    wanted = {theta for theta in likeness if likeness[theta] == longest > len(of_all)} - {best}
    assert set(pruned.removed) == wanted | {pruned.root}
    assert pruned.common == (longest - len(of_all) if wanted else 0)


def brute_force(first, second):
    """The longest of all subsequences of the first that is one of the second."""
    of_second = {taken for length in range(len(second) + 1) for taken in itertools.combinations(second, length)}
    for length in range(len(first), -1, -1):
        if any(taken in of_second for taken in itertools.combinations(first, length)):
            return length
    raise AssertionError("the empty sequence is common")


@quick
@given(first=SEQUENCES, second=SEQUENCES)
def test_brute_force_agrees_on_the_longest_common_subsequence(first, second):
    assert longest_common_subsequence(first, second) == brute_force(first, second)


def test_longest_common_subsequence_by_hand():
    assert longest_common_subsequence("ABCBDAB", "BDCABA") == 4
    assert longest_common_subsequence("", "abc") == longest_common_subsequence("abc", "") == 0


@quick
@given(first=SEQUENCES, second=SEQUENCES)
def test_common_prefix_is_the_longest_start_of_both(first, second):
    length = common_prefix(first, second)
    assert first[:length] == second[:length]
    assert first[: length + 1] != second[: length + 1] or length == len(first) == len(second)


def test_equal_numbers_in_different_fields_are_not_common():
    half, other = HyperparameterSet(weight_decay=0.5), HyperparameterSet(warmup=0.5)
    best = HyperparameterSet(learning_rate=0.5)
    assert prune([(half, 0.1), (other, 0.2), (best, 0.3)]).removed == (half,)


def test_failed_trainings_are_worse_than_any_score():
    first, second, third = grid(seed=(0, 1, 2))
    pruned = prune([(first, float("-inf")), (second, None), (third, 0.0)], "root")
    assert pruned.root == second
    assert pruned.kept == (third, first)


def test_of_equal_scores_the_smaller_value_is_better():
    sets = grid(learning_rate=(1e-5, 1e-4), seed=(0, 1))
    pruned = prune([(theta, 0.5) for theta in sets], "root")
    assert pruned.root.label == "lr=1e-4 seed=1"
    assert pruned.kept == sets[:3]


def test_of_equal_scores_the_absent_value_is_better():
    absent, zero = HyperparameterSet(learning_rate=1e-4), HyperparameterSet(learning_rate=1e-4, weight_decay=0.0)
    assert prune([(absent, 0.5), (zero, 0.5)]).kept == (absent,)


def test_what_cannot_be_pruned_is_refused():
    with pytest.raises(ConfigError, match="no hyperparameter sets to prune"):
        prune([])
    with pytest.raises(ConfigError, match="scored twice"):
        prune([*SIX, SIX[0]])
    with pytest.raises(ConfigError, match=r"(?s)unknown pruning rule 'half'.*did you mean halving"):
        prune(SIX, "half")
